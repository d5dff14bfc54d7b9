"""Many hosts, really run: `python -m benchmarks.cluster [--short]` (root on Linux; nginx and PostgreSQL on the machine).

Network namespaces with addresses of their own: nginx with TLS, two web hosts, three workers, beat, PostgreSQL, Redis, an S3 server
(moto's), and a client. The client uploads without a pause, as a careful script does, while hosts are cut off, killed, emptied, stopped and
upgraded. Exit status 0 if every accepted submission was scored once, used one attempt, and no upload was refused for good.
"""

import argparse
import os
import secrets
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx

from benchmarks.cluster_stage import (
    LEASE,
    ROOT,
    WEBS,
    WORKERS,
    Cluster,
    cluster,
    connects,
    judge,
    on_hosts,
    settle,
    until,
)

TEAMS, PATCHES, SIZE = 4, 245, 128


@dataclass
class Uploads:
    """A client that uploads in turn for all teams, each archive under one key until it is accepted."""

    url: str
    certificate: Path
    phase: int
    tokens: list[str]
    archive: bytes
    accepted: dict[int, str] = field(default_factory=dict)
    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    stopped: Event = field(default_factory=Event)

    def run(self, pause: float) -> None:
        with httpx.Client(verify=str(self.certificate), timeout=90) as client:
            while not self.stopped.wait(pause):
                self._upload(client, len(self.accepted) % TEAMS)

    def _upload(self, client: httpx.Client, team: int) -> None:
        key, began = secrets.token_hex(8), time.monotonic()
        while time.monotonic() - began < 180:
            try:
                answer = client.post(
                    f"{self.url}/api/v1/submissions/",
                    headers={"Authorization": f"Bearer {self.tokens[team]}", "Idempotency-Key": key},
                    data={"phase": self.phase, "method": "cluster", "allow_duplicate": "true"},
                    files={"archive": ("masks.zip", self.archive, "application/zip")},
                )
            except httpx.TransportError as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[str(answer.status_code)] += 1
                if answer.status_code in (200, 202):
                    self.accepted[answer.json()["id"]] = key
                    self.slowest = max(self.slowest, time.monotonic() - began)
                    return
                if answer.status_code not in (429, 500, 502, 503, 504):
                    raise RuntimeError(f"refused for good: {answer.status_code} {answer.text[:500]}")
            time.sleep(0.5)
        raise RuntimeError(f"not accepted within three minutes; answers so far: {dict(self.answers)}")


# The acts. Each returns when it is over.


def cut_a_worker_off(cluster: Cluster, seconds: float) -> None:
    """For longer than a lease: another worker takes over what it held, and what it records afterwards counts for nothing."""
    cluster.hosts["worker1"].cut()
    time.sleep(seconds)
    cluster.hosts["worker1"].reconnect()


def kill_a_worker(cluster: Cluster, seconds: float) -> None:
    cluster.stop("worker2", signal.SIGKILL)
    time.sleep(seconds)
    cluster.start("worker2")


def empty_redis(cluster: Cluster, seconds: float) -> None:
    import redis

    redis.Redis(cluster.hosts["broker"].address).flushall()
    time.sleep(seconds)


def stop_the_bucket(cluster: Cluster, seconds: float) -> None:
    """Its cable is out: connections hang, as they do when a switch fails."""
    cluster.hosts["bucket"].cut()
    time.sleep(seconds)
    cluster.hosts["bucket"].reconnect()


def upgrade(cluster: Cluster, seconds: float) -> None:
    """A new version with a migration, rolled out host by host while the old one serves."""
    code = _next_version(cluster.folder / "next")
    cluster.manage("migrate", "-v0", code=code)
    for name in ("beat", *WORKERS, *WEBS):
        cluster.stop(name)
        cluster.code[name] = code
        cluster.start(name)
        if name.startswith("web"):
            address = cluster.hosts[name].address
            until(lambda address=address: connects(address, 8000), f"{name} answers")
    time.sleep(seconds)


def _next_version(folder: Path) -> Path:
    """A copy of the code with one more migration, which adds a column that the old version knows nothing of."""
    ignored = shutil.ignore_patterns("__pycache__", "tests", "docs", "reference", "var", ".*")
    shutil.copytree(ROOT, folder, ignore=ignored)
    migrations = folder / "leaderboard/migrations"
    last = sorted(path.stem for path in migrations.glob("[0-9]*.py"))[-1]
    (migrations / f"{int(last[:4]) + 1:04}_next_version.py").write_text(
        "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [('leaderboard', {last!r})]\n"
        "    operations = [migrations.RunSQL('ALTER TABLE leaderboard_submission ADD COLUMN next_version integer NULL',\n"
        "                                    'ALTER TABLE leaderboard_submission DROP COLUMN next_version')]\n"
    )
    return folder


def _set_up(archive_of) -> tuple[int, list[str], bytes]:
    """A phase whose labels equal the archive, and a token for each team: (phase, tokens, archive)."""
    import numpy as np
    from django.utils import timezone

    from evaluation.scoring.counts import pack
    from evaluation.task import MaskSpec
    from leaderboard.actions import judging, teams
    from leaderboard.models import ApiToken, Competition, Phase, User

    masks = (np.random.default_rng(1).random((PATCHES, SIZE, SIZE)) < 0.02).astype(np.uint8)
    competition = Competition.objects.create(slug="cluster", name="Cluster", is_published=True)
    phase = Phase.objects.create(
        competition=competition,
        slug="only",
        name="Only",
        opens_at=timezone.now(),
        quota_per_day=None,
        quota_total=None,
    )
    judging.load_labels(None, phase, pack(masks), MaskSpec(PATCHES, SIZE, SIZE))
    tokens = []
    for number in range(TEAMS):
        user = User.objects.create(username=f"cluster{number}")
        teams.create_team(user, competition, f"Team {number}")
        tokens.append(ApiToken.objects.create(user=user, name="cluster")[1])
    return phase.pk, tokens, archive_of(masks)


@contextmanager
def _uploading(uploads: Uploads, pause: float) -> Iterator[None]:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            uploads.run(pause)
        except BaseException as error:
            failed.append(error)

    threads = [Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        uploads.stopped.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


def play(short: bool) -> int:
    """Run inside the client's host."""
    from benchmarks.stage import slow_archive

    with cluster() as made:
        return _acts(made, short, slow_archive)


def _acts(cluster: Cluster, short: bool, archive_of: Callable) -> int:
    phase, tokens, archive = _set_up(archive_of)
    certificate = cluster.open()
    url = cluster.environment["SITE_URL"]
    acts = [
        ("a worker is cut off for longer than its lease", cut_a_worker_off, 3 * LEASE),
        ("a worker is killed and comes back", kill_a_worker, 2),
        ("Redis is emptied", empty_redis, 3),
        ("the S3 server is cut off", stop_the_bucket, 10 if short else 60),
        ("a new version with a migration is rolled out", upgrade, 3),
    ]
    print("| while | accepted | answers | slowest upload |\n| --- | ---: | --- | ---: |")
    totals: dict[int, str] = {}
    for what, act, seconds in acts:
        uploads = Uploads(url, certificate, phase, tokens, archive)
        with _uploading(uploads, 0.3):
            time.sleep(1)
            act(cluster, seconds)
        totals |= uploads.accepted
        answers = ", ".join(f"{number} × {kind}" for kind, number in sorted(uploads.answers.items()))
        print(f"| {what} | {len(uploads.accepted)} | {answers} | {uploads.slowest:.1f} s |", flush=True)
    settled = settle(180)
    found = judge(totals)
    print(
        "\n"
        + ", ".join(f"{name}: {number}" for name, number in found.items())
        + f"; all final after {settled:.1f} s."
    )
    if not short:
        _throughput(cluster, Uploads(url, certificate, phase, tokens, archive))
    return 1 if found["lost"] or found["doubled"] or found["attempts wrong"] else 0


def _throughput(cluster: Cluster, uploads: Uploads) -> None:
    """Archives scored per second with one, two and three workers, from a queue that is full."""
    print(f"\nScored per second, on {os.cpu_count()} cores that everything shares:")
    for number in (1, 2, 3):
        for name in WORKERS:
            if name in cluster.running:
                cluster.stop(name)
        with httpx.Client(verify=str(uploads.certificate), timeout=90) as client:
            for each in range(60):
                uploads._upload(client, each % TEAMS)
        for name in WORKERS[:number]:
            cluster.start(name)
        print(f"- {number} workers: {60 / settle(180):.1f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="the bucket is away for ten seconds, and no throughput"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return play(options.short)
    return on_hosts("benchmarks.cluster", ["--short"] if options.short else [])


if __name__ == "__main__":
    sys.exit(main())
