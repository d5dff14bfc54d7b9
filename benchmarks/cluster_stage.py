"""A cluster on one machine: hosts in network namespaces, with what runs on each. For benchmarks.cluster and benchmarks.day.

`on_hosts` runs a program inside the client's host; there, `cluster` gives it the hosts with PostgreSQL, Redis and an S3 server started
and the database migrated, and `Cluster.open` starts nginx, the web hosts, the workers and beat.
"""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from benchmarks.hosts import NETWORK, Host, network, possible
from tests import services
from tests.proxies import write_certificate

ROOT = Path(__file__).resolve().parent.parent
HOSTS = {
    "client": 2,
    "proxy": 5,
    "database": 10,
    "broker": 11,
    "bucket": 12,
    "mail": 13,
    "web1": 21,
    "web2": 22,
}
HOSTS |= {"worker1": 31, "worker2": 32, "worker3": 33, "beat": 34}
WEBS, WORKERS = ("web1", "web2"), ("worker1", "worker2", "worker3")
LEASE = 5
GUNICORN = ["-m", "gunicorn", "--config", "python:leaderboard.platform.gunicorn", "leaderboard.wsgi"]
CELERY = ["-m", "celery", "--skip-checks", "--app", "leaderboard"]
WORKER = [*CELERY, "worker", "--pool", "solo", "--without-gossip", "--without-mingle", "--without-heartbeat"]


class Cluster:
    """The hosts with what runs on them."""

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
        until(lambda: connects(database.address, 5432), "PostgreSQL answers")
        until(lambda: connects(broker.address, 6379), "Redis answers")
        until(lambda: connects(bucket.address, 9000), "the S3 server answers")
        url = self.environment["DATABASE_URL"].rpartition("/")[0] + "/postgres"
        with psycopg.connect(url, autocommit=True) as link:
            link.execute("CREATE DATABASE leaderboard")
        self.manage("migrate", "-v0")

    def manage(self, *words: str, code: Path = ROOT) -> None:
        """A management command, from the client's host."""
        command = self.hosts["client"].command([sys.executable, "manage.py", *words])
        subprocess.run(command, cwd=code, env=self.of("client"), check=True, stdout=subprocess.DEVNULL)

    def start(self, name: str) -> None:
        """The server's process of a host, from the code that the host has."""
        words = {"web": GUNICORN, "worker": [*WORKER, "--hostname", f"{name}@%h"], "beat": [*CELERY, "beat"]}
        part = words[re.sub(r"\d", "", name)]
        self.running[name] = self.hosts[name].start([sys.executable, *part], self.of(name), self.code[name])

    def stop(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        self.hosts[name].stop(self.running.pop(name), how)

    def start_proxy(self) -> Path:
        """nginx with deploy/nginx.conf, whose one upstream becomes the two web hosts; returns the certificate."""
        host = self.hosts["proxy"]
        write_certificate(host.folder, "cluster", address=host.address)
        text = (ROOT / "deploy/nginx.conf").read_text()
        webs = "".join(f"server {self.hosts[name].address}:8000 max_fails=0; " for name in WEBS)
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

    def open(self) -> Path:
        """Start nginx, the web hosts, the workers and beat; returns the certificate when the site answers."""
        certificate = self.start_proxy()
        for name in (*WEBS, *WORKERS, "beat"):
            self.start(name)
        with httpx.Client(verify=str(certificate)) as client:

            def ready() -> bool:
                try:
                    return client.get(f"{self.environment['SITE_URL']}/readyz").status_code == 200
                except httpx.HTTPError:
                    return False

            until(ready, "the site answers through the proxy")
        return certificate

    def of(self, name: str) -> dict[str, str]:
        return {
            **self.environment,
            "DATA_DIR": str(self.hosts[name].folder / "data"),
            "HOST": self.hosts[name].address,
        }


@contextmanager
def cluster(**environment: str) -> Iterator[Cluster]:
    """Inside the client's host: the hosts with their services started and the database migrated; this process is set up as Django's.

    environment: settings of the server beside the usual ones.
    """
    folder = Path(os.environ["CLUSTER_FOLDER"])
    hosts = {name: Host(name, f"{NETWORK}{number}", folder / name) for name, number in HOSTS.items()}
    made = Cluster(hosts, folder)
    made.environment |= environment
    try:
        made.start_services()
        os.environ.update(made.of("client"), LOG_LEVEL="WARNING")
        _set_up_django()
        yield made
    finally:
        for host in hosts.values():
            host.end()


def _set_up_django() -> None:
    """With an empty bucket."""
    import django

    django.setup()
    import boto3
    from django.conf import settings

    boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    ).create_bucket(Bucket=settings.S3_BUCKET)


def on_hosts(module: str, options: list[str]) -> int:
    """Run `python -m MODULE --inside OPTIONS` in the client's host of a new network; returns its exit status, 2 if there can be none."""
    if reason := possible():
        print(f"NO CLUSTER: {reason}.")
        return 2
    # So that the hosts are taken down.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    folder = Path(tempfile.mkdtemp(prefix="leaderboard-cluster-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        with network(HOSTS, folder) as hosts:
            command = hosts["client"].command([sys.executable, "-m", module, "--inside", *options])
            environment = {**os.environ, "CLUSTER_FOLDER": str(folder), "PYTHONUNBUFFERED": "1"}
            done = subprocess.run(command, cwd=ROOT, env=environment)
        if done.returncode:
            for name in HOSTS:
                log = folder / name / "log"
                if log.exists() and (text := log.read_text(errors="replace").strip()):
                    print(f"\n{name}'s log ends:\n{text[-1500:]}")
        return done.returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def connects(address: str, port: int) -> bool:
    """Whether something listens there, as seen from the client's host."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def until(holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise RuntimeError(f"after {seconds:g} s it does not hold that {what}")
        time.sleep(0.1)


def judge(accepted: dict[int, str], earlier: int = 0) -> dict[str, int]:
    """What became of the accepted submissions, each with the key under which it was sent; so many others are `earlier` ones."""
    from leaderboard.models import Attempt, Evaluation, Submission

    rows = list(Submission.objects.with_evaluation().select_related("attempt").filter(pk__in=accepted))
    scored = [row for row in rows if row.state == "scored"]
    twice = [row for row in rows if Evaluation.objects.filter(submission=row, state="scored").count() > 1]
    twice += [
        row
        for row in rows
        if Submission.objects.filter(idempotency_key__contains=accepted[row.pk]).count() != 1
    ]
    return {
        "accepted": len(accepted),
        "scored": len(scored),
        "lost": len(accepted) - len(scored),
        "doubled": len(twice) + Submission.objects.count() - earlier - len(accepted),
        "attempts wrong": sum(row.attempt.state != Attempt.State.SPENT for row in rows),
    }


def settle(seconds: float) -> float:
    from django.db import connection

    from leaderboard.models import Evaluation

    began = time.monotonic()

    def final() -> bool:
        connection.close()
        return not Evaluation.objects.unfinished().exists()

    until(final, "everything is final", seconds)
    return time.monotonic() - began
