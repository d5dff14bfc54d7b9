"""The figures of a competition: who takes part, from where, how much is submitted, how the best score grows.

No person can be found in them: a country with fewer than five people is only counted among the others, and the
others are always several and at least five, so that no difference of totals tells one of them. Scores are those that
the viewer may see (``view_of``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import models
from django.db.models.functions import TruncDate

from evaluation.scoring.metrics import KEY_SCALE
from leaderboard.models import Competition, Membership, Phase, Standing, Submission, Team
from leaderboard.models.visibility import Ratio, View

SMALLEST_CELL = 5
KEPT_SECONDS = 600


@dataclass(frozen=True)
class People:
    """Members of competing teams. ``countries``: (code, people), most first, none below five; ``others`` are the
    people of ``other_countries`` that are not told one by one; ``unknown`` named none."""

    users: int
    teams: int
    all_countries: int
    countries: list[tuple[str, int]]
    others: int
    other_countries: int
    unknown: int


@dataclass(frozen=True)
class Step:
    """From ``at`` on the best F1 of the phase was ``f1``."""

    at: datetime
    f1: Ratio


@dataclass(frozen=True)
class PhaseFigures:
    """``per_day``: (day in UTC, submissions) from the first to the last; ``best`` is None where scores are hidden."""

    name: str
    slug: str
    submissions: int
    teams: int
    per_day: list[tuple[date, int]]
    best: list[Step] | None


@dataclass(frozen=True)
class Statistics:
    people: People
    phases: list[PhaseFigures]


def statistics_of(competition: Competition, phases: Sequence[Phase], views: Sequence[View]) -> Statistics:
    """The figures as these views of the phases let through; kept until something of them changes."""
    key = _version(competition, phases, views)
    found: Statistics | None = cache.get(key)
    if found is None:
        found = Statistics(_people(competition), _phases(competition, phases, views))
        cache.set(key, found, KEPT_SECONDS)
    return found


def _version(competition: Competition, phases: Sequence[Phase], views: Sequence[View]) -> str:
    """Changes with every member, submission and board, and with what may be seen; one query."""
    newest = Membership.objects.filter(competition=competition).aggregate(
        models.Count("pk"), models.Max("pk")
    )
    made = Submission.objects.filter(phase__competition=competition).aggregate(models.Max("pk"))
    boards = [
        f"{phase.pk}.{phase.board_version}.{phase.labels_id}.{view.board}.{view.shows('f1')}"
        for phase, view in zip(phases, views, strict=True)
    ]
    return "-".join(
        ["statistics", str(competition.pk), *map(str, newest.values()), str(made["pk__max"]), *boards]
    )


def _people(competition: Competition) -> People:
    teams = Team.objects.competing().filter(competition=competition)
    rows = (
        Membership.objects.filter(team__in=teams)
        .values_list("user__country")
        .annotate(people=models.Count("user", distinct=True))
        .order_by("-people", "user__country")
    )
    counted: dict[str, int] = dict(rows)
    unknown = counted.pop("", 0)
    large = told_one_by_one(counted)
    return People(
        users=sum(counted.values()) + unknown,
        teams=teams.count(),
        all_countries=len(counted),
        countries=large,
        others=sum(counted.values()) - sum(people for _, people in large),
        other_countries=len(counted) - len(large),
        unknown=unknown,
    )


def told_one_by_one(counted: dict[str, int]) -> list[tuple[str, int]]:
    """The countries that may be told, most people first: none below five, and none whose telling would leave one
    country alone, or fewer than five people, among the others."""
    told = [(code, people) for code, people in counted.items() if people >= SMALLEST_CELL]
    told.sort(key=lambda row: (-row[1], row[0]))
    while told and len(told) < len(counted):
        others = sum(counted.values()) - sum(people for _, people in told)
        if len(counted) - len(told) > 1 and others >= SMALLEST_CELL:
            break
        told.pop()
    return told


def _phases(competition: Competition, phases: Sequence[Phase], views: Sequence[View]) -> list[PhaseFigures]:
    made = Submission.objects.filter(phase__competition=competition, reference=False)
    days: dict[int, Counter[date]] = {phase.pk: Counter() for phase in phases}
    by_day = made.annotate(day=TruncDate("received_at", tzinfo=UTC)).values_list("phase", "day").order_by()
    for phase_id, day, number in by_day.annotate(number=models.Count("pk")):
        days[phase_id][day] = number
    teams = dict(made.values_list("phase").order_by().annotate(teams=models.Count("team", distinct=True)))
    return [
        PhaseFigures(
            name=phase.name,
            slug=phase.slug,
            submissions=days[phase.pk].total(),
            teams=teams.get(phase.pk, 0),
            per_day=_every_day(days[phase.pk]),
            best=_best(phase, view),
        )
        for phase, view in zip(phases, views, strict=True)
    ]


def _every_day(days: Counter[date]) -> list[tuple[date, int]]:
    if not days:
        return []
    first, last = min(days), max(days)
    return [(day, days[day]) for day in (first + timedelta(k) for k in range((last - first).days + 1))]


def _best(phase: Phase, view: View) -> list[Step] | None:
    """The steps of the best F1, as far as the board that the viewer sees tells them."""
    if view.board is None:
        return None
    if phase.labels is None:
        return []
    rows: Any
    if view.board == Standing.Kind.SHOWN and phase.ladder is not None:
        rows = (
            Standing.objects.board(phase, view.board)
            .order_by("achieved_at")
            .values_list("achieved_at", "rank_key")
        )
    else:
        made = Submission.objects.seen_over_time(phase)
        if view.board == Standing.Kind.SHOWN:
            made = made.received_before(phase.freezes_at)
        rows = made.order_by("received_at", "pk").values_list("received_at", "evaluation__rank_key")
    steps: list[Step] = []
    highest = -1
    for at, rank_key in rows:
        if rank_key > highest:
            highest = rank_key
            steps.append(Step(at, Ratio(rank_key, KEY_SCALE)))
    return steps
