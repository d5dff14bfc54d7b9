"""Statistics of a competition: participants, their countries, submissions, and the best score over time.

No person can be identified: countries with fewer than five people are counted as "others", which always covers
several countries and at least five people, so that totals do not reveal one of them. Scores are limited to those that
the viewer may see (``view_of``).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from evaluation.scoring.metrics import KEY_SCALE
from evaluation.statistics.history import every_day
from leaderboard import models
from leaderboard.models import Competition, Phase
from leaderboard.models.visibility import Ratio, View

from .counting import rules_of

SMALLEST_CELL = 5


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
    counted_at: datetime | None


def statistics_of(competition: Competition, phases: Sequence[Phase], views: Sequence[View]) -> Statistics:
    """The statistics that these views of the phases permit, as a worker last counted them; two queries."""
    kept = {figures.phase_id: figures for figures in models.PhaseFigures.objects.filter(phase__in=phases)}
    people = models.CompetitionFigures.objects.filter(competition=competition).first()
    return Statistics(
        _people(people),
        [_figures(phase, view, kept.get(phase.pk)) for phase, view in zip(phases, views, strict=True)],
        people.counted_at if people else None,
    )


def _people(figures: models.CompetitionFigures | None) -> People:
    counted: dict[str, int] = dict(figures.by_country) if figures else {}
    unknown = counted.pop("", 0)
    large = listed_countries(counted)
    return People(
        users=sum(counted.values()) + unknown,
        teams=figures.teams if figures else 0,
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


def _figures(phase: Phase, view: View, kept: models.PhaseFigures | None) -> PhaseFigures:
    kept_days = kept.days if kept else {}
    days = Counter({date.fromisoformat(day): number for day, number in kept_days.items()})
    return PhaseFigures(
        name=phase.name,
        slug=phase.slug,
        submissions=days.total(),
        teams=kept.teams if kept else 0,
        per_day=every_day(days),
        best=_best(phase, view, kept),
    )


def _best(phase: Phase, view: View, kept: models.PhaseFigures | None) -> list[Step] | None:
    """The steps of the best F1, if the board that the viewer sees shows them; those of other rules are not shown."""
    if view.board is None:
        return None
    if kept is None or kept.rules != rules_of(phase):
        return []
    steps = kept.steps.get(view.board, [])
    return [Step(datetime.fromisoformat(at), Ratio(key, KEY_SCALE)) for at, key in steps]
