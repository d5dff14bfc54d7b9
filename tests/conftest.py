"""Fixtures for every room: the data folder, a worker process, a browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import pytest_django
from django.contrib import admin
from django.core.cache import cache
from django.db import connection
from django.test.utils import setup_databases, teardown_databases

from leaderboard.platform.garbage import keep_what_is_loaded
from tests import kept, quick

ROOT = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-dev-shm-usage",
]


def pytest_configure(config: pytest.Config) -> None:
    quick.prepare()
    admin.autodiscover()  # some tests are made from its pages, before any address has loaded them


def pytest_collection_finish() -> None:
    """What is loaded now stays: looking for garbage among half a million objects takes an eighth of the tests' time."""
    keep_what_is_loaded()


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> Iterator[None]:
    """The test database: a copy of a migrated one. Only on a server that outlives the run is it destroyed at the end."""
    outlives = connection.vendor == "postgresql" and "TEST_SERVER_ENDS" not in os.environ
    before = nullcontext() if outlives else kept.prepared(connection.settings_dict)
    with django_db_blocker.unblock():
        with before:
            made = setup_databases(verbosity=0, interactive=False, keepdb=not outlives)
            connection.close()
        yield
        if outlives:
            teardown_databases(made, verbosity=0)


@pytest.fixture(autouse=True)
def _fresh_cache(settings: Any) -> Iterator[None]:
    """No rate limit carries over from another test, and a board that is polled twice is looked up twice."""
    settings.SHARED_LOOK_SECONDS = 0
    yield
    cache.clear()


def process_environment(**more: str) -> dict[str, str]:
    """The environment for a process of the server that works on the database and the files of the running test."""
    database = connection.settings_dict
    if connection.vendor == "postgresql":
        password = f":{quote(database['PASSWORD'])}" if database["PASSWORD"] else ""
        user = f"{quote(database['USER'])}{password}@" if database["USER"] else ""
        port = f":{database['PORT']}" if database["PORT"] else ""
        url = f"postgres://{user}{database['HOST']}{port}/{database['NAME']}"
    else:
        url = f"sqlite://{database['NAME']}"
    return {**os.environ, "DATABASE_URL": url, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def web_process(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The web process of `manage.py serve` on the test's database, and its address. The test itself must commit."""
    with socket.socket() as listener, (folder / "web.log").open("wb") as log:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--web-on", str(listener.fileno())],
            cwd=ROOT,
            env=process_environment(DATA_DIR=str(folder), SITE_URL=url, **environment),
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
        try:
            httpx.get(f"{url}/readyz", timeout=60)
            yield process, url
        finally:
            process.terminate()
            process.wait(20)


def start_worker(log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a real Celery worker on the test's database; returns when it listens."""
    # `serve` starts its workers without checks too.
    command = [
        sys.executable,
        "-m",
        "celery",
        "-q",
        "--skip-checks",
        "-A",
        "leaderboard",
        "worker",
        "-P",
        "solo",
    ]
    with log.open("ab") as file:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle", "--without-heartbeat"],
            cwd=ROOT,
            env=process_environment(SUPERVISOR_PID=str(os.getpid()), **environment),
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    end = time.monotonic() + 30
    while b"ready." not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"The worker did not start:\n{log.read_text(errors='replace')[-3000:]}")
        time.sleep(0.05)
    return process


def stop_worker(process: subprocess.Popen[bytes]) -> None:
    """End a worker and its pool at once."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(10)


@pytest.fixture(scope="module")
def worker(
    django_db_setup: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker process on the test's database. The test itself must commit: use `transactional_db`."""
    process = start_worker(tmp_path_factory.mktemp("worker") / "log")
    _workers.append(process)
    yield process
    _workers.remove(process)
    stop_worker(process)


_workers: list[subprocess.Popen[bytes]] = []  # those that outlive a test of their module


@pytest.fixture(autouse=True)
def _nothing_is_being_scored(request: pytest.FixtureRequest) -> Iterator[None]:
    """Before the database is emptied: a score of a test's last submission and the TRUNCATE would wait for each other."""
    if not request.node.get_closest_marker("worker") or not {"worker", "live_server"} & {
        *request.fixturenames
    }:
        yield
        return
    request.getfixturevalue("transactional_db")
    yield
    from leaderboard.models import Evaluation

    deadline = time.monotonic() + 30
    while _workers and Evaluation.objects.unfinished().exists() and time.monotonic() < deadline:
        time.sleep(0.05)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser; without one the test is skipped, and the summary says why."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    bundle = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")
    if bundle.exists():
        return str(bundle)
    pytest.skip(
        f"NO BROWSER: none of {', '.join(BROWSERS)} is on the PATH, so no page was looked at in a browser"
    )


@pytest.fixture(scope="session")
def browser(chromium: str):
    from playwright.sync_api import sync_playwright

    # Playwright runs an event loop in this thread; Django would then refuse the tests' own queries.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=BROWSER_OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, live_server):
    """A browser page whose relative addresses are the live server's. Errors in its scripts fail the test."""
    context = browser.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on(
        "console", lambda line: errors.append(line.text) if "Content Security Policy" in line.text else None
    )
    yield opened
    seen = list(errors)  # closing cuts off a worker that is still loading its scripts
    context.close()
    assert not seen, f"errors in the page: {seen}"
