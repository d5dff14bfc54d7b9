"""The report at full size, in a real database: `python -m benchmarks.report [--backend B] [--keep FOLDER]`.

The generated history of 2022 (7,775 validation submissions) and a test phase of 85 teams, 219 submissions and 800
patches with masks, sites and images. Prints what building the report, looking for probes and copies, and opening the
pages cost: seconds, peak memory of a fresh process, bytes. With --keep the database stays and can be looked at:
`DATA_DIR=FOLDER python manage.py serve`; the organiser is "organiser" with the password "organiser" (SQLite only).
"""

import argparse
import io
import json
import os
import resource
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from tests import services

TEAMS, SUBMISSIONS, PATCHES, SITES, SIZE = 85, 219, 800, 20, 128
BASES = 10  # noise fields that every submission's noise is mixed from
SEED = 5
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--keep", type=Path, help="a new folder for the database")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run_step(arguments.step)
        return
    with ExitStack() as stack:
        folder = arguments.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(exist_ok=True)
        for name in ("DATABASE_URL", "REDIS_URL", "EMAIL_URL", "DEBUG"):
            os.environ.pop(name, None)
        os.environ.update(
            DATA_DIR=str(folder),
            SITE_URL="http://127.0.0.1:8000",
            LOG_LEVEL="ERROR",
            DJANGO_SETTINGS_MODULE="leaderboard.settings",
        )
        os.environ.setdefault("SECRET_KEY", secrets.token_hex(32))
        if arguments.backend == "postgres":
            os.environ["DATABASE_URL"] = url = stack.enter_context(services.postgresql())
            create_database(url)
        print(
            f"{arguments.backend}: {TEAMS} teams, {PATCHES} patches, {SUBMISSIONS} submissions in the phase"
        )
        print(f"{'':<54}{'seconds':>9}{'CPU':>7}{'MB':>6}")
        for step in STEPS:
            subprocess.run([sys.executable, "-m", "benchmarks.report", "--step", step], check=True)


def create_database(url: str) -> None:
    import psycopg

    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')


def run_step(step: str) -> None:
    import django

    django.setup()
    STEPS[step]()


def timed(what: str, act: Any, *arguments: Any) -> Any:
    """Run once; print the seconds, those of a processor, and the peak memory of this process so far."""
    start, cpu = time.perf_counter(), time.process_time()
    result = act(*arguments)
    row(what, time.perf_counter() - start, time.process_time() - cpu)
    return result


def row(what: str, seconds: float, cpu: float) -> None:
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:<54}{seconds:>9.2f}{cpu:>7.2f}{megabytes:>6.0f}", flush=True)


def prepare() -> None:
    """The database: not measured."""
    from django.core.management import call_command

    from leaderboard.management.commands import demo_history
    from leaderboard.models import Competition, User

    call_command("migrate", verbosity=0)
    call_command("demo_history", stdout=io.StringIO())
    competition = Competition.objects.get(slug=demo_history.SLUG)
    organiser = User.objects.create_user("organiser", password="organiser", is_staff=True)
    competition.organisers.add(organiser)
    fill_test_phase(competition.phases.get(slug="test"))


def fill_test_phase(phase: Any) -> None:
    """Replace the generated counts by masks: labels and predictions are blobs of one landscape."""
    from django.db import transaction

    from evaluation.scoring.counts import count, pack, sha256
    from evaluation.scoring.labels import compress
    from evaluation.task import MaskSpec
    from leaderboard.actions import judging
    from leaderboard.management.commands import demo_history
    from leaderboard.models import Evaluation, Prediction, Standing, Submission

    rng = np.random.default_rng(SEED)
    ground, bases = landscape(rng)
    spec = MaskSpec(PATCHES, SIZE, SIZE)
    truth = pack(ground > 2)
    phase.submissions.all().delete()
    sites = [f"Site {number // (PATCHES // SITES) + 1:02d}" for number in range(PATCHES)]
    judging.load_labels(None, phase, truth, spec, "made up", sites=sites)
    judging.keep_images(None, phase, {"true": quick_looks(ground, rng)})
    phase.refresh_from_db()
    made = demo_history.Made(PATCHES, SUBMISSIONS, TEAMS, 10)
    team_of = rng.permutation(np.repeat(np.arange(TEAMS), demo_history.shares(made, rng)))
    teams = list(phase.competition.teams.order_by("pk"))
    own = rng.dirichlet(np.full(BASES, 0.5), TEAMS).astype(np.float32)
    span = (phase.closes_at - phase.opens_at) / (SUBMISSIONS + 1)
    for number, team in enumerate(team_of.tolist(), start=1):
        mixed = own[team] + rng.normal(0, 0.05, BASES).astype(np.float32)
        level = np.float32(0.5 + 0.9 * team / TEAMS)
        masks = pack(ground + level * np.tensordot(mixed, bases, 1) > 2)
        submission = Submission.objects.create(
            phase=phase, team=teams[team], method=f"Entry {number}", size=0, sha256="",
            received_at=phase.opens_at + number * span,
        )  # fmt: skip
        submission.evaluation = demo_history.scored(phase, submission, count(masks, truth))
        submission.evaluation.save()
        submission.save(update_fields=["evaluation"])
        Prediction.objects.create(submission=submission, masks=compress(masks), sha256=sha256(masks, spec))
    add_baselines(phase, count(pack(ground + 1.5 * bases[0] > 2), truth), rng)
    assert Evaluation.objects.filter(submission__phase=phase).count() == SUBMISSIONS + 1
    with transaction.atomic():
        Standing.objects.rebuild(phase)


def add_baselines(phase: Any, counts: Any, rng: np.random.Generator) -> None:
    """A reference entry in this phase and in the one before it: the shake-up is measured against it."""
    from leaderboard.management.commands import demo_history
    from leaderboard.models import Phase, Submission, Team

    organisers = Team.objects.create(competition=phase.competition, name="Organisers", is_organisers=True)
    before = Phase.objects.select_related("labels").get(competition=phase.competition, slug="validation")
    (earlier,) = demo_history.made_up_counts(before, np.array([-0.5]), rng)
    for where, scores in ((before, earlier), (phase, counts)):
        entry = Submission.objects.create(
            phase=where, team=organisers, method="U-Net baseline", size=0, sha256="", reference=True,
            received_at=where.opens_at,
        )  # fmt: skip
        entry.evaluation = demo_history.scored(where, entry, scores)
        entry.evaluation.save()
        entry.save(update_fields=["evaluation"])


def landscape(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A field whose heights above 2 are landslides, in two of three patches; and noise fields that teams see it by."""
    shape = (PATCHES, SIZE, SIZE)

    def smooth(width: float) -> np.ndarray:
        field = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0, width, width))
        return field / field.std()

    ground = smooth(4)
    ground[rng.random(PATCHES) < 0.34] -= 3
    return ground, np.stack([smooth(2) for _ in range(BASES)])


def quick_looks(ground: np.ndarray, rng: np.random.Generator) -> list[bytes]:
    """Green slopes with bare soil where the landslides are, as PNG files."""
    from evaluation.report.png import png

    green, soil = np.array([60, 90, 50]), np.array([165, 130, 95])
    made = []
    for patch in ground:
        bare = np.clip(patch - 1.5, 0, 1)[..., None]
        texture = rng.normal(0, 8, (SIZE, SIZE, 1))
        made.append(png(np.clip(green + bare * (soil - green) + texture, 0, 255).astype(np.uint8)))
    return made


def build() -> None:
    from leaderboard.actions.reports import publish_report, request_report
    from leaderboard.models import Phase, PhaseReport
    from leaderboard.reporting import reports

    phase = Phase.objects.get(slug="test")
    report = request_report(None, phase)
    PhaseReport.objects.filter(pk=report.pk).update(tries=1)
    report = PhaseReport.objects.get(pk=report.pk)
    assert timed("build the report with its gallery", reports.fill, report) == "built", report.error
    publish_report(None, report)
    content = json.dumps(report.content).encode()
    pictures = [len(bytes(picture.png)) for picture in report.pictures.all()]
    print(
        f"  stored: {len(content) / 1e6:.2f} MB of JSON, {len(pictures)} pictures of {sum(pictures) / 1e6:.2f} MB"
    )


def look_at_test() -> None:
    look("test")


def look_at_validation() -> None:
    look("validation")


def look(slug: str) -> None:
    from leaderboard.models import Phase
    from leaderboard.reporting import reviews

    phase = Phase.objects.select_related("competition", "labels").get(slug=slug)
    number = phase.submissions.count()
    found = timed(f"probes and copies among {number:,} submissions", reviews.look, phase)
    print(f"  {found} findings")


def pages() -> None:
    from django.test import Client
    from django.urls import reverse

    from leaderboard.management.commands.demo_history import SLUG
    from leaderboard.models import User

    organiser = Client()
    organiser.force_login(User.objects.get(username="organiser"))
    for who, client in (("everyone", Client()), ("organisers", organiser)):
        for name in ("report", "report-json", "report-pairs"):
            open_page(f"{name} for {who}", client, reverse(f"pages:{name}", args=[SLUG, "test"]))


def open_page(what: str, client: Any, address: str) -> None:
    """First opening and the median of some more; bytes plain and compressed."""
    seconds, cpu = [], []
    for _ in range(1 + ROUNDS):
        start, cpu_start = time.perf_counter(), time.process_time()
        answer = client.get(address, SERVER_NAME="127.0.0.1")
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
        assert answer.status_code == 200, answer.status_code
    size, packed = len(answer.content), len(zlib.compress(answer.content, 6))
    row(
        f"open {what}: median (first {seconds[0]:.2f})",
        statistics.median(seconds[1:]),
        statistics.median(cpu[1:]),
    )
    print(f"  {size / 1e6:.2f} MB, {packed / 1e6:.2f} MB compressed")


STEPS = {
    "prepare": prepare,
    "build": build,
    "look at test": look_at_test,
    "look at validation": look_at_validation,
    "pages": pages,
}

if __name__ == "__main__":
    main()
