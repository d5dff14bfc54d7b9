"""Statistics of a competition: participants, their countries, submissions, and the best score over time.

No person can be identified: countries with fewer than five people are counted as "others", which always covers
several countries and at least five people, so that totals do not reveal one of them. Scores are limited to those that
the viewer may see (``view_of``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.core.cache import cache
from django.db import models
from django.db.models.functions import TruncDate

from evaluation.scoring.metrics import KEY_SCALE
from evaluation.statistics.history import every_day
from leaderboard.models import Competition, Membership, Phase, Standing, Submission, Team
from leaderboard.models.visibility import Ratio, View

SMALLEST_CELL = 5
KEPT_SECONDS = 600


@dataclass(frozen=True)
class People:
    """Members of competing teams. ``countries``: (code, people), most people first, at least five each; ``others``:
    people in the ``other_countries`` not listed; ``unknown``: people who named no country."""

    users: int
    teams: int
    all_countries: int
    countries: list[tuple[str, int]]
    others: int
    other_countries: int
    unknown: int


@dataclass(frozen=True)
class Step:
    """From ``at`` on, the phase's best F1 was ``f1``."""

    at: datetime
    f1: Ratio


@dataclass(frozen=True)
class PhaseFigures:
    """``per_day``: (day in UTC, submissions) from the first to the last; ``best`` is None if scores are hidden."""

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
    """The statistics that these views of the phases permit; cached until they change."""
    key = _version(competition, phases, views)
    found: Statistics | None = cache.get(key)
    if found is None:
        found = Statistics(_people(competition), _phases(competition, phases, views))
        cache.set(key, found, KEPT_SECONDS)
    return found


def _version(competition: Competition, phases: Sequence[Phase], views: Sequence[View]) -> str:
    """A key that changes with members, submissions, boards and visibility; one query."""
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
    large = listed_countries(counted)
    return People(
        users=sum(counted.values()) + unknown,
        teams=teams.count(),
        all_countries=len(counted),
        countries=large,
        others=sum(counted.values()) - sum(people for _, people in large),
        other_countries=len(counted) - len(large),
        unknown=unknown,
    )


def listed_countries(counted: dict[str, int]) -> list[tuple[str, int]]:
    """The countries that may be listed, most people first: at least five people each. If any are left out, these are at
    least two countries with at least five people."""
    listed = [(code, people) for code, people in counted.items() if people >= SMALLEST_CELL]
    listed.sort(key=lambda row: (-row[1], row[0]))
    while listed and len(listed) < len(counted):
        others = sum(counted.values()) - sum(people for _, people in listed)
        if len(counted) - len(listed) > 1 and others >= SMALLEST_CELL:
            break
        listed.pop()
    return listed


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
            per_day=every_day(days[phase.pk]),
            best=_best(phase, view),
        )
        for phase, view in zip(phases, views, strict=True)
    ]


def _best(phase: Phase, view: View) -> list[Step] | None:
    """The steps of the best F1 that the viewer's board reveals."""
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
