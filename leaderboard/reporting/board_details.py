"""What a board shows beside the scores: distance to the first, movement since yesterday, a place on a common scale."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Q

from evaluation.scoring.metrics import KEY_SCALE
from leaderboard.models import Phase, Standing, Submission
from leaderboard.models.attempts import utc_day
from leaderboard.models.visibility import View

from .boards import Board, Row, shown_until

STEP = 5  # the scale of the dots begins and ends at multiples of this many points


@dataclass(frozen=True)
class Detail:
    """``gap``: points behind the first. ``moved``: ranks gained since yesterday (negative: lost), None if unknown;
    ``is_new``: not on yesterday's board. ``dot``: where its F1 lies on the scale, 0 to 100."""

    gap: float | None
    moved: int | None
    is_new: bool
    dot: float | None


@dataclass(frozen=True)
class Details:
    """The details of rows by submission, and the ends of the scale of their dots in percent."""

    of: dict[int, Detail]
    low: int
    high: int
    shows_movement: bool


def details_of(board: Board, rows: list[Row], now: datetime) -> Details:
    """Details of ``rows``, which come from ``board``; at most four queries, whatever the number of rows."""
    scores = {row.submission.pk: 100 * row.scores.f1.value for row in rows if row.scores.f1}
    low = STEP * math.floor(min(scores.values(), default=0) / STEP)
    high = max(STEP * math.ceil(max(scores.values(), default=100) / STEP), low + STEP)
    first = _first(board, rows)
    earlier = yesterday(board.phase, board.view, now)
    details = {}
    for row in rows:
        score = scores.get(row.submission.pk)
        before = earlier.get(row.team_id) if earlier and row.rank else None
        details[row.submission.pk] = Detail(
            gap=None if score is None or first is None else first - score,
            moved=before - row.rank if before and row.rank else None,
            is_new=earlier is not None and row.rank is not None and before is None,
            dot=None if score is None else 100 * (score - low) / (high - low),
        )
    return Details(details, low, high, earlier is not None)


def _first(board: Board, rows: list[Row]) -> float | None:
    """The leader's F1 in percent."""
    leader = next((row for row in rows if row.rank == 1), None)
    if leader is not None:
        return 100 * leader.scores.f1.value if leader.scores.f1 else None
    if board.view.board is None:
        return None
    key = Standing.objects.board(board.phase, board.view.board).values_list("rank_key", flat=True).first()
    return None if key is None else 100 * key / KEY_SCALE


def yesterday(phase: Phase, view: View, now: datetime) -> dict[int, int] | None:
    """The rank of each team at the end of yesterday (UTC); None where a board cannot have moved or its past is not
    public: before the second day, after the end or the freeze, under a Ladder, where selected submissions count."""
    midnight = utc_day(now)
    until = shown_until(phase, view)
    if view.board is None or phase.labels is None or not phase.is_open(now) or phase.opens_at >= midnight:
        return None
    if until is not None and until <= midnight:
        return None
    if phase.ladder_step is not None or phase.hidden_until_close or phase.counts == Phase.Counts.SELECTED:
        return None
    keys = _keys_before(phase, view.board, midnight)
    if not keys:
        return None  # on a board's first day everybody is new
    ordered = sorted(keys.values())
    return {team: 1 + len(ordered) - bisect_right(ordered, key) for team, key in keys.items()}


def _keys_before(phase: Phase, kind: str, moment: datetime) -> dict[int, int]:
    """The rank key of each team as it was at this moment. Reads only the submissions of teams that changed since."""
    standings = Standing.objects.board(phase, kind).order_by()
    rows = list(standings.select_related(None).values_list("team", "rank_key", "achieved_at"))
    keys = {team: key for team, key, achieved_at in rows if achieved_at < moment}
    changed = [team for team, _, achieved_at in rows if achieved_at >= moment]
    withdrawn = Submission.objects.filter(phase=phase, withdrawn_at__gte=moment).values("team")
    past = Submission.objects.seen_over_time(phase).received_before(moment)
    past = past.filter(Q(team__in=changed) | Q(team__in=withdrawn))
    past = past.filter(Q(withdrawn_at=None) | Q(withdrawn_at__gte=moment)).order_by()
    made: Any
    if phase.counts == Phase.Counts.LATEST:
        made = past.order_by("received_at", "pk").values_list("team", "evaluation__rank_key")
    else:
        made = past.values_list("team").annotate(key=Max("evaluation__rank_key"))
    return keys | dict(made)
