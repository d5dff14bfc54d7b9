"""`manage.py serve` as a whole: it comes up, starts again what dies, refuses clearly, and leaves nothing behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tests.kept import migrated_sqlite
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.worker


@pytest.fixture
def data(tmp_path) -> Path:
    """A data folder with an empty, migrated SQLite database."""
    (tmp_path / "data").mkdir(mode=0o700)
    shutil.copyfile(migrated_sqlite(), tmp_path / "data" / "db.sqlite3")
    return tmp_path / "data"


def environment(**more: str) -> dict[str, str]:
    """As a newcomer has it: no setting but `more`."""
    own = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**own, "EVALUATION_SWEEP_SECONDS": "1", "WORKER_CONCURRENCY": "2", **more}


def manage(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment(**variables), capture_output=True, text=True, timeout=60
    )


class Server:
    """A running `manage.py serve`."""

    def __init__(self, data: Path, *wrapper: str) -> None:
        self.port, self.log = free_port(), data / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "manage.py", "serve", "--grace", "8"],
                cwd=ROOT,
                env=environment(DATA_DIR=str(data), PORT=str(self.port)),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until(lambda: self.text().count("ready.") == 2, "both workers listen")
        assert httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=30).status_code == 200

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def until(self, true, what: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"not within {seconds} s: {what}\n{self.text()}"
            time.sleep(0.05)

    def everyone(self) -> list[psutil.Process]:
        """The supervisor, its children and their children."""
        supervisor = psutil.Process(self.process.pid)
        return [supervisor, *supervisor.children(recursive=True)]

    def child(self, word: str) -> psutil.Process:
        return next(p for p in psutil.Process(self.process.pid).children() if word in p.cmdline())

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@pytest.fixture
def server(data):
    running = Server(data)
    yield running
    running.end()


def gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def test_killed_with_9_it_leaves_no_process(server):
    everyone = server.everyone()
    assert len(everyone) >= 5, "supervisor, web, two workers, beat"
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(10)
    server.until(lambda: gone(everyone), "all processes end", seconds=10)
    # A zombie may hold its sockets for a moment: they are closed when its last thread is gone.
    server.until(lambda: is_free(server.port), "the port is free again", seconds=10)


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def test_it_ends_with_the_command_that_started_it(data):
    """`make demo` killed with -9: make is the parent, and only make is hit."""
    starter = (
        'import subprocess, sys, os; subprocess.call([*sys.argv[1:], "--with-parent", str(os.getpid())])'
    )
    server = Server(data, sys.executable, "-c", starter)
    everyone = server.everyone()
    server.end()
    server.until(lambda: gone(everyone), "all processes end", seconds=20)


def test_ctrl_c_stops_everything(server):
    everyone = server.everyone()
    os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    assert server.process.wait(20) == 0, server.text()
    assert gone(everyone)
    assert "stopped" in server.text()


def test_a_dead_child_is_started_again(server):
    worker, web = server.child("worker"), server.child("--web-on")
    worker.kill()
    web.kill()
    server.until(lambda: gone([worker, web]), "worker and web end")
    # The socket outlives the web process: a visitor waits for the new one, and is not refused.
    assert httpx.get(f"http://127.0.0.1:{server.port}/healthz", timeout=30).status_code == 200
    server.until(lambda: server.text().count("ready.") == 3, "a new worker listens")


def test_refusals(data, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = manage("serve", DATA_DIR=str(data), PORT=str(port))
    assert busy.returncode != 0
    assert f"Cannot listen on 127.0.0.1 port {port}" in busy.stderr
    assert f"PORT={port + 1}" in busy.stderr
    empty = manage("serve", DATA_DIR=str(tmp_path / "empty"), PORT=str(free_port()))
    assert empty.returncode != 0
    assert "python manage.py migrate" in empty.stderr


def test_one_server_on_a_data_folder(server, data):
    second = manage("serve", DATA_DIR=str(data), PORT=str(free_port()))
    assert second.returncode != 0
    assert "Another server is already running on the data folder" in second.stderr
