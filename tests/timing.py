"""How long each test takes: remembered in .venv, so that long files start first and `make test-fast` knows what is quick.

Seconds are processor time of the test's process and its ended children, which a busy machine hardly changes.
"""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / ".venv" / "test-seconds.json"

# Where nothing is remembered yet, as in a fresh clone: files that would keep one process busy when all others are done.
LONG = (
    "leaderboard/test_rehearsal.py",
    "leaderboard/test_cluster.py",
    "leaderboard/test_permissions.py",
    "leaderboard/test_chaos.py",
    "leaderboard/test_proxy.py",
    "leaderboard/test_words.py",
    "baseline/test_deploying.py",
    "baseline/test_compare.py",
    "baseline/test_resume.py",
    "leaderboard/test_export.py",
    "leaderboard/test_admin_pages.py",
)

_spent: dict[str, float] = {}
_ended = 0.0  # when the last test was over


def remembered() -> dict[str, float]:
    """Seconds by the node id of a test."""
    try:
        return json.loads(FILE.read_text())
    except (OSError, ValueError):
        return {}


def by_file(seconds: dict[str, float]) -> dict[str, float]:
    """Their sums by test file."""
    sums: dict[str, float] = {}
    for test, spent in seconds.items():
        sums[test.partition("::")[0]] = sums.get(test.partition("::")[0], 0.0) + spent
    return sums


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = sum(os.times()[:4])
    answer = yield
    _spent[item.nodeid] = round((_ended or sum(os.times()[:4])) - before, 2)
    return answer


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """What the whole run used, such as the browser, ends with its last test but is not part of it."""
    global _ended
    _ended = 0.0 if nextitem else sum(os.times()[:4])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that no process is still busy with one when all others are done."""
    seconds = by_file(remembered()) or {f"tests/{name}": 1.0 / place for place, name in enumerate(LONG, 1)}
    items.sort(key=lambda item: -seconds.get(item.nodeid.partition("::")[0], 0.0))


def pytest_sessionfinish() -> None:
    if not _spent or not FILE.parent.is_dir():
        return
    with FILE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft = FILE.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({**remembered(), **_spent}, indent=0))
        draft.replace(FILE)
