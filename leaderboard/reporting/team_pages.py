"""What everybody may read about a team: its place on each board, the method behind it, its scores over time."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evaluation.scoring.metrics import KEY_SCALE
from leaderboard.models import Phase, Standing, Submission, Team
from leaderboard.models.visibility import View, view_of

from .boards import Row, board_of, row_of, shown_until


@dataclass(frozen=True)
class Place:
    """A team on the board of a phase, as a viewer sees it; ``history``: (time, F1 in percent), oldest first."""

    phase: Phase
    row: Row
    total: int
    history: list[tuple[datetime, float]]


@dataclass(frozen=True)
class Public:
    """What a viewer may read about a team: its places, the organisers' reference entries."""

    places: list[Place]
    references: list[tuple[Phase, Row]]


def public_of(team: Team, phases: list[Phase], viewer: Any, now: datetime) -> Public | None:
    """None for a team that stands on no board that the viewer sees, unless it is the viewer's own or the viewer organises."""
    found = Public(places_of(team, phases, viewer, now), reference_entries(team, phases, viewer, now))
    known = found.places or found.references
    if known or team.has_member(viewer) or team.competition.is_organised_by(viewer):
        return found
    return None


def places_of(team: Team, phases: list[Phase], viewer: Any, now: datetime) -> list[Place]:
    """The team's places on the boards that the viewer sees, in the order of the phases."""
    places = []
    for phase in phases:
        board = board_of(phase, viewer, now, limit=0)
        row = row_of(board, team)
        if row is not None:
            places.append(Place(phase, row, board.total, history_of(team, phase, board.view)))
    return places


def history_of(team: Team, phase: Phase, view: View) -> list[tuple[datetime, float]]:
    """The results with which the team has stood on the board. Empty where only its current result is public."""
    if view.board is None or (view.board == Standing.Kind.SHOWN and phase.ladder is not None):
        return []
    made = (
        Submission.objects.seen_over_time(phase).filter(team=team).received_before(shown_until(phase, view))
    )
    rows: Any = made.order_by("received_at", "pk").values_list("received_at", "evaluation__rank_key")
    steps: list[tuple[datetime, float]] = []
    highest = -1
    for at, key in rows:
        if key > highest or phase.counts == Phase.Counts.LATEST:
            highest = key
            steps.append((at, 100 * key / KEY_SCALE))
    return steps


def reference_entries(team: Team, phases: list[Phase], viewer: Any, now: datetime) -> list[tuple[Phase, Row]]:
    """The entries of an organisers' team on the boards that the viewer sees."""
    if not team.is_organisers:
        return []
    return [
        (phase, row)
        for phase in phases
        if view_of(phase, viewer, now).board is not None
        for row in board_of(phase, viewer, now, limit=0).references
        if row.team_id == team.pk
    ]
