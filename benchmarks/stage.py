"""A stage for the chaos run: a real server in its own folder, a client that retries, and access to the rows."""

import io
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import psutil

from tests import services
from tests.kept import migrated_sqlite

ROOT = Path(__file__).resolve().parent.parent
PATCHES, SHORT, SIZE, TEAMS = 300, 100, 128, 4
LEASE_SECONDS = 4
SETTLE_SECONDS = 400
DURABLE = {"synchronous_commit": "on"}
"""What PostgreSQL has acknowledged is in its files when it is killed, as in production."""


def slow_archive(masks: np.ndarray) -> bytes:
    """The masks as gzip-compressed HDF5 in many chunks, the form that takes longest to read."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, mask in enumerate(masks, start=1):
            file = io.BytesIO()
            with h5py.File(file, "w") as hdf5:
                hdf5.create_dataset("mask", data=mask, chunks=(16, 16), compression="gzip")
            archive.writestr(f"mask_{number}.h5", file.getvalue())
    return content.getvalue()


@dataclass
class Stage:
    """What the faults act on. `backend` is sqlite or postgres; the server is `manage.py serve`."""

    backend: str
    folder: Path
    port: int
    server: subprocess.Popen[bytes] | None = None
    tokens: list[str] = field(default_factory=list)
    phase: int = 0
    archive: bytes = b""
    short_phase: int = 0  # its archives have SHORT patches and are read within a moment
    short_archive: bytes = b""
    accepted: dict[int, str] = field(default_factory=dict)  # submission: its idempotency key
    harmed: set[int] = field(default_factory=set)  # submissions whose archive was: they must never be scored
    bucket: Any = None  # the emulated S3 service, if archives lie there
    uploads: list[float] = field(default_factory=list)  # seconds that each accepted upload took

    # The server

    def start(self) -> None:
        with (self.folder / "server.log").open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "manage.py", "serve", "--with-parent", str(os.getpid())],
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait_until(self.answers, "the server answers", 60)

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def stop(self) -> None:
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(60)

    def kill_everything(self) -> None:
        """Like a power cut: kill the supervisor with -9; everything under it must end by itself."""
        assert self.server
        family = self.processes()
        self.server.kill()
        self.server.wait()
        _, alive = psutil.wait_procs(family, timeout=15)
        assert not alive, f"these outlived the supervisor: {alive}"

    def processes(self, *words: str) -> list[psutil.Process]:
        """The server's processes whose command line holds all the words."""
        assert self.server
        try:
            family = psutil.Process(self.server.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        return [process for process in family if all(word in _line(process) for word in words)]

    def workers(self) -> list[psutil.Process]:
        """The Celery workers: each scores one submission at a time in its own process."""
        return self.processes("celery", " worker")

    def scoring_worker(self) -> psutil.Process | None:
        """The worker that scores at this moment, as the row names it (host:pid)."""
        from leaderboard.models import Evaluation

        held = self.query(lambda: Evaluation.objects.scoring().first())
        pid = int(held.worker.rpartition(":")[2]) if held else 0
        return next((worker for worker in self.workers() if worker.pid == pid), None)

    def readers(self) -> list[psutil.Process]:
        """The isolated readers and their forks: what runs below a worker."""
        return [reader for worker in self.workers() for reader in _children(worker)]

    # The client

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, number: int = 1, *, short: bool = False) -> list[int]:
        """Upload this many archives, cycling through the teams; returns the new submissions."""
        return [self.post_one(len(self.accepted) % TEAMS, short=short) for _ in range(number)]

    def post_one(self, team: int, *, key: str = "", short: bool = False) -> int:
        """Upload as a careful script does: with the same Idempotency-Key until the server has said yes."""
        key = key or secrets.token_hex(8)
        end = time.monotonic() + 60
        while True:
            began = time.monotonic()
            answer = self.upload(team, key, short=short)
            if answer is not None and answer.status_code in (200, 202):
                submission = int(answer.json()["id"])
                self.accepted[submission] = key
                self.uploads.append(time.monotonic() - began)
                return submission
            if time.monotonic() > end:
                raise RuntimeError(f"the upload was never accepted: {answer and answer.text[:500]}")
            time.sleep(0.2)

    def upload(self, team: int, key: str, *, short: bool = False) -> httpx.Response | None:
        """One try; None when the connection failed."""
        try:
            with httpx.Client(timeout=20) as client:
                return client.send(self.request(team, key, short=short))
        except httpx.HTTPError:
            return None

    def request(self, team: int, key: str, *, short: bool = False) -> httpx.Request:
        """The request that uploads an archive."""
        archive = self.short_archive if short else self.archive
        return httpx.Request(
            "POST",
            f"{self.url}/api/v1/submissions/",
            headers={"Authorization": f"Bearer {self.tokens[team]}", "Idempotency-Key": key},
            data={
                "phase": str(self.short_phase if short else self.phase),
                "method": "chaos",
                "allow_duplicate": "true",
            },
            files={"archive": ("masks.zip", archive, "application/zip")},
        )

    # The rows

    def query(self, question: Callable[[], Any]) -> Any:
        """Ask the database, on a new connection where the last one was cut."""
        from django.db import DatabaseError, InterfaceError, connection

        end = time.monotonic() + 30
        while True:
            try:
                return question()
            except (DatabaseError, InterfaceError):
                if time.monotonic() > end:
                    raise
                connection.close()
                time.sleep(0.2)

    def state(self, submission: int) -> str:
        (state,) = self.states([submission])
        return state

    def states(self, submissions: list[int]) -> set[str]:
        """The states that these are in."""
        from leaderboard.models import Submission

        rows = Submission.objects.with_evaluation().filter(pk__in=submissions)
        return self.query(lambda: {row.state for row in rows.all()})

    def tries(self, submission: int) -> int:
        from leaderboard.models import Submission

        return self.query(lambda: Submission.objects.with_evaluation().get(pk=submission).evaluation.tries)

    def unfinished(self) -> bool:
        """Is anything queued or being scored?"""
        from leaderboard.models import Evaluation

        return Evaluation.objects.unfinished().exists()

    def settle(self) -> float:
        """Wait until nothing is queued or being scored; returns the seconds it took."""
        began = time.monotonic()
        self.wait_until(lambda: not self.query(self.unfinished), "everything is final", SETTLE_SECONDS)
        return time.monotonic() - began

    def make_room(self) -> None:
        """Delete the archives of what is final, so that a long run does not fill the stage's disk."""
        for path in (self.folder / "uploads").glob("[0-9]*/[0-9]*/*.zip"):
            path.unlink(missing_ok=True)

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                tail = (self.folder / "server.log").read_text(errors="replace")[-3000:]
                raise RuntimeError(
                    f"after {seconds:g} s it does not hold that {what}. The server's log:\n{tail}"
                )
            time.sleep(0.02)


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def killed(processes: list[psutil.Process]) -> int:
    """Kill -9; returns how many were still running."""
    count = 0
    for process in processes:
        try:
            process.kill()
            count += 1
        except psutil.NoSuchProcess:
            pass
    return count


@contextmanager
def stage(backend: str, folder: Path, *, s3: bool = False) -> Iterator[Stage]:
    """A running server with four teams and one phase; everything is stopped at the end. `s3`: archives lie in a bucket."""
    with ExitStack() as stack:
        port = services.free_port()
        for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "DEBUG"):
            os.environ.pop(name, None)
        os.environ.update(
            DATA_DIR=str(folder),
            PORT=str(port),
            SITE_URL=f"http://127.0.0.1:{port}",
            SECRET_KEY=secrets.token_hex(32),
            LOG_JSON="no",
            WORKER_CONCURRENCY="2",
            EVALUATION_LEASE_SECONDS=str(LEASE_SECONDS),
            EVALUATION_SWEEP_SECONDS="1",
            DJANGO_SETTINGS_MODULE="leaderboard.settings",
        )
        if backend == "postgres":
            os.environ["DATABASE_URL"] = stack.enter_context(services.postgresql(**DURABLE))
            os.environ["REDIS_URL"] = stack.enter_context(services.redis_server()) + "/0"
        bucket = stack.enter_context(emulated_s3()) if s3 else None
        made = Stage(backend, folder, port, bucket=bucket)
        _set_up(made)
        stack.callback(made.stop)
        made.start()
        yield made


class EmulatedS3:
    """An S3 service of this process, which keeps its objects while it is stopped."""

    def __init__(self) -> None:
        self.port = services.free_port()
        self.start()

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        self._server.stop()


@contextmanager
def emulated_s3() -> Iterator[EmulatedS3]:
    import boto3

    made = EmulatedS3()
    address = f"http://127.0.0.1:{made.port}"
    names = {"S3_ACCESS_KEY": "a", "S3_SECRET_KEY": "b", "S3_REGION": "us-east-1"}
    os.environ.update(names, S3_BUCKET="chaos", S3_ENDPOINT_URL=address)
    client = boto3.client(
        "s3", "us-east-1", endpoint_url=address, aws_access_key_id="a", aws_secret_access_key="b"
    )
    client.create_bucket(Bucket="chaos")
    try:
        yield made
    finally:
        made.stop()
        for name in (*names, "S3_BUCKET", "S3_ENDPOINT_URL"):
            os.environ.pop(name)


def _set_up(made: Stage) -> None:
    """The database, a phase whose labels equal the archive, and a token for each team."""
    import django

    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    import psycopg
    from django.core.management import call_command
    from django.utils import timezone

    from evaluation.scoring.counts import pack
    from evaluation.task import MaskSpec
    from leaderboard.actions import judging, teams
    from leaderboard.models import ApiToken, Competition, Phase, User

    if made.backend == "postgres":
        server, _, name = os.environ["DATABASE_URL"].rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        call_command("migrate", verbosity=0)
    else:
        shutil.copyfile(migrated_sqlite(), made.folder / "db.sqlite3")
    masks = (np.random.default_rng(1).random((PATCHES, SIZE, SIZE)) < 0.02).astype(np.uint8)
    made.archive, made.short_archive = slow_archive(masks), slow_archive(masks[:SHORT])
    competition = Competition.objects.create(slug="chaos", name="Chaos", is_published=True)
    long, short = (
        Phase.objects.create(competition=competition, slug=name, name=name, opens_at=timezone.now())
        for name in ("long", "short")
    )
    judging.load_labels(None, long, pack(masks), MaskSpec(PATCHES, SIZE, SIZE))
    judging.load_labels(None, short, pack(masks[:SHORT]), MaskSpec(SHORT, SIZE, SIZE))
    made.phase, made.short_phase = long.pk, short.pk
    for number in range(TEAMS):
        user = User.objects.create(username=f"chaos{number}")
        teams.create_team(user, competition, f"Team {number}")
        made.tokens.append(ApiToken.objects.create(user=user, name="chaos")[1])
