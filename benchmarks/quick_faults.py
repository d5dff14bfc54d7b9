"""Faults that strike many times a minute: each strike still hits an upload or a scoring in progress.

They use the stage's short archives, so that a strike costs little, and look for work where it is done: a reader's child
lives only while it reads an archive, and the connection of an upload is cut between two of its own bytes.
"""

import os
import random
import secrets
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from benchmarks.stage import TEAMS, Stage

ARCHIVES, SHARE = (
    30,
    0.6,
)  # so much of the children is struck: whose children die eight times in a row has failed
KEYS, CUTS_EACH = 8, 12
LOOK_S = 0.5  # between two looks at the database
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset, and nothing of what is still unsent


def kill_what_reads(stage: Stage) -> int:
    """A child dies in the middle of an archive, or, one time in four, the reader process that made it."""

    def strike(child: int) -> None:
        os.kill(_parent(child) if random.random() < 0.25 else child, signal.SIGKILL)

    return _strike_at_work(stage, strike)


def cut_the_database_at_work(stage: Stage) -> int:
    """PostgreSQL ends every connection while an archive is read, so that the score has to be written on others."""
    url = os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres"

    def strike(child: int) -> None:
        del child
        with psycopg.connect(url, autocommit=True) as link:
            link.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
            )

    return _strike_at_work(stage, strike)


def _strike_at_work(stage: Stage, strike: Callable[[int], None]) -> int:
    """Strike most of the children that read archives, each somewhere within its time, while archives are uploaded."""
    struck, seen = 0, set[int]()
    workers = [worker.pid for worker in stage.workers()]
    posting = threading.Thread(target=stage.post, args=(ARCHIVES,), kwargs={"short": True})
    posting.start()
    while posting.is_alive() or stage.query(stage.unfinished):
        end = time.monotonic() + LOOK_S
        while time.monotonic() < end:
            for child in {child for worker in workers for child in _reading(worker)} - seen:
                seen.add(child)
                if random.random() < SHARE:
                    time.sleep(random.random() * 0.02)
                    struck += _hits(strike, child)
            time.sleep(0.001)
    return struck


def _hits(strike: Callable[[int], None], child: int) -> bool:
    """Strike, unless the child has finished."""
    if not _parent(child):
        return False
    with suppress(ProcessLookupError):
        strike(child)
        return True
    return False


def _reading(worker: int) -> list[int]:
    """The children of a worker's readers: each reads one archive and ends with it."""
    return [child for reader in _children(worker) for child in _children(reader)]


def _children(process: int) -> list[int]:
    """The children of all its threads; none if it has ended."""
    found: list[int] = []
    with suppress(OSError):
        for file in Path(f"/proc/{process}/task").glob("*/children"):
            found += map(int, file.read_text().split())
    return found


def _parent(process: int) -> int:
    """The parent of a process that runs; 0 if it has ended."""
    try:
        state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state in "XZ" else int(parent)


def cut_connections_of_uploads(stage: Stage) -> int:
    """The client's connection ends within an upload, or after its last byte so that the answer is lost; it tries again with
    its key until it is told that the archive was accepted."""
    struck = 0
    for number in range(KEYS):
        team, key = number % TEAMS, secrets.token_hex(8)
        request = stage.request(team, key, short=True)
        body = request.read()
        head = f"POST {request.url.raw_path.decode()} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in request.headers.items()
        )
        whole = head.encode() + b"\r\n" + body
        for _ in range(CUTS_EACH):
            sent = len(whole) if random.random() < 0.3 else random.randrange(len(head), len(whole))
            struck += _send_and_cut(stage.port, whole[:sent])
        stage.post_one(team, key=key, short=True)
    return struck


def _send_and_cut(port: int, content: bytes) -> bool:
    """Send this and reset the connection, at once or a moment later."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
            link.sendall(content)
            time.sleep(random.choice((0.0, 0.01, 0.1)))
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    except OSError:
        return False
    return True
