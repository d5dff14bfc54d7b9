"""Further faults of the chaos run: archives, clocks, quotas, several beats, migrations, S3, and full or frozen databases."""

import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psutil

from benchmarks.stage import ROOT, TEAMS, Stage, killed


def harm_archives(stage: Stage) -> int:
    """Swap, cut, change, empty and delete stored archives before a worker opens them; others stay as they are."""
    from leaderboard.models import Submission

    with frozen_workers(stage):
        posted = stage.post(7)
        paths = [Path(stage.query(lambda pk=pk: Submission.objects.get(pk=pk)).archive.path) for pk in posted]
        content = paths[0].read_bytes()
        harms: list[Callable[[Path], object]] = [
            lambda path: path.write_bytes(b"not a ZIP at all"),
            lambda path: path.write_bytes(content[: len(content) // 2]),
            lambda path: path.write_bytes(content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]),
            lambda path: path.write_bytes(b""),
            lambda path: path.unlink(),
        ]
        for pk, path, harm in zip(posted, paths, harms, strict=False):
            harm(path)
            stage.harmed.add(pk)
    return len(harms)


def clock_set_back(stage: Stage) -> int:
    """Leases lie a day in the future, and the workers that held them die: as after a clock that ran ahead."""
    from leaderboard.models import Evaluation

    struck = 0
    for _ in range(3):
        posted = stage.post(2)
        if caught(stage, posted):
            rows = Evaluation.objects.scoring()
            ahead = now() + timedelta(days=1)
            struck += stage.query(lambda rows=rows, ahead=ahead: rows.update(lease_until=ahead))
            killed(stage.workers())
    return struck


def clock_set_forward(stage: Stage) -> int:
    """What waits was rung, and is postponed, a day from now."""
    from leaderboard.models import Evaluation

    with frozen_workers(stage):
        stage.post(4)
        ahead = now() + timedelta(days=1)
        queued = Evaluation.objects.queued()
        return stage.query(lambda: queued.update(rung_at=ahead, not_before=ahead))


def three_beats(stage: Stage) -> int:
    command = [sys.executable, "-m", "celery", "--skip-checks", "-A", "leaderboard", "beat"]
    with (stage.folder / "beats.log").open("ab") as log:
        beats = [subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) for _ in range(2)]
    try:
        for _ in range(3):
            stage.post(2)
            killed(stage.workers())
    finally:
        for beat in beats:
            beat.kill()
            beat.wait()
    return len(beats)


def kill_web_between_file_and_commit(stage: Stage) -> int:
    """The web server dies when an archive appears in the storage; what is left is swept after a day."""
    uploads = stage.folder / "uploads"
    struck = 0
    for turn in range(4):
        before = archives_in(uploads)
        upload = threading.Thread(target=stage.upload, args=(turn % TEAMS, secrets.token_hex(8)))
        upload.start()
        end = time.monotonic() + 10
        while archives_in(uploads) == before and time.monotonic() < end:
            time.sleep(0.0005)
        struck += killed(stage.processes("--web-on"))
        upload.join()
        stage.post(1)
    stage.query(lambda: sweep_orphans(stage))
    return struck


def sweep_orphans(stage: Stage) -> None:
    """Make the orphans a day old and sweep; fails if one is left, or an archive of a submission is gone."""
    from leaderboard.actions import uploads
    from leaderboard.models import Submission

    folder = stage.folder / "uploads"
    known = {str(folder / name) for name in Submission.objects.values_list("archive", flat=True)}
    orphans = {path for path in archives_in(folder) if path not in known}
    for path in orphans:
        os.utime(path, (time.time() - 2 * 86_400,) * 2)
    there = archives_in(folder)
    removed = uploads.remove_orphans(now() - uploads.ORPHAN_AGE)
    assert removed == len(orphans), f"{removed} of {len(orphans)} orphans were removed"
    assert archives_in(folder) == there - orphans, "an archive of a submission was removed"


def archives_in(folder: Path) -> set[str]:
    return {str(path) for path in folder.glob("[0-9]*/[0-9]*/*.zip")}


def edge_of_the_quota(stage: Stage) -> int:
    """More uploads at once than the quota allows, while the web server is killed: no more than allowed are taken."""
    from leaderboard.models import Attempt, Phase

    phase = Phase.objects.get(pk=stage.phase)
    held = Attempt.objects.filter(phase=phase).exclude(state="given_back")
    most = max(stage.query(lambda team=team: held.filter(team=team).count()) for team in team_ids(stage)) + 2
    stage.query(lambda: Phase.objects.filter(pk=phase.pk).update(quota_total=most))
    try:
        keys = [(team, secrets.token_hex(8)) for team in range(TEAMS) for _ in range(5)]
        threads = [threading.Thread(target=try_until_answered, args=(stage, *key)) for key in keys]
        for thread in threads:
            thread.start()
        struck = 0
        for _ in range(3):
            time.sleep(0.4)
            struck += killed(stage.processes("--web-on"))
        for thread in threads:
            thread.join()
        for team in team_ids(stage):
            taken = stage.query(lambda team=team: held.filter(team=team).count())
            assert taken <= most, f"{taken} attempts are taken, {most} are allowed"
    finally:
        stage.query(lambda: Phase.objects.filter(pk=phase.pk).update(quota_total=None))
    return struck


def team_ids(stage: Stage) -> list[int]:
    from leaderboard.models import Team

    return stage.query(lambda: list(Team.objects.order_by("pk").values_list("pk", flat=True)))


def try_until_answered(stage: Stage, team: int, key: str) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        answer = stage.upload(team, key)
        if answer is not None and answer.status_code in (200, 202):
            stage.accepted[int(answer.json()["id"])] = key
            return
        if (
            answer is not None
            and answer.status_code < 500
            and answer.json().get("code") in ("quota_used_up", "total_used_up")
        ):
            return
        time.sleep(0.2)


def long_queue_without_workers(stage: Stage) -> int:
    """80 archives wait and no worker moves: uploads are accepted as before, and all are scored afterwards."""
    with frozen_workers(stage):
        stage.post(80)
    return 1


def migration_under_load(stage: Stage) -> int:
    """A column comes and goes while uploads arrive and are scored, as an upgrade adds one."""
    from django.db import connection

    struck = 0
    for _ in range(3):
        stage.post(2)
        for change in ("ADD COLUMN chaos integer NULL", "DROP COLUMN chaos"):
            statement = f"ALTER TABLE leaderboard_submission {change}"
            stage.query(lambda statement=statement: connection.cursor().execute(statement))
            struck += 1
    stage.post(2)
    return struck


def s3_away(stage: Stage) -> int:
    """The bucket's service ends while archives wait, for longer than three tries take."""
    stage.post(4)
    stage.bucket.stop()
    try:
        answer = stage.upload(0, secrets.token_hex(8))
        assert answer is not None, "the connection ended without an answer"
        assert answer.status_code == 503, f"answered with {answer.status_code}"
        time.sleep(8)
    finally:
        stage.bucket.start()
    stage.post(2)
    return 1


def database_disk_full(stage: Stage) -> int:
    """The disk of database and archives fills up to its last byte, and is freed again. Needs a file system of its own."""
    assert os.path.ismount(stage.folder), "left out: needs root, to mount a small file system"
    stage.post(2)
    filler = stage.folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError:
            pass
        try:
            while True:
                file.write(bytes(512))
        except OSError:
            pass
    try:
        for _ in range(3):
            answer = stage.upload(0, secrets.token_hex(8))
            assert answer is None or answer.status_code >= 500, f"answered with {answer.status_code}"
        time.sleep(2)
    finally:
        filler.unlink()
    stage.post(2)
    return 3


HOLD = """
import sqlite3, sys, time
link = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
link.execute("BEGIN IMMEDIATE")
link.execute("UPDATE leaderboard_team SET served_at = served_at")
print("held", flush=True)
time.sleep(600)
"""


def frozen_in_the_writer_lock(stage: Stage) -> int:
    """A process is stopped while it holds SQLite's writer lock, for longer than a lease; then it dies. Uploads are refused
    or wait meanwhile; nothing is lost."""
    for _ in range(2):
        stage.post(2)
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(stage.folder / "db.sqlite3")], stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        upload = threading.Thread(target=try_until_answered, args=(stage, 0, secrets.token_hex(8)))
        upload.start()
        time.sleep(7)
        holder.kill()
        holder.wait()
        upload.join()
        with sqlite3.connect(stage.folder / "db.sqlite3") as link:
            assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return 2


def kill_postgresql(stage: Stage) -> int:
    """kill -9 while uploads are acknowledged: with a durable commit, none of them is lost."""
    from benchmarks.faults import kill_the_database

    struck = 0
    for _ in range(3):
        posting = threading.Thread(target=stage.post, args=(3,))
        posting.start()
        time.sleep(1)
        revive = kill_the_database()
        time.sleep(0.5)
        revive()
        posting.join()
        struck += 1
    return struck


@contextmanager
def frozen_workers(stage: Stage) -> Iterator[None]:
    """Stop every worker between two transactions: frozen inside one, it would hold its locks for as long as the fault lasts."""
    processes = stage.workers()
    try:
        _freeze(processes)
        end = time.monotonic() + 30
        while not _nobody_holds_a_lock(stage):
            assert time.monotonic() < end, "some worker is inside a transaction whenever it is stopped"
            _thaw(processes)
            time.sleep(0.05)
            _freeze(processes)
        yield
    finally:
        _thaw(processes)


def _freeze(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.suspend()


def _thaw(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.resume()


def _nobody_holds_a_lock(stage: Stage) -> bool:
    if stage.backend == "sqlite":
        with closing(sqlite3.connect(stage.folder / "db.sqlite3", timeout=1)) as link:
            try:
                link.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            return True
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
        )
        return cursor.fetchone() == (0,)


def caught(stage: Stage, submissions: list[int]) -> bool:
    """Wait until one of them is being scored; False when all were over before anybody looked."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        states = stage.states(submissions)
        if "scoring" in states:
            return True
        if "queued" not in states:
            return False
        time.sleep(0.005)
    return False


def now():
    from django.utils import timezone

    return timezone.now()
