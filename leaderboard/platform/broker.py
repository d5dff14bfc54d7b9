"""The broker of a server on one host: a kombu transport without a server, without polling and without a network.

A message is a row of an SQLite file of its own; a byte in a named pipe wakes the workers that wait, and the first of them takes the
row. Both may be lost: the queue of record is the database, and beat rings again (leaderboard.platform.bell).
"""

import json
import os
import select
import signal
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty
from typing import Any
from uuid import uuid4

import structlog
from kombu.transport import virtual

log = structlog.get_logger(__name__)

LONGEST_WAIT = 2.0  # seconds between two looks at the rows, in case a byte was lost
TABLE = """CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, queue TEXT NOT NULL, priority INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (queue, priority, id))"""
NEXT = "SELECT id FROM waiting WHERE queue = ? ORDER BY priority, id LIMIT 1"


class Messages:
    """The waiting messages of all queues, in an SQLite file that any number of processes and threads use."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "messages.sqlite3"

    def put(self, queue: str, priority: int, body: str) -> None:
        """Messages of a lower number come first, as in Redis."""
        self._run(
            "INSERT INTO waiting (queue, priority, body) VALUES (?, ?, ?) RETURNING id", queue, priority, body
        )

    def take(self, queue: str) -> str | None:
        """The next message of the queue, which no other process gets; None if there is none."""
        if not self._run(NEXT, queue):
            return None  # without a lock for writing
        taken = self._run(f"DELETE FROM waiting WHERE id = ({NEXT}) RETURNING body", queue)  # noqa: S608  no input
        return taken[0][0] if taken else None

    def count(self, queue: str) -> int:
        return int(self._run("SELECT count(*) FROM waiting WHERE queue = ?", queue)[0][0])

    def clear(self, queue: str) -> int:
        return len(self._run("DELETE FROM waiting WHERE queue = ? RETURNING id", queue))

    def _run(self, statement: str, *values: str | int) -> list[tuple[Any, ...]]:
        """The rows of one statement. A damaged file is deleted: all its messages are only bells."""
        try:
            return self._try(statement, *values)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            log.warning("the broker's file is damaged and is begun again", error=str(error))
            for path in self.path.parent.glob(f"{self.path.name}*"):
                path.unlink(missing_ok=True)
            return self._try(statement, *values)

    def _try(self, statement: str, *values: str | int) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = OFF")  # a power cut may cost messages
            database.execute(TABLE)
            return database.execute(statement, values).fetchall()


class Pipe:
    """A named pipe through which other processes wake this one. It is gone with `close`, or when somebody rings in vain."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / f"{uuid4().hex}.bell"
        draft = self.path.with_suffix(".draft")
        os.mkfifo(draft, 0o600)
        self.reading = os.open(draft, os.O_RDONLY | os.O_NONBLOCK)
        self.writing = os.open(
            draft, os.O_WRONLY | os.O_NONBLOCK
        )  # without a writer it would always be readable
        draft.rename(self.path)  # only now can it be rung

        if threading.current_thread() is threading.main_thread():  # a signal to stop rings, too
            signal.set_wakeup_fd(self.writing, warn_on_full_buffer=False)

    def wait(self, seconds: float) -> bool:
        """Wait until somebody rings; whether one has, since the last wait, within this time."""
        if not select.select([self.reading], [], [], seconds)[0]:
            return False
        os.read(self.reading, 65536)
        return True

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        if threading.current_thread() is threading.main_thread():
            signal.set_wakeup_fd(-1)
        os.close(self.reading)
        os.close(self.writing)


def wake(folder: Path) -> None:
    """Wake every process that waits. Never blocks: a full pipe belongs to one that has yet to look anyway."""
    for path in folder.glob("*.bell"):
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            continue
        except OSError:  # nobody reads: its process was killed
            path.unlink(missing_ok=True)
            continue
        with suppress(BlockingIOError, BrokenPipeError):
            os.write(pipe, b"!")
        os.close(pipe)


class Channel(virtual.Channel):
    """Puts and takes messages; kombu does the rest."""

    connection: Any  # the Transport

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        transport = self.connection
        transport.messages.put(queue, self._get_message_priority(message), json.dumps(message))
        wake(transport.folder)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        try:
            body = self.connection.messages.take(queue)
        except sqlite3.Error as error:
            log.warning("the broker's file cannot be read; looking again", error=str(error))
            raise Empty from error
        if body is None:
            raise Empty
        return json.loads(body)

    def _size(self, queue: str) -> int:
        return self.connection.messages.count(queue)

    def _purge(self, queue: str) -> int:
        return self.connection.messages.clear(queue)


class Transport(virtual.Transport):
    """`broker_transport_options`: `folder`, on a local disk, the same for all processes."""

    Channel = Channel
    cycle: Any
    driver_type = driver_name = "leaderboard"
    connection_errors = (*virtual.Transport.connection_errors, sqlite3.Error, OSError)

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.folder = Path(client.transport_options["folder"])
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.messages = Messages(self.folder)
        self.pipe: Pipe | None = None

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver the next message. Raises TimeoutError if none has come within `timeout` seconds or after a false alarm."""
        rung = False
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)
                return
            except Empty:
                left = LONGEST_WAIT if end is None else min(LONGEST_WAIT, end - time.monotonic())
                if end is not None and (rung or left <= 0):
                    raise TimeoutError from None
                rung = self._wait(left)

    def _wait(self, seconds: float) -> bool:
        if self.pipe and not self.pipe.path.exists():  # somebody has emptied the folder
            self._close_pipe()
        if self.pipe is None:
            self.pipe = Pipe(self.folder)
            return True  # what came before there was a pipe rang nowhere: look again
        return self.pipe.wait(seconds)

    def _close_pipe(self) -> None:
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None

    def close_connection(self, connection: Any) -> None:
        super().close_connection(connection)
        self._close_pipe()

    def driver_version(self) -> str:
        return sqlite3.sqlite_version
