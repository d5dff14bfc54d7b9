"""What follows when organisers change a phase, a team or a published entry: every board stays true and fresh."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction

from leaderboard.models import Competition, Phase, Standing, Team
from leaderboard.models.locks import lock_rows

RULES_OF_THE_BOARD = frozenset({"counts", "hidden_until_close", "freezes_at", "ladder_step", "ladder_start"})


def phase_changed(phase: Phase, fields: Iterable[str]) -> None:
    """After a phase is saved: rebuild standings if a rule of the board changed, and raise the board's version."""
    with transaction.atomic():
        if RULES_OF_THE_BOARD.intersection(fields):
            Standing.objects.rebuild(phase)
        Phase.objects.bump_board(phase.pk)


def boards_changed(competition: Competition) -> None:
    """Raise the version of every board when something they all show changes: a team's name, the data note.

    Call it before saving a team: a new name locks the row against references, even from a transaction that locks a phase.
    """
    for phase in lock_rows(competition.phases.all()):
        Phase.objects.bump_board(phase.pk)


def rebuild_standings(phases: Iterable[Phase]) -> int:
    """Rebuild all standings of the phases from their submissions; returns the number of rows."""
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
