"""Train reference methods and submit them to the demo's board through its REST API."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from leaderboard.actions.accounts import create_token, revoke_token
from leaderboard.models import Phase, Scope, User

START_SECONDS = 60


class Command(BaseCommand):
    """Training runs as a separate program, with an organiser's token that is revoked afterwards."""

    help = (
        "Train methods on new synthetic data and submit their masks to the demo's server (started if it is not running) "
        "as reference entries: shown on the board, marked, unranked. Needs baseline/requirements.txt."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("--methods", nargs="+", default=["unet"], help="default: unet")
        parser.add_argument("--seeds", nargs="+", default=["0"], help="default: 0")
        parser.add_argument("--preset", default="small", help="tiny, small or full (default: small)")
        parser.add_argument(
            "flags", nargs="*", help="training options for all methods, after `--`: `-- --precision bf16`"
        )

    def handle(
        self, *, methods: list[str], seeds: list[str], preset: str, flags: list[str], **_: Any
    ) -> None:
        notes = Path(settings.DATA_DIR) / "demo.json"
        if not notes.exists():
            call_command("demo")
        demo = json.loads(notes.read_text())
        organiser = User.objects.get(username=demo["organiser"]["username"])
        competition = Phase.objects.select_related("competition").get(pk=demo["phase"]).competition
        row, token = create_token(
            organiser,
            f"reference {time.time():.0f}",
            [Scope.SUBMIT, Scope.ORGANISE],
            competition=competition,
            days=1,
            announce=False,
        )
        command = [sys.executable, "-m", "baseline", "reference", "--competition", competition.slug]
        command += ["--images", demo["images"], "--out", str(Path(settings.DATA_DIR) / "reference")]
        command += ["--preset", preset, "--methods", *methods, "--seeds", *seeds, *flags]
        try:
            with running_server(demo["url"]) as url:
                done = subprocess.run(
                    [*command, "--server", url],
                    cwd=settings.BASE_DIR,
                    env={**os.environ, "L4S_TOKEN": token},
                )
        finally:
            revoke_token(organiser, row.digest)
        if done.returncode:
            raise CommandError("Some reference entries were not made; see the errors above.")
        board = reverse("pages:boards", args=[competition.slug])
        self.stdout.write(f"\nThe board is at {url}{board} while the server runs (make demo).")


@contextmanager
def running_server(noted: str) -> Iterator[str]:
    """The URL of the server on this data folder: the running one, or one that is started and later stopped."""
    if serves_already():
        wait_until_ready(noted, None)
        yield noted
        return
    command = [
        sys.executable,
        str(settings.BASE_DIR / "manage.py"),
        "serve",
        "--with-parent",
        str(os.getpid()),
    ]
    log = Path(settings.DATA_DIR) / "reference-server.log"
    with log.open("wb") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        wait_until_ready(settings.SITE_URL, server, log)
        yield settings.SITE_URL
    finally:
        server.terminate()
        server.wait(60)


def serves_already() -> bool:
    """Whether a server holds the data folder's lock."""
    with (Path(settings.DATA_DIR) / "serve.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until_ready(url: str, server: subprocess.Popen[bytes] | None, log: Path | None = None) -> None:
    """Return once the server at `url` responds; otherwise raise CommandError with the end of its log, if any."""
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - the URL is from the settings
                if answer.status == 200:
                    return
        except (URLError, OSError):
            pass
        ended = server is not None and server.poll() is not None
        if ended or time.monotonic() > end:
            ending = f" Its log ends:\n{log.read_text(errors='replace')[-1500:]}" if log else ""
            raise CommandError(
                f"The server of {settings.DATA_DIR} does not answer at {url}. If it listens elsewhere, set PORT.{ending}"
            )
        time.sleep(0.2)
