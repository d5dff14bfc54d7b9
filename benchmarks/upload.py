"""What one submission costs, from the POST to the score: `make bench-upload`.

Several clients upload the same archive without a pause, so that web process and worker are never idle, and the CPU time of every
process is divided by the number of scored submissions. Once as `make demo` runs (waitress, SQLite) and once as docker-compose.yml does
(gunicorn, PostgreSQL, Redis). A fixed piece of work measured in the same run says how fast the machine is.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.demo_stage import NO_LIMITS, running_demo
from benchmarks.latency import fixed_piece
from benchmarks.watchers import create_database, new_environment, web_process
from tests import services

ROOT = Path(__file__).resolve().parent.parent
AIMS = {"sqlite": 40, "postgres": 60}  # CPU milliseconds for a submission
AT_ONCE = 12  # unfinished evaluations, above which the clients wait
CLIENTS = 3
WARM_UP = 20  # submissions

Meter = Callable[[], float]


@dataclass
class Server:
    """A running server: where and as whom to upload, and the CPU seconds that each part has used so far."""

    url: str
    token: str
    phase: int
    archive: bytes
    meters: dict[str, Meter]

    def post(self, client: httpx.Client) -> None:
        answer = client.post(
            f"{self.url}/api/v1/submissions/",
            headers={"Authorization": f"Bearer {self.token}"},
            data={"phase": self.phase, "method": "benchmark", "allow_duplicate": "true"},
            files={"archive": ("masks.zip", self.archive, "application/zip")},
        )
        if answer.status_code != 202:
            raise RuntimeError(f"the upload was refused: {answer.status_code} {answer.text[:500]}")


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, of what it started and of those of them that have ended."""
    process, used = psutil.Process(pid), 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile, and its parent counts what it used
            used += sum(each.cpu_times()[:4])
    return used


@contextmanager
def on_sqlite(folder: Path) -> Iterator[Server]:
    with running_demo(folder) as demo:
        family = psutil.Process(demo.server.pid).children(recursive=True)
        parts: dict[str, list[int]] = {}
        for process in family:
            line = process.cmdline()
            name = next((name for name in ("--web-on", "worker", "beat") if name in line), "")
            if name:
                parts.setdefault({"--web-on": "web"}.get(name, name), []).append(process.pid)
        meters = {name: lambda pids=pids: sum(cpu_of(pid) for pid in pids) for name, pids in parts.items()}
        yield Server(demo.url, demo.token, demo.phase, demo.archive, meters)


@contextmanager
def on_postgres(folder: Path) -> Iterator[Server]:
    with ExitStack() as stack:
        new_environment(folder)
        os.environ["DATABASE_URL"] = stack.enter_context(services.postgresql())
        os.environ["REDIS_URL"] = stack.enter_context(services.redis_server()) + "/0"
        create_database()
        token, phase, archive = _contest()
        url, web = stack.enter_context(web_process("gunicorn", folder / "web.log"))
        meters: dict[str, Meter] = {"web": web}
        for name, options in (("worker", ["--pool", "solo"]), ("beat", ["--schedule", str(folder / "beat")])):
            pid = stack.enter_context(_celery(folder, name, *options))
            meters[name] = lambda pid=pid: cpu_of(pid)
        meters |= {"PostgreSQL": _postgres_meter(), "Redis": _redis_meter}
        yield Server(url, token, phase, archive, meters)


@contextmanager
def _celery(folder: Path, name: str, *options: str) -> Iterator[int]:
    command = [sys.executable, "-m", "celery", "--quiet", "--app", "leaderboard", name, *options]
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(60)


def _contest() -> tuple[str, int, bytes]:
    """A team's token, and an archive of the official size for a phase without quotas."""
    from io import BytesIO

    import numpy as np
    from django.db import connection

    from evaluation.archive import mask_zip
    from evaluation.scoring.counts import pack
    from evaluation.task import MaskSpec
    from leaderboard.actions import judging
    from leaderboard.models import ApiToken, User
    from tests.leaderboard import factories as make

    competition = make.make_competition()
    phase = make.make_phase(competition, quota_total=None, quota_per_day=None, quota_on_board=None)
    masks = blobs(np.random.default_rng(1), 245)
    judging.load_labels(None, phase, pack(masks), MaskSpec(245, 128, 128))
    user = User.objects.create(username="uploader", email="uploader@example.org")
    make.make_team(competition, "Uploaders", owner=user)
    written = BytesIO()
    mask_zip.write(written, masks)
    token = ApiToken.objects.create(user=user, name="benchmark")[1]
    connection.close()
    return token, phase.pk, written.getvalue()


def blobs(random: Any, number: int) -> Any:
    """Masks of half landslides, half empty, uint8 of (number, 128, 128): shapes compress as real masks do, noise does not."""
    import numpy as np

    y, x = np.mgrid[:128, :128]
    masks = np.zeros((number, 128, 128), np.uint8)
    for mask in masks[::2]:
        for row, column, radius in random.integers((0, 0, 4), (128, 128, 20), (3, 3)):
            mask[(y - row) ** 2 + (x - column) ** 2 < radius**2] = 1
    return masks


def _postgres_meter() -> Meter:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW data_directory")
        folder = cursor.fetchone()[0]
    connection.close()
    pid = int((Path(folder) / "postmaster.pid").read_text().splitlines()[0])
    return lambda: cpu_of(pid)


def _redis_meter() -> float:
    import redis

    used = redis.Redis.from_url(os.environ["REDIS_URL"]).info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def upload(server: Server, number: int) -> None:
    """Upload so many and wait until all are scored; the clients never wait for a score, only for a short queue."""
    from django.db import connection

    from leaderboard.models import Evaluation

    left, waits, failed = iter(range(number)), threading.Event(), []

    def client() -> None:
        try:
            with httpx.Client(timeout=60, trust_env=False) as made:
                for _ in left:
                    while waits.is_set():
                        time.sleep(0.01)
                    server.post(made)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while (unfinished := Evaluation.objects.unfinished().count()) or any(each.is_alive() for each in threads):
        (waits.set if unfinished >= AT_ONCE else waits.clear)()
        time.sleep(0.25)  # its question costs PostgreSQL something too
    connection.close()
    if failed:
        raise failed[0]


def measure(backend: str, number: int) -> int:
    """Print the table of one backend; 0 if its aim holds."""
    with tempfile.TemporaryDirectory() as folder:
        stage = on_sqlite if backend == "sqlite" else on_postgres
        with stage(Path(folder)) as server:
            from leaderboard.models import Evaluation

            upload(server, WARM_UP)
            scored = Evaluation.objects.filter(state="scored")
            before, began, first = (
                {name: meter() for name, meter in server.meters.items()},
                time.time(),
                scored.count(),
            )
            pieces = [fixed_piece()[1] for _ in range(5)]
            upload(server, number)
            used = {name: 1000 * (meter() - before[name]) / number for name, meter in server.meters.items()}
            seconds, count = time.time() - began, scored.count() - first
        if count != number:
            raise RuntimeError(f"{count} of {number} submissions were scored")
    total, piece = sum(used.values()), sorted(pieces)[2]
    print(
        f"\n{backend}: {number} submissions of {len(server.archive):,} bytes, {number / seconds:.1f} a second, load {os.getloadavg()[0]:.1f};"
    )
    print(f"the fixed piece of work took {piece:.1f} CPU-ms.\n")
    print("| part | CPU-ms per submission | share | x fixed piece |\n| --- | --- | --- | --- |")
    for name, spent in (*used.items(), ("**whole path**", total)):
        print(f"| {name} | {spent:.1f} | {spent / total:.0%} | {spent / piece:.1f} |")
    held = total <= AIMS[backend]
    print(f"\nAim: at most {AIMS[backend]} CPU-ms: {'held' if held else 'missed'}", flush=True)
    return 0 if held else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upload", description=__doc__)
    parser.add_argument("--backend", choices=sorted(AIMS), help="both, one after the other, if not named")
    parser.add_argument("--number", type=int, default=200, help="submissions to measure (200)")
    options = parser.parse_args()
    os.environ.update(NO_LIMITS)
    if options.backend:
        return measure(options.backend, options.number)
    command = [sys.executable, "-m", "benchmarks.upload", "--number", str(options.number)]
    missed = [  # Django's settings are read once in a process
        subprocess.run([*command, "--backend", name], cwd=ROOT, check=False).returncode for name in AIMS
    ]
    return max(missed)


if __name__ == "__main__":
    sys.exit(main())
