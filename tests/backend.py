"""The back end of a test run: `--backend=sqlite` (the demo's) or `--backend=postgres` (PostgreSQL with Redis).

Loaded before Django reads its settings (`-p tests.backend` in pyproject.toml). Each xdist worker has its own data
folder, database and Redis database.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import services

DATABASE_FIXTURES = {"db", "transactional_db", "live_server", "django_db_setup"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--backend",
        choices=["sqlite", "postgres"],
        default="sqlite",
        help="sqlite: what `make demo` runs on, and all tests; postgres: the tests that use a database, with Redis",
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    stack = ExitStack()
    early_config.add_cleanup(stack.close)
    folder = Path(tempfile.mkdtemp(prefix="leaderboard-tests-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    for name in ("SITE_URL", "EMAIL_URL", "S3_BUCKET", "DATABASE_URL", "REDIS_URL", "DEBUG"):
        os.environ.pop(name, None)
    os.environ.update(
        DATA_DIR=str(folder), SECRET_KEY="only for tests " * 5, LOG_JSON="no", REQUIRE_SECOND_FACTOR="no"
    )
    if early_config.known_args_namespace.backend == "postgres":
        _use_postgresql_and_redis(stack)
    return (yield)


def _use_postgresql_and_redis(stack: ExitStack) -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    try:
        # The xdist workers find in the environment what the controller starts here.
        if not os.environ.get("TEST_DATABASE_URL"):
            os.environ["TEST_DATABASE_URL"] = stack.enter_context(services.postgresql())
            os.environ["TEST_SERVER_ENDS"] = "with this run"  # so nothing in it needs to be cleaned up
        if not os.environ.get("TEST_REDIS_URL"):
            os.environ["TEST_REDIS_URL"] = stack.enter_context(services.redis_server())
    except services.MissingService as problem:
        pytest.exit(str(problem), returncode=3)
    database = os.environ["TEST_DATABASE_URL"]
    number = int(re.sub(r"\D", "", worker) or -1) + 1
    os.environ["DATABASE_URL"] = re.sub(r"(/[^/?]+)(\?|$)", rf"\g<1>_{worker or 'all'}\2", database, count=1)
    os.environ["REDIS_URL"] = f"{os.environ['TEST_REDIS_URL'].rstrip('/')}/{number}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL run only tests that use a database; the others give the same result as on SQLite.

    What a browser makes of a page does not depend on the database either: only walks through the whole product, marked
    `both_databases`, run on both.
    """
    if config.getoption("backend") != "postgres":
        return
    chosen = [item for item in items if _uses_database(item)]
    config.hook.pytest_deselected(items=[item for item in items if not _uses_database(item)])
    items[:] = chosen


def _uses_database(item: pytest.Item) -> bool:
    if item.get_closest_marker("browser"):
        return item.get_closest_marker("both_databases") is not None
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(DATABASE_FIXTURES & fixtures) or item.get_closest_marker("django_db") is not None
