"""The faults of the chaos run. Each acts on a running stage and returns how many times it struck."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import psycopg
import redis

from benchmarks import bad_days, quick_faults
from benchmarks.stage import DURABLE, LEASE_SECONDS, Stage, killed


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Callable[[Stage], int]
    backends: tuple[str, ...] = ("sqlite", "postgres")
    short: bool = False
    needs: str = ""  # "s3", or "a small disk": a stage of its own, or root
    all_scored: bool = False  # none may end as failed, even with its attempt given back
    often: int = 1  # how many times it comes in each round of a long run


def kill_workers(stage: Stage) -> int:
    return _strike_while_scoring(stage, 4, stage.workers)


def kill_readers(stage: Stage) -> int:
    return _strike_while_scoring(stage, 6, stage.readers)


def _strike_while_scoring(stage: Stage, times: int, victims: Callable[[], list[psutil.Process]]) -> int:
    """Upload, and strike so many times, each while something is being scored."""
    struck = 0
    for _ in range(times):
        waiting = stage.post(2)
        if bad_days.caught(stage, waiting):
            struck += killed(victims())
    return struck


def kill_beat(stage: Stage) -> int:
    stage.post(2)
    struck = killed(stage.processes("celery", " beat"))
    stage.post(2)
    return struck


def kill_web_during_uploads(stage: Stage) -> int:
    struck = 0
    for _ in range(4):
        stage.post(1)
        struck += killed(stage.processes("--web-on"))
        stage.post(2)
    return struck


def freeze_a_worker_past_its_lease(stage: Stage) -> int:
    for _ in range(10):
        if bad_days.caught(stage, stage.post(1)):
            worker = stage.scoring_worker()
            if worker is None:
                continue
            worker.send_signal(signal.SIGSTOP)
            time.sleep(LEASE_SECONDS + 2.5)
            worker.send_signal(signal.SIGCONT)
            stage.post(2)
            return 1
    return 0


def empty_the_broker(stage: Stage) -> int:
    stage.post(6)
    if stage.backend == "postgres":
        redis.Redis.from_url(os.environ["REDIS_URL"]).flushall()
    else:
        for file in (stage.folder / "broker").iterdir():  # the messages, and the pipes that workers listen to
            file.unlink(missing_ok=True)
    return 1


def redis_down_during_uploads(stage: Stage) -> int:
    """The median upload time in the table is that of the uploads made while Redis was down."""
    revive = _kill_redis()
    stage.post(6)
    while_down = list(stage.uploads)
    time.sleep(2)
    revive()
    stage.post(2)
    stage.uploads[:] = while_down
    return 1


def cut_every_database_connection(stage: Stage) -> int:
    struck = 0
    for _ in range(3):
        bad_days.caught(stage, stage.post(2))
        with psycopg.connect(_maintenance_url(), autocommit=True) as link:
            others = "pid <> pg_backend_pid() AND datname IS NOT NULL"
            cut = link.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
            struck += cut.rowcount
    return struck


def disk_full_during_uploads(stage: Stage) -> int:
    """First the folder in which uploads arrive, then the one where they are kept, is a full disk of 64 kB."""
    struck = 0
    for name in ("incoming", "uploads"):
        stage.post(2)
        stage.settle()  # workers must still reach stored archives
        folder = str(stage.folder / name)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
        try:
            for _ in range(3):
                answer = stage.upload(0, secrets.token_hex(8))
                struck += 1
                # If there is no room for the body itself, the web server can only close the connection.
                assert answer is not None or name == "incoming", "the connection ended without an answer"
                assert answer is None or answer.status_code >= 500, f"answered with {answer.status_code}"
                assert answer is None or str(stage.folder) not in answer.text, (
                    "a path of the server was named"
                )
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
    stage.post(3)
    return struck


def storage_away(stage: Stage) -> int:
    """Every path below the uploads' folder is an error, as on an unmounted share, for longer than three tries take."""
    stage.post(6)
    folder, away = stage.folder / "uploads", stage.folder / "away"
    folder.rename(away)
    folder.write_bytes(b"")
    try:
        for _ in range(2):
            answer = stage.upload(0, secrets.token_hex(8))
            assert answer is not None, "the connection ended without an answer"
            assert answer.status_code == 503, f"answered with {answer.status_code}"
        time.sleep(8)
    finally:
        folder.unlink()
        away.rename(folder)
    stage.post(2)
    return 2


def restart_the_machine(stage: Stage) -> int:
    bad_days.caught(stage, stage.post(6))
    revivals = [kill_the_database(), _kill_redis()] if stage.backend == "postgres" else []
    stage.kill_everything()
    for revive in revivals:
        revive()
    stage.start()
    return 1


def poison(stage: Stage) -> int:
    """The worker that scores this archive dies at each try; after three it ends as failed."""
    [submission] = stage.post(1)
    struck = 0
    end = time.monotonic() + 60
    while stage.state(submission) in ("queued", "scoring") and time.monotonic() < end:
        if stage.state(submission) == "scoring" and stage.tries(submission) > struck:
            struck += bool(killed(stage.workers()))
        time.sleep(0.02)
    return struck


def _maintenance_url() -> str:
    return os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres"


def kill_the_database() -> Callable[[], None]:
    """Kill the private PostgreSQL with -9; returns what starts it again on the same data."""
    with psycopg.connect(_maintenance_url()) as link:
        data, port = link.execute(
            "SELECT current_setting('data_directory'), current_setting('port')"
        ).fetchone()
    with open(f"{data}/postmaster.pid") as file:
        server = psutil.Process(int(file.readline()))
    program, user = server.exe(), server.username()
    family = [server, *server.children(recursive=True)]
    killed(family)
    psutil.wait_procs(family, timeout=10)
    command = [program, "-D", data, "-p", port, "-k", "", "-h", "127.0.0.1", "-c", "fsync=off"]
    command += [word for name, value in DURABLE.items() for word in ("-c", f"{name}={value}")]
    return lambda: _start(command, data, user if os.geteuid() == 0 else None, _postgresql_answers)


def _kill_redis() -> Callable[[], None]:
    """Kill the private Redis with -9; returns what starts it again, empty."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    server = psutil.Process(client.info("server")["process_id"])
    program, folder = server.exe(), server.cwd()
    port = str(client.info("server")["tcp_port"])
    killed([server])
    psutil.wait_procs([server], timeout=10)
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    return lambda: _start(command, folder, None, client.ping, program)


def _postgresql_answers() -> None:
    psycopg.connect(_maintenance_url(), connect_timeout=2).close()


REVIVED: list[subprocess.Popen[bytes]] = []


def _start(
    command: list[str],
    folder: str,
    user: str | None,
    answers: Callable[[], object],
    program: str | None = None,
) -> None:
    """Start a service again and wait until it answers. `program`: its file, where its first word is not the path
    (Debian's redis-server is a link to a program of several names)."""
    with open(f"{folder}/revived.log", "ab") as log:
        REVIVED.append(
            subprocess.Popen(command, executable=program, cwd=folder, stdout=log, stderr=log, user=user)
        )
    end = time.monotonic() + 30
    while True:
        try:
            answers()
            return
        except (psycopg.OperationalError, redis.ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def end_revived() -> None:
    """End the services that were started again."""
    for process in REVIVED:
        process.kill()
        process.wait()


FAULTS = (
    Fault("connections of uploads cut", quick_faults.cut_connections_of_uploads, short=True, often=30),
    Fault("kill -9 what reads an archive", quick_faults.kill_what_reads, often=30),
    Fault(
        "database cut while an archive is read", quick_faults.cut_the_database_at_work, ("postgres",), often=8
    ),
    Fault("kill -9 every worker", kill_workers, short=True),
    Fault("kill -9 beat", kill_beat),
    Fault("kill -9 the readers", kill_readers, short=True),
    Fault("kill -9 the web server during uploads", kill_web_during_uploads),
    Fault("freeze a worker past its lease", freeze_a_worker_past_its_lease),
    Fault("empty the broker", empty_the_broker, short=True),
    Fault("Redis down during uploads", redis_down_during_uploads, ("postgres",), short=True),
    Fault("cut every database connection", cut_every_database_connection, ("postgres",), short=True),
    Fault("disk full during uploads", disk_full_during_uploads),
    Fault("the storage of the archives goes away", storage_away, all_scored=True),
    Fault("restart of the whole machine", restart_the_machine),
    Fault("poison: three workers die of it", poison),
    Fault("archives swapped, cut, changed, emptied, deleted", bad_days.harm_archives, short=True),
    Fault("clock set back: leases of tomorrow, dead workers", bad_days.clock_set_back),
    Fault("clock set forward and back: pauses until tomorrow", bad_days.clock_set_forward),
    Fault("three beats", bad_days.three_beats),
    Fault(
        "web killed between file and commit; orphans swept",
        bad_days.kill_web_between_file_and_commit,
    ),
    Fault("the edge of the quota, web killed meanwhile", bad_days.edge_of_the_quota),
    Fault("80 archives wait, no worker moves", bad_days.long_queue_without_workers, all_scored=True),
    Fault("a column comes and goes under load", bad_days.migration_under_load, all_scored=True),
    Fault("frozen inside SQLite's writer lock", bad_days.frozen_in_the_writer_lock, ("sqlite",)),
    Fault("the database's disk is full", bad_days.database_disk_full, ("sqlite",), needs="a small disk"),
    Fault("kill -9 PostgreSQL during uploads", bad_days.kill_postgresql, ("postgres",), short=True),
    Fault("S3 goes away", bad_days.s3_away, needs="s3", all_scored=True),
)
