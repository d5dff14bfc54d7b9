"""What follows when organisers change a phase, a team or a published entry: every board stays true and fresh."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from leaderboard.models import Competition, Phase, Standing, Team
from leaderboard.models.locks import lock_rows

RULES_OF_THE_BOARD = frozenset({"counts", "hidden_until_close", "freezes_at", "ladder_step", "ladder_start"})


def phase_changed(phase: Phase, fields: Iterable[str]) -> None:
    """After a phase was saved: standings anew where a rule of the board changed; the board's version moves on."""
    with transaction.atomic():
        if RULES_OF_THE_BOARD.intersection(fields):
            Standing.objects.rebuild(phase)
        Phase.objects.bump_board(phase.pk)


def boards_changed(competition: Competition) -> None:
    """With a change of something that every board of a competition shows: a team's name, the data note.

    Called before a team is saved: a new name keeps others from naming the row, also whoever holds a phase meanwhile.
    """
    for phase in lock_rows(competition.phases.all()):
        Phase.objects.bump_board(phase.pk)


def rebuild_standings(phases: Iterable[Phase]) -> int:
    """All standings of the phases anew from their submissions; returns how many rows there are now."""
    rows = 0
    for phase in phases:
        with transaction.atomic():
            Standing.objects.rebuild(phase)
            Phase.objects.bump_board(phase.pk)
            rows += Standing.objects.filter(phase=phase).count()
    return rows


def name_is_taken(team: Team, competition: Any, folded_name: str) -> bool:
    """Has another team of the competition this name (folded, see ``leaderboard.models.text``)?"""
    return Team.objects.filter(competition=competition, folded_name=folded_name).exclude(pk=team.pk).exists()
