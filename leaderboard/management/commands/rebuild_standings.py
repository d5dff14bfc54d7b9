"""Make the standings of one phase, or of all, anew."""

from typing import Any

from django.core.management.base import BaseCommand

from leaderboard.actions.board_updates import rebuild_standings
from leaderboard.management.rows import find_phase
from leaderboard.models import Phase


class Command(BaseCommand):
    help = (
        "Compute the standings of a phase anew from its submissions. They are kept up to date by themselves; this "
        "mends them after rows were changed outside the program. Safe at any time."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "phase", nargs="?", metavar="PHASE", help="competition/phase; without it: every phase"
        )

    def handle(self, *, phase: str | None, **_: Any) -> None:
        phases = [find_phase(phase)] if phase else list(Phase.objects.select_related("competition"))
        rows = rebuild_standings(phases)
        self.stdout.write(self.style.SUCCESS(f"{len(phases)} phases, {rows} standings."))
