"""`make image`: build the Dockerfile without a container engine's daemon, and run the compose file's commands in the image.

buildah (Debian's) runs every step in a clean root that mmdebstrap makes: a stand-in for the base image, with Debian's own Python. Then
migrate, web, worker, mailer and beat start as docker-compose.yml says (user, command, environment, secrets as files), on a real
PostgreSQL and Redis, and an uploaded archive must be scored. Only root on Debian can do this. Containers share the host's network and
have no limits here: what the engine enforces is checked by its own schema (tests/leaderboard/test_deployment.py).
"""

import argparse
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests import services

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = "python3,python3-venv,ca-certificates"
PROGRAMS = {"buildah": "buildah", "mmdebstrap": "mmdebstrap"}
GRANTED = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
)
"""Capabilities that buildah leaves to a container; those of docker-compose.yml have none but their `cap_add`."""
STARTED = ("worker", "mailer", "beat")
SET_UP = """
from django.utils import timezone
import io, sys, numpy as np
from evaluation.archive import mask_zip
from evaluation.scoring.counts import pack
from evaluation.task import MaskSpec
from leaderboard.actions import judging, teams
from leaderboard.models import ApiToken, Competition, Phase, User
masks = (np.random.default_rng(1).random((4, 128, 128)) < 0.1).astype(np.uint8)
contest = Competition.objects.create(slug="image", name="Image", is_published=True)
phase = Phase.objects.create(competition=contest, slug="only", name="Only", opens_at=timezone.now())
judging.load_labels(None, phase, pack(masks), MaskSpec(4, 128, 128))
user = User.objects.create(username="image")
teams.create_team(user, contest, "Team")
mask_zip.write(open("/data/masks.zip", "wb"), masks)
print("TOKEN", ApiToken.objects.create(user=user, name="image")[1], phase.pk)
"""
CONFINEMENT = """
from leaderboard.models import Worker
print("CONFINED", *Worker.objects.values_list("confinement", flat=True))
"""


class Builder:
    """buildah with a storage of its own, without a daemon, each step in a chroot."""

    def __init__(self, storage: Path) -> None:
        self.storage = storage

    def command(self, *words: str | Path) -> list[str]:
        where = [
            "--root",
            self.storage / "root",
            "--runroot",
            self.storage / "run",
            "--storage-driver",
            "vfs",
        ]
        return ["buildah", *map(str, (*where, *words))]

    def __call__(self, *words: str | Path) -> str:
        done = subprocess.run(
            self.command(*words),
            capture_output=True,
            text=True,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        )
        if done.returncode:
            raise RuntimeError(f"buildah {words[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout.strip()


def base_image(buildah: Builder, archive: Path) -> None:
    """A clean Debian with Python, under the name that the Dockerfile asks for."""
    [name] = set(re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    suite = name.rpartition("-")[2]
    made = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", suite, str(archive)]
    if not archive.exists():
        subprocess.run(made, check=True)
    container = buildah("from", "scratch")
    buildah("add", "--quiet", container, archive, "/")
    buildah("run", container, "--", "ln", "-s", "python3", "/usr/bin/python")
    buildah("commit", "--quiet", container, f"docker.io/library/{name}")


class Services:
    """The compose file's services that run our image."""

    def __init__(self, buildah: Builder, folder: Path, environment: dict[str, str]) -> None:
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        self.described = {
            name: each for name, each in compose["services"].items() if each["image"] == "leaderboard"
        }
        self.buildah, self.folder, self.environment = buildah, folder, environment
        self.container = buildah("from", "--pull-never", "localhost/leaderboard")
        self.data = folder / "data"
        self.data.mkdir()
        os.chown(self.data, 10001, 10001)

    def command(self, name: str, *instead: str) -> list[str]:
        """How the service's command is run in the image; `instead` is another command under the same conditions."""
        service = self.described[name]
        words = instead or service.get("command") or self._command_of_the_image()
        own = {key: str(value) for key, value in service["environment"].items() if key.startswith("READER")}
        variables = [
            word for pair in {**self.environment, **own}.items() for word in ("--env", "=".join(pair))
        ]
        mounts = ["--volume", f"{self.data}:/data", "--volume", f"{self.folder / 'secrets'}:/run/secrets:ro"]
        dropped = [each for each in GRANTED if each not in service.get("cap_add", ())]
        capabilities = [word for each in dropped for word in ("--cap-drop", f"CAP_{each}")]
        user = ["--user", service.get("user", "leaderboard")]
        return self.buildah.command(
            "run",
            *variables,
            *mounts,
            *user,
            *capabilities,
            self.container,
            "--",
            *words,
        )

    def _command_of_the_image(self) -> list[str]:
        [line] = re.findall(r"^CMD (\[.*\])", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        return yaml.safe_load(line)

    def run(self, name: str, *instead: str) -> str:
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(self.command(name, *instead), capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(f"{name} {instead} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return done.stdout

    @contextmanager
    def started(self, name: str) -> Iterator[Path]:
        log = self.folder / f"{name}.log"
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        with log.open("wb") as file:
            process = subprocess.Popen(
                self.command(name), stdout=file, stderr=file, env=environment, start_new_session=True
            )
        try:
            yield log
        finally:
            os.killpg(process.pid, 15)
            process.wait(60)


def score_one(running: Services, port: int) -> dict[str, Any]:
    """Upload an archive to the web service and wait until the worker has scored it."""
    said = running.run("web", "python", "manage.py", "shell", "-c", SET_UP)
    token, phase = re.findall(r"TOKEN (\S+) (\d+)", said)[0]
    headers = {
        "Authorization": f"Bearer {token}",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "127.0.0.1",
    }
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200, "the web service answers /readyz")
        archive = (running.data / "masks.zip").read_bytes()
        answer = client.post(
            "/api/v1/submissions/",
            data={"phase": phase, "method": "image"},
            files={"archive": ("masks.zip", archive)},
        )
        if answer.status_code != 202:
            raise RuntimeError(f"the upload was refused: {answer.status_code} {answer.text[:500]}")
        address = f"/api/v1/submissions/{answer.json()['id']}/"
        wait_for(lambda: client.get(address).json()["state"] not in ("queued", "scoring"), "it is scored")
        return client.get(address).json()


def wait_for(holds: Any, what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > end:
            raise RuntimeError(f"after {seconds:g} s it does not hold that {what}")
        time.sleep(0.3)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.image", description=__doc__)
    parser.add_argument(
        "--volume", action="append", default=[], help="lent to the build, for example a mirror's pip.conf"
    )
    parser.add_argument(
        "--base", type=Path, help="a clean root as tar, to keep for the next time; made if it is not there"
    )
    options = parser.parse_args()
    lent = [word for volume in options.volume for word in ("--volume", volume)]
    if os.geteuid() or not all(map(shutil.which, PROGRAMS)):
        print(f"This needs root on Debian, with: apt install {' '.join(PROGRAMS.values())}")
        return 2
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leaderboard-image-")))
        folder.chmod(0o755)
        buildah = Builder(folder / "storage")
        base_image(buildah, options.base or folder / "base.tar")
        print("clean root: made", flush=True)
        buildah("build", "--pull-never", *lent, "--network", "host", "--tag", "leaderboard", ROOT)
        print("Dockerfile: every step ran", flush=True)
        port = services.free_port()
        (folder / "secrets").mkdir()
        (folder / "secrets/secret_key").write_text(secrets.token_hex(32))
        environment = {
            "DATABASE_URL": stack.enter_context(services.postgresql()),
            "REDIS_URL": stack.enter_context(services.redis_server()) + "/0",
            "SECRET_KEY_FILE": "/run/secrets/secret_key",
            "SITE_URL": f"https://localhost:{port}",
            "ALLOWED_HOSTS": "127.0.0.1",
            "DATA_DIR": "/data",
            "PORT": str(port),
            "TRUSTED_PROXIES": "1",
        }
        create_database(environment["DATABASE_URL"])
        running = Services(buildah, folder, environment)
        running.run("migrate")
        print("migrate: done", flush=True)
        logs = [stack.enter_context(running.started(name)) for name in ("web", *STARTED)]
        try:
            result = score_one(running, port)
        except RuntimeError as error:
            for log in logs:
                print(f"--- {log.stem}\n{log.read_text(errors='replace')[-2500:]}")
            raise SystemExit(str(error)) from error
        confined = running.run("web", "python", "manage.py", "shell", "-c", CONFINEMENT)
        print(
            f"web, {', '.join(STARTED)}: an upload is {result['state']}, F1 {result['f1']}; {confined.splitlines()[-1]}"
        )
        return 0 if result["state"] == "scored" and "CONFINED filtered" in confined else 1


def create_database(url: str) -> None:
    import psycopg

    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')


if __name__ == "__main__":
    sys.exit(main())
