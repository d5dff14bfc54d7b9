"""Rebuild the standings of one phase, or of all."""

from typing import Any

from django.core.management.base import BaseCommand

from leaderboard.actions.board_updates import rebuild_standings
from leaderboard.management.rows import find_phase
from leaderboard.models import Phase


class Command(BaseCommand):
    help = (
        "Rebuild the standings of a phase from its submissions. They update automatically; this repairs them after "
        "rows were changed outside the program. Always safe to run."
    )

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "phase", nargs="?", metavar="PHASE", help="competition/phase (default: every phase)"
        )

    def handle(self, *, phase: str | None, **_: Any) -> None:
        phases = [find_phase(phase)] if phase else list(Phase.objects.select_related("competition"))
        rows = rebuild_standings(phases)
        self.stdout.write(self.style.SUCCESS(f"{len(phases)} phases, {rows} standings."))
