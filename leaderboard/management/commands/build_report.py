"""Build the report of a phase here and now, without a worker."""

import csv
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from leaderboard import reports
from leaderboard.actions.refusals import Refusal
from leaderboard.actions.reports import publish_report
from leaderboard.management.rows import find_phase
from leaderboard.models import Phase, PhaseReport


class Command(BaseCommand):
    help = (
        "Build the report of a phase: intervals, rank ranges, tests, agreement. Organisers see it at once, everyone "
        "when it is published after the end. PHASE is competition/phase (their slugs) or the phase's number."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("phase", metavar="PHASE", help="e.g. landslide4sense-2022/test")
        parser.add_argument(
            "--sites",
            type=Path,
            metavar="CSV",
            help="columns patch and site: intervals and tests are then by site (from five sites on)",
        )
        parser.add_argument("--publish", action="store_true", help="show it to everyone")

    def handle(self, *, phase: str, publish: bool, sites: Path | None, **_: Any) -> None:
        found = find_phase(phase)
        names = read_sites(sites, found) if sites else None
        row = PhaseReport.objects.create(phase=found, started_at=timezone.now(), tries=reports.TRIES)
        if reports.fill(row, names) != "built":
            raise CommandError(row.error)
        if publish:
            try:
                publish_report(None, row)
            except Refusal as refusal:
                raise CommandError(refusal.message) from refusal
        self.stdout.write(self.style.SUCCESS(f"{row.phase}: report {row.pk} is {row.state}."))


def read_sites(path: Path, phase: Phase) -> list[str]:
    """The site of each patch of the phase, in their order. CommandError names the first patch that has none."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            site_of = {row["patch"].strip(): row["site"].strip() for row in csv.DictReader(file)}
    except (OSError, UnicodeDecodeError, KeyError, AttributeError) as error:
        raise CommandError(
            f"{path} cannot be used ({error!r}). Write CSV with the columns patch and site."
        ) from error
    patches = phase.labels.patches if phase.labels else 0
    missing = next((number for number in range(1, patches + 1) if not site_of.get(str(number))), None)
    if missing:
        raise CommandError(f"{path} names no site for patch {missing}. Name one for each of 1 to {patches}.")
    return [site_of[str(number)] for number in range(1, patches + 1)]
