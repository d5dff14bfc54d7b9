"""Many hosts, really run: `python -m benchmarks.cluster [--short]` (root on Linux; nginx and PostgreSQL on the machine).

Eleven network namespaces with addresses of their own: nginx with TLS, two web hosts, three workers, beat, PostgreSQL, Redis, an S3 server
(moto's), and a client. The client uploads without a pause, as a careful script does, while hosts are cut off, killed, emptied, stopped and
upgraded. Exit status 0 if every accepted submission was scored once, used one attempt, and no upload was refused for good.
"""

import argparse
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

import httpx
import psycopg

from benchmarks.hosts import NETWORK, Host, network, possible
from tests import services
from tests.proxies import write_certificate

ROOT = Path(__file__).resolve().parent.parent
HOSTS = {"client": 2, "proxy": 5, "database": 10, "broker": 11, "bucket": 12, "web1": 21, "web2": 22}
HOSTS |= {"worker1": 31, "worker2": 32, "worker3": 33, "beat": 34}
TEAMS, PATCHES, SIZE, LEASE = 4, 245, 128, 5
GUNICORN = ["-m", "gunicorn", "--config", "python:leaderboard.platform.gunicorn", "leaderboard.wsgi"]
CELERY = ["-m", "celery", "--app", "leaderboard"]
WORKER = [*CELERY, "worker", "--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]


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


class Cluster:
    """The hosts with what runs on them, and the acts of the play."""

    def __init__(self, hosts: dict[str, Host], folder: Path):
        self.hosts = hosts
        self.folder = folder
        self.code = dict.fromkeys(hosts, ROOT)
        self.environment = _environment(hosts)
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start_services(self) -> None:
        database, broker, bucket = (self.hosts[name] for name in ("database", "broker", "bucket"))
        _start_postgresql(database)
        redis = [
            services._redis_program(),
            "--bind",
            broker.address,
            "--port",
            "6379",
            "--protected-mode",
            "no",
        ]
        broker.start([*redis, "--save", "", "--dir", broker.folder])
        bucket.start([sys.executable, "-m", "moto.server", "-H", bucket.address, "-p", "9000"])
        _until(lambda: _connects(database.address, 5432), "PostgreSQL answers")
        _until(lambda: _connects(broker.address, 6379), "Redis answers")
        _until(lambda: _connects(bucket.address, 9000), "the S3 server answers")

    def manage(self, *words: str, code: Path = ROOT) -> None:
        """A management command, from the client's host."""
        command = self.hosts["client"].command([sys.executable, "manage.py", *words])
        subprocess.run(command, cwd=code, env=self._of("client"), check=True, stdout=subprocess.DEVNULL)

    def start(self, name: str) -> None:
        """The server's process of a host, from the code that the host has."""
        words = {"web": GUNICORN, "worker": [*WORKER, "--hostname", f"{name}@%h"], "beat": [*CELERY, "beat"]}
        part = words[re.sub(r"\d", "", name)]
        self.running[name] = self.hosts[name].start([sys.executable, *part], self._of(name), self.code[name])

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        self.hosts[name].stop(self.running.pop(name), how)

    def start_proxy(self) -> Path:
        """nginx with deploy/nginx.conf, whose one upstream becomes the two web hosts; returns the certificate."""
        host = self.hosts["proxy"]
        write_certificate(host.folder, "cluster", address=host.address)
        text = (ROOT / "deploy/nginx.conf").read_text()
        webs = "".join(f"server {self.hosts[name].address}:8000 max_fails=0; " for name in ("web1", "web2"))
        text = re.sub(r"server web:8000[^;]*;", webs, text)
        text = re.sub(r"listen \[::\]:.*\n", "", text).replace("include mime.types;", "")
        text = text.replace("certificates/", f"{host.folder}/").replace(
            "/tmp/nginx.pid", f"{host.folder}/pid"
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        text = text.replace(
            "http {", "http {" + "".join(f"{kind}_temp_path {host.folder}/{kind};" for kind in kinds)
        )
        (host.folder / "nginx.conf").write_text("user root;\n" + text)
        nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
        if nginx is None:
            raise services.MissingService("The cluster needs nginx (on Debian: apt install nginx-light).")
        host.start([nginx, "-c", host.folder / "nginx.conf", "-g", "daemon off;"])
        return host.folder / "fullchain.pem"

    def _of(self, name: str) -> dict[str, str]:
        return {
            **self.environment,
            "DATA_DIR": str(self.hosts[name].folder / "data"),
            "HOST": self.hosts[name].address,
        }

    # The acts. Each returns when it is over.

    def cut_a_worker_off(self, seconds: float) -> None:
        """For longer than a lease: another worker takes over what it held, and what it records afterwards counts for nothing."""
        self.hosts["worker1"].cut()
        time.sleep(seconds)
        self.hosts["worker1"].reconnect()

    def kill_a_worker(self, seconds: float) -> None:
        self.stop("worker2", signal.SIGKILL)
        time.sleep(seconds)
        self.start("worker2")

    def empty_redis(self, seconds: float) -> None:
        import redis

        redis.Redis(self.hosts["broker"].address).flushall()
        time.sleep(seconds)

    def stop_the_bucket(self, seconds: float) -> None:
        """Its cable is out: connections hang, as they do when a switch fails."""
        self.hosts["bucket"].cut()
        time.sleep(seconds)
        self.hosts["bucket"].reconnect()

    def upgrade(self, seconds: float) -> None:
        """A new version with a migration, rolled out host by host while the old one serves."""
        code = _next_version(self.folder / "next")
        self.manage("migrate", "-v0", code=code)
        for name in ("beat", "worker1", "worker2", "worker3", "web1", "web2"):
            self.stop(name)
            self.code[name] = code
            self.start(name)
            if name.startswith("web"):
                address = self.hosts[name].address
                _until(lambda address=address: _connects(address, 8000), f"{name} answers")
        time.sleep(seconds)


def _environment(hosts: dict[str, Host]) -> dict[str, str]:
    database, broker, bucket, proxy = (
        hosts[name].address for name in ("database", "broker", "bucket", "proxy")
    )
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": f"postgres://leaderboard@{database}:5432/leaderboard",
        "REDIS_URL": f"redis://{broker}:6379/0",
        "S3_BUCKET": "leaderboard",
        "S3_ENDPOINT_URL": f"http://{bucket}:9000",
        "S3_REGION": "us-east-1",
        "S3_ACCESS_KEY": "any",
        "S3_SECRET_KEY": "any",
        "SITE_URL": f"https://{proxy}",
        "ALLOWED_HOSTS": ",".join([proxy, hosts["web1"].address, hosts["web2"].address]),
        "TRUSTED_PROXIES": "1",
        "SECRET_KEY": secrets.token_hex(32),
        "RECEIPT_KEY": secrets.token_hex(32),
        "PORT": "8000",
        "WEB_PROCESSES": "1",
        "EVALUATION_LEASE_SECONDS": str(LEASE),
        "EVALUATION_SWEEP_SECONDS": "1",
        "API_RATE_UPLOAD": "100000",
        "DJANGO_SETTINGS_MODULE": "leaderboard.settings",
        "OMP_NUM_THREADS": "1",
    }


def _start_postgresql(host: Host) -> None:
    """A durable cluster: what it has acknowledged survives."""
    programs = services._readable_programs(services._postgresql_programs(), host.folder)
    user, data = services._unprivileged_user(), host.folder / "data"
    data.mkdir()
    if user:
        shutil.chown(data, user)
    services._make_cluster(programs, data, host.folder, user)
    with (data / "pg_hba.conf").open("a") as file:
        file.write(f"host all all {NETWORK}0/24 trust\n")
    options = ["-c", "synchronous_commit=on", "-c", "max_connections=200", "-k", "", "-h", host.address]
    host.start([programs / "postgres", "-D", data, "-p", "5432", *options], os.environ, user=user)


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


def _connects(address: str, port: int) -> bool:
    """Whether something listens there, as seen from the client's host."""
    import socket

    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _until(holds, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"after {seconds:g} s it does not hold that {what}")
        time.sleep(0.1)


def _set_up(archive_of) -> tuple[int, list[str], bytes]:
    """A phase whose labels equal the archive, and a token for each team: (phase, tokens, archive)."""
    import django

    django.setup()
    import boto3
    import numpy as np
    from django.conf import settings
    from django.utils import timezone

    from evaluation.scoring.counts import pack
    from evaluation.task import MaskSpec
    from leaderboard.actions import judging, teams
    from leaderboard.models import ApiToken, Competition, Phase, User

    boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    ).create_bucket(Bucket=settings.S3_BUCKET)
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


def _judge(accepted: dict[int, str]) -> dict[str, int]:
    """What became of the accepted submissions."""
    from leaderboard.models import Attempt, Evaluation, Submission

    rows = list(Submission.objects.with_evaluation().select_related("attempt").filter(pk__in=accepted))
    scored = [row for row in rows if row.state == "scored"]
    twice = [row for row in rows if Evaluation.objects.filter(submission=row, state="scored").count() > 1]
    twice += [row for row in rows if Submission.objects.filter(idempotency_key=accepted[row.pk]).count() != 1]
    return {
        "accepted": len(accepted),
        "scored": len(scored),
        "lost": len(accepted) - len(scored),
        "doubled": len(twice) + Submission.objects.count() - len(accepted),
        "attempts wrong": sum(row.attempt.state != Attempt.State.SPENT for row in rows),
    }


def _settle(seconds: float) -> float:
    from django.db import connection

    from leaderboard.models import Evaluation

    began = time.monotonic()

    def final() -> bool:
        connection.close()
        return not Evaluation.objects.unfinished().exists()

    _until(final, "everything is final", seconds)
    return time.monotonic() - began


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

    folder = Path(os.environ["CLUSTER_FOLDER"])
    hosts = {name: Host(name, f"{NETWORK}{number}", folder / name) for name, number in HOSTS.items()}
    cluster = Cluster(hosts, folder)
    try:
        return _acts(cluster, short, slow_archive)
    finally:
        for host in hosts.values():
            host.end()


def _acts(cluster: Cluster, short: bool, archive_of) -> int:
    cluster.start_services()
    with psycopg.connect(
        cluster.environment["DATABASE_URL"].rpartition("/")[0] + "/postgres", autocommit=True
    ) as link:
        link.execute("CREATE DATABASE leaderboard")
    cluster.manage("migrate", "-v0")
    os.environ.update(cluster._of("client"), LOG_LEVEL="WARNING")
    phase, tokens, archive = _set_up(archive_of)
    certificate = cluster.start_proxy()
    for name in ("web1", "web2", "worker1", "worker2", "worker3", "beat"):
        cluster.start(name)
    url = cluster.environment["SITE_URL"]
    with httpx.Client(verify=str(certificate)) as client:

        def ready() -> bool:
            try:
                return client.get(f"{url}/readyz").status_code == 200
            except httpx.HTTPError:
                return False

        _until(ready, "the site answers through the proxy")
    acts = [
        ("a worker is cut off for longer than its lease", cluster.cut_a_worker_off, 3 * LEASE),
        ("a worker is killed and comes back", cluster.kill_a_worker, 2),
        ("Redis is emptied", cluster.empty_redis, 3),
        ("the S3 server is cut off", cluster.stop_the_bucket, 10 if short else 60),
        ("a new version with a migration is rolled out", cluster.upgrade, 3),
    ]
    print("| while | accepted | answers | slowest upload |\n| --- | ---: | --- | ---: |")
    totals: dict[int, str] = {}
    for what, act, seconds in acts:
        uploads = Uploads(url, certificate, phase, tokens, archive)
        with _uploading(uploads, 0.3):
            time.sleep(1)
            act(seconds)
        totals |= uploads.accepted
        answers = ", ".join(f"{number} × {kind}" for kind, number in sorted(uploads.answers.items()))
        print(f"| {what} | {len(uploads.accepted)} | {answers} | {uploads.slowest:.1f} s |", flush=True)
    settled = _settle(180)
    found = _judge(totals)
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
        for name in ("worker1", "worker2", "worker3"):
            if name in cluster.running:
                cluster.stop(name)
        with httpx.Client(verify=str(uploads.certificate), timeout=90) as client:
            for each in range(60):
                uploads._upload(client, each % TEAMS)
        for name in ("worker1", "worker2", "worker3")[:number]:
            cluster.start(name)
        print(f"- {number} workers: {60 / _settle(180):.1f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="the bucket is away for ten seconds, and no throughput"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return play(options.short)
    if reason := possible():
        print(f"NO CLUSTER: {reason}.")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="leaderboard-cluster-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with network(HOSTS, folder) as hosts:
            command = [
                sys.executable,
                "-m",
                "benchmarks.cluster",
                "--inside",
                *(["--short"] if options.short else []),
            ]
            environment = {**os.environ, "CLUSTER_FOLDER": str(folder), "PYTHONUNBUFFERED": "1"}
            done = subprocess.run(hosts["client"].command(command), cwd=ROOT, env=environment)
        if done.returncode:
            for name in HOSTS:
                log = folder / name / "log"
                if log.exists() and (text := log.read_text(errors="replace").strip()):
                    print(f"\n{name}'s log ends:\n{text[-1500:]}")
        return done.returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
