"""A phase's board for pages, API and export: ranked standings, then reference and published entries."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db.models import F, FloatField, Value
from django.db.models.functions import Cast, NullIf

from leaderboard.models import Phase, PhaseFigures, PublishedEntry, Standing, Submission, Team
from leaderboard.models.boards import StandingQuerySet, with_ranks
from leaderboard.models.names import folded
from leaderboard.models.visibility import Scores, View, released_by_ladder, view_of, visible_scores

KEPT_SECONDS = 600
"""How long an answer that shows a version of a board is kept for others who ask for it."""


@dataclass(frozen=True)
class Row:
    """A row of a board. ``rank`` is None for reference entries; ``later_rank`` is today's rank on a past board."""

    rank: int | None
    team: str
    team_id: int
    submission: Submission
    scores: Scores
    entries: int
    achieved_at: datetime
    latest_at: datetime | None = None
    earlier_rank: int | None = None
    later_rank: int | None = None
    reference: bool = False


def _ratio(counts: str, total: str) -> Any:
    """A metric as an SQL expression over an evaluation's counts, for sorting."""
    evaluation = "submission__evaluation__"
    below = NullIf(F(f"{evaluation}{counts}") + F(f"{evaluation}{total}"), Value(0))
    return (Cast(F(f"{evaluation}{counts}"), FloatField()) / below).desc(nulls_last=True)


@dataclass(frozen=True)
class Choice:
    """Which rows of a board, and in which order: part of a team's name, a set of teams, a column.

    ``teams``: a queryset of teams, None for all. Ranks stay those of the whole board.
    """

    search: str = ""
    teams: Any = None
    order: str = "rank"

    ORDERS = {
        "rank": (),
        "team": ("team__folded_name",),
        "entries": ("-entries",),
        "latest": (F("latest_at").desc(nulls_last=True),),
        "precision": (_ratio("tp", "fp"),),
        "recall": (_ratio("tp", "fn"),),
        "newest": ("-achieved_at",),
    }
    OF_FEEDS = "newest"

    @classmethod
    def orders(cls, view: View) -> list[str]:
        """The columns by which a viewer may sort: an order by a hidden metric would reveal it."""
        hidden = {order for order in ("precision", "recall") if not view.shows(order)} | {cls.OF_FEEDS}
        return [order for order in cls.ORDERS if order not in hidden]

    @property
    def is_whole(self) -> bool:
        return not self.search and self.teams is None and self.order == "rank"

    def among(self, standings: StandingQuerySet) -> StandingQuerySet:
        if self.search:
            standings = standings.filter(team__folded_name__contains=folded(self.search))
        if self.teams is not None:
            standings = standings.filter(team__in=self.teams)
        return standings.order_by(*self.ORDERS[self.order], "-rank_key", "achieved_at", "team_id")


@dataclass(frozen=True)
class Board:
    """The ranking of a phase as visible to a viewer. ``rows`` is None while the phase hides its board.

    ``total`` is the number of ranked teams, ``found`` of those that were chosen; ``rows`` may contain only some of them.
    A past board (``past_boards``) has the ``day`` at whose end it stood, and its ``leader_key``.
    """

    phase: Phase
    view: View
    total: int
    rows: list[Row] | None
    references: list[Row]
    published: list[PublishedEntry]
    found: int = 0
    day: date | None = None
    leader_key: int | None = None

    @property
    def is_frozen(self) -> bool:
        return self.view.board == Standing.Kind.SHOWN and self.phase.freezes_at is not None


def phase_to_show(
    phases: list[Phase], viewer: Any, now: datetime, organises: bool | None = None
) -> Phase | None:
    """The phase whose board leads: the open one with a visible entry, else the last one that has any, else the one
    that is open or that opened last, else the first. None without phases."""
    if not phases:
        return None
    filled = Standing.objects.on_boards(phases)
    if organises is None:
        organises = phases[0].competition.is_organised_by(viewer)
    with_rows = [
        phase
        for phase in phases
        if (phase.labels_id, view_of(phase, viewer, now, organises=organises).board) in filled
    ]
    is_open = [phase for phase in phases if phase.is_open(now)]
    opened = [phase for phase in phases if phase.has_opened(now)]
    both = [phase for phase in is_open if phase in with_rows]
    return next(iter([*both, *reversed(with_rows), *is_open, *reversed(opened), *phases]))


def board_of(
    phase: Phase,
    viewer: Any,
    now: datetime,
    *,
    first: int = 0,
    limit: int | None = None,
    choice: Choice | None = None,
    organises: bool | None = None,
) -> Board:
    """The board as ``viewer`` may see it. The number of queries does not depend on the number of submissions.

    The rows of a feed have no ranks: those change with every score, and its items are not to change.

    With a ``choice``, rows also have ``latest_at``, and only those chosen are returned, in the order chosen.
    ``organises``: whether the viewer organises the competition, if already known.
    """
    view = view_of(phase, viewer, now, organises=organises)
    published = list(phase.published_entries.all())
    if view.board is None or phase.labels is None:
        return Board(phase, view, 0, None if view.board is None else [], [], published)
    until = None if limit is None else first + limit
    everyone = Standing.objects.board(phase, view.board)
    chosen = (
        everyone if choice is None else choice.among(everyone.with_latest(phase, shown_until(phase, view)))
    )
    is_whole = choice is None or choice.is_whole
    is_feed = choice is not None and choice.order == choice.OF_FEEDS
    standings = window(chosen.select_related("submission__evaluation"), first, until, by_index=is_whole)
    complete = first == 0 and (limit is None or len(standings) < limit)
    if complete:
        found = len(standings)
    elif is_whole or is_feed:
        found = number_on_board(phase, view.board)
    else:
        found = chosen.count()
    if is_whole:
        total, rows = found, _ranked(standings, first, phase, view)
    elif is_feed:
        total, rows = found, _rows(((None, standing) for standing in standings), phase, view)
    else:
        keys = sorted(everyone.order_by().values_list("rank_key", flat=True))
        total = len(keys)
        ranks = [1 + total - bisect_left(keys, standing.rank_key + 1) for standing in standings]
        rows = _rows(zip(ranks, standings, strict=True), phase, view)
    return Board(phase, view, total, rows, references_of(phase, view), published, found)


def number_on_board(phase: Phase, kind: str) -> int:
    """How many teams are on a board: as a worker has counted them, unless a score has come since."""
    kept = PhaseFigures.objects.number_on_board(phase, kind)
    return Standing.objects.board(phase, kind).count() if kept is None else kept


def window(rows: Any, first: int, until: int | None, *, by_index: bool = True) -> list[Standing]:
    """The rows from ``first`` on. The others are counted off, or sorted, by what that needs alone: nothing is joined to them.

    ``by_index``: an index has this order, so that the first rows are found at once.
    """
    if not first and (by_index or until is None):
        return list(rows[:until])
    keys = list(rows.select_related(None).values_list("pk", flat=True)[first:until])
    found = {row.pk: row for row in rows.filter(pk__in=keys)}
    return [found[key] for key in keys]


def shown_until(phase: Phase, view: View) -> datetime | None:
    """Submissions received from this moment on are not on the viewer's board; None: all are."""
    return phase.freezes_at if view.board == Standing.Kind.SHOWN else None


def row_of(board: Board, team: Team) -> Row | None:
    """The row of a team, wherever it is on the board."""
    if board.view.board is None or board.phase.labels is None:
        return None
    standing = Standing.objects.board(board.phase, board.view.board).filter(team=team)
    rows = _ranked(list(standing.select_related("submission__evaluation")), None, board.phase, board.view)
    return rows[0] if rows else None


def _ranked(standings: list[Standing], first: int | None, phase: Phase, view: View) -> list[Row]:
    """Rows with ranks. ``first``: how many standings are in front of them; None: unknown."""
    if not standings:
        return []
    rank = 1 if first == 0 else Standing.objects.rank_of(standings[0])
    return _rows(with_ranks(standings, (first or 0) + 1, rank), phase, view)


def _rows(ranked: Iterable[tuple[int | None, Standing]], phase: Phase, view: View) -> list[Row]:
    return [
        Row(
            rank=rank,
            team=standing.team.name,
            team_id=standing.team_id,
            submission=standing.submission,
            scores=_scores(standing, phase, view),
            entries=standing.entries,
            achieved_at=standing.achieved_at,
            latest_at=getattr(standing, "latest_at", None),
            earlier_rank=standing.earlier_rank,
        )
        for rank, standing in ranked
    ]


def _scores(standing: Standing, phase: Phase, view: View) -> Scores:
    if standing.kind == Standing.Kind.SHOWN and phase.ladder is not None:
        return released_by_ladder(standing)
    return visible_scores(standing.submission.evaluation, view)


def references_of(phase: Phase, view: View) -> list[Row]:
    """The organisers' entries, best first; by time where no score of them shows, because an order would tell it."""
    assert phase.labels is not None
    entries = (
        Submission.objects.filter(phase=phase, reference=True)
        .scored_on(phase.labels)
        .select_related("team", "evaluation")
        .order_by(*(["-evaluation__rank_key"] if view.shows("f1") else []), "received_at")
    )
    return [
        Row(
            rank=None,
            team=entry.team.name,
            team_id=entry.team_id,
            submission=entry,
            scores=visible_scores(entry.evaluation, view),
            entries=1,
            achieved_at=entry.received_at,
            reference=True,
        )
        for entry in entries
    ]
