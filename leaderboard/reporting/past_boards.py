"""A board as it stood at the end of an earlier day (UTC), from the submissions that it showed then."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

from django.core.cache import cache
from django.db.models import Count, F, Max, Window
from django.db.models.functions import RowNumber

from leaderboard.models import Phase, PhaseFigures, Standing, Submission
from leaderboard.models.names import folded
from leaderboard.models.visibility import View, visible_scores

from .boards import Board, Choice, Row, references_of
from .counting import rules_of
from .earlier_ranks import past_is_public, stood_at

KEPT_SECONDS = 300
DAY = timedelta(days=1)


class Place(NamedTuple):
    """A team's result at the end of a day."""

    rank: int
    team: int
    name: str
    submission: int
    rank_key: int
    entries: int
    latest_at: datetime
    precision: float
    recall: float


@dataclass(frozen=True)
class Days:
    """The days whose boards a viewer may go back to, oldest and newest."""

    first: date
    last: date

    def find(self, text: str) -> date | None:
        """The day that a query names as YYYY-MM-DD; None unless it is one of these."""
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return None
        return day if self.first <= day <= self.last else None


def days_of(phase: Phase, view: View, now: datetime) -> Days | None:
    """From the phase's first score to the day before the present (or final, or frozen) board; None without any."""
    if not past_is_public(phase, view):
        return None
    kept = (
        PhaseFigures.objects.filter(phase=phase, rules=rules_of(phase))
        .values_list("steps", flat=True)
        .first()
    )
    steps = (kept or {}).get(Standing.Kind.EXACT, [])
    first = datetime.fromisoformat(steps[0][0]) if steps else phase.opens_at
    ends = [now, *(end - timedelta.resolution for end in (phase.closes_at, phase.freezes_at) if end)]
    last = min(ends).astimezone(UTC).date() - DAY
    return Days(first.astimezone(UTC).date(), last) if first.astimezone(UTC).date() <= last else None


def past_board(phase: Phase, view: View, day: date, choice: Choice, first: int, limit: int) -> Board:
    """The board at the end of ``day``, one of ``days_of``, under today's labels; ranks as of then.

    Six queries at most. The one that reads the phase's submissions is asked once in five minutes, whoever asks.
    """
    places = places_on(phase, day)
    chosen = _chosen(places, choice)
    rows = _rows(phase, view, chosen[first : first + limit])
    references = [row for row in references_of(phase, view) if row.achieved_at < _end(day)]
    published = list(phase.published_entries.all())
    leader = places[0].rank_key if places else None
    return Board(
        phase, view, len(places), rows, references, published, len(chosen), day=day, leader_key=leader
    )


def past_row_of(board: Board, team: int) -> Row | None:
    """The row of a team on a past board, wherever it is on it."""
    assert board.day is not None
    theirs = [place for place in places_on(board.phase, board.day) if place.team == team]
    return next(iter(_rows(board.phase, board.view, theirs)), None)


def places_on(phase: Phase, day: date) -> list[Place]:
    """Every team's place at the end of a day, best first."""
    key = f"past-board-{phase.pk}-{phase.labels_id}-{phase.counts}-{day}"
    places: list[Place] | None = cache.get(key)
    if places is None:
        places = _count(phase, _end(day))
        cache.set(key, places, KEPT_SECONDS)
    return places


def _end(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC) + DAY


def _count(phase: Phase, moment: datetime) -> list[Place]:
    latest = phase.counts == Phase.Counts.LATEST
    order = ["-received_at", "-pk"] if latest else ["-evaluation__rank_key", "received_at", "pk"]
    team: Any = F("team")
    results = (
        stood_at(phase, moment)
        .annotate(
            place=Window(RowNumber(), partition_by=team, order_by=order),
            made=Window(Count("pk"), partition_by=team),
            latest_at=Window(Max("received_at"), partition_by=team),
        )
        .filter(place=1)
        .order_by("-evaluation__rank_key", "received_at", "team")
        .values_list(
            *("team", "team__folded_name", "pk", "evaluation__rank_key", "made", "latest_at"),
            *("evaluation__tp", "evaluation__fp", "evaluation__fn"),
        )
    )
    places: list[Place] = []
    for team_id, name, pk, key, made, latest_at, tp, fp, fn in results:
        rank = places[-1].rank if places and places[-1].rank_key == key else len(places) + 1
        precision, recall = (tp / (tp + missed) if tp else 0.0 for missed in (fp, fn))
        places.append(Place(rank, team_id, name, pk, key, made, latest_at, precision, recall))
    return places


ORDERS: dict[str, Any] = {
    "rank": lambda place: 0,
    "team": lambda place: place.name,
    "entries": lambda place: -place.entries,
    "latest": lambda place: -place.latest_at.timestamp(),
    "precision": lambda place: -place.precision,
    "recall": lambda place: -place.recall,
}  # of places in order of rank, as ``Choice.ORDERS`` of standings


def _chosen(places: list[Place], choice: Choice) -> list[Place]:
    teams = None if choice.teams is None else set(choice.teams.values_list("pk", flat=True))
    found = [
        place
        for place in places
        if folded(choice.search) in place.name and (teams is None or place.team in teams)
    ]
    return sorted(found, key=ORDERS[choice.order])


def _rows(phase: Phase, view: View, places: list[Place]) -> list[Row]:
    """Rows with the scores as they are now; without what was disqualified since the places were counted."""
    assert view.board is not None
    found = Submission.objects.filter(disqualified_at=None).select_related("team", "evaluation")
    submissions = found.in_bulk([place.submission for place in places])
    standings = Standing.objects.board(phase, view.board).order_by().values_list("team", "rank_key")
    keys = dict(standings) if places else {}
    ordered = sorted(keys.values())
    ranks = {team: 1 + len(ordered) - bisect_right(ordered, key) for team, key in keys.items()}
    return [
        Row(
            rank=place.rank,
            team=submission.team.name,
            team_id=place.team,
            submission=submission,
            scores=visible_scores(submission.evaluation, view),
            entries=place.entries,
            achieved_at=submission.received_at,
            latest_at=place.latest_at,
            later_rank=ranks.get(place.team),
        )
        for place in places
        if (submission := submissions.get(place.submission))
    ]
