"""Redis goes away: a message fails at once and pages answer as on an empty cache."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import services

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAM = """
import json, sys, time
import django
django.setup()
from django.core.cache import cache
from leaderboard.platform.bell import ring
from leaderboard.scoring.tasks import work

def timed(call):
    start = time.monotonic()
    answer = call()
    return time.monotonic() - start, answer

for line in sys.stdin:  # one measurement for each line
    message, _ = timed(lambda: ring(work))
    page, answer = timed(lambda: (cache.set("key", "value"), cache.get("key", "default")))
    print(json.dumps({"message": message, "cache": page, "answer": answer[1]}), flush=True)
"""


@pytest.fixture
def measure(tmp_path):
    """A function that measures one message and one cached value in a web process on Redis, and its Redis's port."""
    port = services.free_port()
    environment = {
        "PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "leaderboard.settings", "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none", "REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "SECRET_KEY": "only for this test " * 5,
    }  # fmt: skip
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def ask() -> dict:
            process.stdin.write("again\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask, port
        process.kill()


def test_an_upload_does_not_wait_for_redis(measure):
    ask, port = measure
    ask()  # the first one loads modules
    down = ask()
    assert (down["message"] < 0.5, down["cache"] < 0.5, down["answer"]) == (True, True, "default"), down
    with services.redis_server(port):
        up = ask()
        assert (up["message"] < 0.5, up["answer"]) == (True, "value"), up
    gone = ask()
    assert (gone["message"] < 0.5, gone["answer"]) == (True, "default"), gone
    with services.redis_server(port):
        assert ask()["answer"] == "value"
        frozen_redis(port).send_signal(signal.SIGSTOP)
        frozen = ask()
        assert (frozen["message"] < 3, frozen["cache"] < 3, frozen["answer"]) == (True, True, "default"), (
            frozen
        )
        frozen_redis(port).send_signal(signal.SIGCONT)
        time.sleep(0.1)
        assert ask()["answer"] == "value"


def frozen_redis(port: int) -> psutil.Process:
    return next(
        process
        for process in psutil.Process().children()
        if "redis" in process.name() and any(str(port) in word for word in process.cmdline())
    )
