"""What a board shows beside the scores: distance to the first, movement since yesterday, a place on a common scale."""

import math
from dataclasses import dataclass
from datetime import datetime

from evaluation.scoring.metrics import KEY_SCALE
from leaderboard.models import Phase, PhaseFigures, PhaseReport, Standing
from leaderboard.models.attempts import utc_day
from leaderboard.models.visibility import View, interval_decimals
from leaderboard.reporting.charts import Scale

from .boards import Board, Row, shown_until
from .counting import rules_of
from .earlier_ranks import past_is_public

SAME = 0.005  # scores closer than this are the same result
STEP = 5  # the scale of the dots begins and ends at multiples of this many points


Interval = tuple[float, float]


@dataclass(frozen=True)
class Detail:
    """``gap``: points behind the first. ``moved``: ranks gained since yesterday, on a past board since then (negative:
    lost), None if unknown; ``is_new``: not on yesterday's board. ``dot``: where its F1 lies on the scale, 0 to 100; ``ends``: where its 95 %
    interval begins and ends there, and ``interval``: the same in percent."""

    gap: float | None
    moved: int | None
    is_new: bool
    dot: float | None
    ends: Interval | None = None
    interval: Interval | None = None


@dataclass(frozen=True)
class Details:
    """The details of rows by submission, and the ends of the scale of their dots in percent."""

    of: dict[int, Detail]
    low: int
    high: int
    shows_movement: bool


def details_of(board: Board, rows: list[Row], now: datetime) -> Details:
    """Details of ``rows``, which come from ``board``; at most three queries, whatever the number of rows."""
    scores = {row.submission.pk: 100 * row.scores.f1.value for row in rows if row.scores.f1}
    intervals = reported_intervals(board, now)
    limits = [*scores.values(), *(end for pk in scores for end in intervals.get(pk, ()))]
    low = STEP * math.floor(min(limits, default=0) / STEP)
    high = max(STEP * math.ceil(max(limits, default=100) / STEP), low + STEP)
    on_scale = Scale(low, high, 0, 100)
    first = _first(board, rows)
    since_then = board.day is not None
    moves = since_then or (shows_movement(board.phase, board.view, now) and ranks_are_kept(board.phase, now))
    details = {}
    for row in rows:
        score, interval = scores.get(row.submission.pk), intervals.get(row.submission.pk)
        before, after = (
            (row.rank, row.later_rank) if since_then else (row.earlier_rank if moves else None, row.rank)
        )
        details[row.submission.pk] = Detail(
            gap=None if score is None or first is None else first - score,
            moved=before - after if before and after else None,
            is_new=moves and row.rank is not None and before is None,
            dot=None if score is None else on_scale(score),
            ends=(on_scale(interval[0]), on_scale(interval[1])) if interval else None,
            interval=interval,
        )
    return Details(details, low, high, moves)


def reported_intervals(board: Board, now: datetime) -> dict[int, Interval]:
    """The 95 % intervals of F1 in percent by submission, from the report that the viewer may read, as exact as that one.

    A team that has improved since has none."""
    phase, decimals = board.phase, interval_decimals(board.phase, board.view, now)
    if decimals is None or not board.rows:
        return {}
    reports = PhaseReport.objects.for_viewer(phase, board.view, now).filter(label_set=phase.labels_id)
    reported = reports.order_by("-pk").values_list("content__board", flat=True).first() or []
    by_team = {row["team"]: row for row in reported}
    found = {}
    for row in board.rows:
        line, score = by_team.get(row.team), row.scores.f1
        if line and score and abs(line["f1"] - 100 * score.value) < SAME:
            found[row.submission.pk] = (round(line["low"], decimals), round(line["high"], decimals))
    return found


def _first(board: Board, rows: list[Row]) -> float | None:
    """The leader's F1 in percent."""
    leader = next((row for row in rows if row.rank == 1), None)
    if leader is not None:
        return 100 * leader.scores.f1.value if leader.scores.f1 else None
    if board.view.board is None:
        return None
    if board.day is not None:
        return None if board.leader_key is None else 100 * board.leader_key / KEY_SCALE
    key = Standing.objects.board(board.phase, board.view.board).values_list("rank_key", flat=True).first()
    return None if key is None else 100 * key / KEY_SCALE


def shows_movement(phase: Phase, view: View, now: datetime) -> bool:
    """Whether a viewer may see how ranks moved. Not where a board cannot have moved or its past is not public: before
    the second day, after the end or the freeze."""
    midnight, until = utc_day(now), shown_until(phase, view)
    if not phase.is_open(now) or phase.opens_at >= midnight:
        return False
    if until is not None and until <= midnight:
        return False
    return past_is_public(phase, view)


def ranks_are_kept(phase: Phase, now: datetime) -> bool:
    """Whether a worker has written down the ranks of last midnight (``reporting.counting``)."""
    return PhaseFigures.objects.filter(
        phase=phase, ranks_of=utc_day(now).date(), ranked__gt=0, rules=rules_of(phase)
    ).exists()
