"""Build the report of a phase immediately, without a worker."""

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from leaderboard.actions.refusals import Refusal
from leaderboard.actions.reports import check_as_of, publish_report
from leaderboard.management.rows import find_phase
from leaderboard.models import PhaseReport
from leaderboard.reporting import reports


class Command(BaseCommand):
    help = (
        "Build the report of a phase: intervals, rank ranges, tests, agreement. Organisers see it at once, everybody "
        "once it is published after the end. PHASE is competition/phase (their slugs) or the phase's number."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("phase", metavar="PHASE", help="e.g. landslide4sense-2022/test")
        parser.add_argument(
            "--as-of",
            type=moment,
            metavar="DATE",
            help="include only submissions received before, e.g. 2026-12-31 or 2026-12-31T12:00:00+00:00 (default: UTC)",
        )
        parser.add_argument("--publish", action="store_true", help="publish it")

    def handle(self, *, phase: str, publish: bool, as_of: datetime | None, **_: Any) -> None:
        found = find_phase(phase)
        try:
            as_of = check_as_of(found, as_of)
        except Refusal as refusal:
            raise CommandError(refusal.message) from refusal
        row = PhaseReport.objects.create(
            phase=found, as_of=as_of, started_at=timezone.now(), tries=reports.TRIES
        )
        if reports.fill(row) != "built":
            raise CommandError(row.error)
        if publish:
            try:
                publish_report(None, row)
            except Refusal as refusal:
                raise CommandError(refusal.message) from refusal
        self.stdout.write(self.style.SUCCESS(f"{row.phase}: report {row.pk} is {row.state}."))


def moment(text: str) -> datetime:
    """A date or time in ISO 8601. Raises ValueError, which argparse reports."""
    given = datetime.fromisoformat(text)
    return given if given.tzinfo else given.replace(tzinfo=UTC)
