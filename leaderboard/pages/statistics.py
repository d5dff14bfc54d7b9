"""Statistics of a competition: people by country, submissions, best score over time; each chart has a table."""

from datetime import UTC, datetime, time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.safestring import mark_safe

from leaderboard.models.countries import NAMES
from leaderboard.models.visibility import view_of
from leaderboard.reporting import charts, countries
from leaderboard.reporting.statistics import SMALLEST_CELL, PhaseFigures, Statistics, statistics_of

from .page_context import find_competition, phases_of, render_in

FEWEST_DAYS = 3  # that make a chart


def statistics(request: HttpRequest, slug: str) -> HttpResponse:
    competition, now = find_competition(request, slug), timezone.now()
    phases = phases_of(competition)
    figures = statistics_of(competition, phases, [view_of(phase, request.user, now) for phase in phases])
    context = {
        "phases": phases,
        "people": figures.people,
        "countries": [(countries.name_of(code), people) for code, people in figures.people.countries],
        "world": world(figures),
        "legend": legend(figures),
        "figures": [
            {"phase": phase, "per_day": per_day(phase), "best": best(phase)}
            for phase in figures.phases
            if phase.submissions
        ],
        "smallest": SMALLEST_CELL,
        "counted_at": figures.counted_at,
    }
    response = render_in(request, competition, "competition/statistics.html", context)
    patch_vary_headers(response, ["Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response


def world(figures: Statistics) -> str:
    counts = dict(figures.people.countries)
    return _svg(charts.world_map("People by country or region", countries.shapes(), NAMES, counts))


def legend(figures: Statistics) -> list[tuple[int, str]]:
    """The classes of the map: number and range of people."""
    counts = [people for _, people in figures.people.countries] or [1]
    ends = charts.count_steps(min(counts), max(counts))
    starts = [min(counts), *(end + 1 for end in ends)]
    return [
        (step, f"{start} to {end}" if start < end else str(end))
        for step, (start, end) in enumerate(zip(starts, ends, strict=False), 1)
    ]


def per_day(phase: PhaseFigures) -> str:
    """No chart of less than three days: a sentence says it."""
    if len(phase.per_day) < FEWEST_DAYS:
        return ""
    bars = [(f"{day.day} {day:%b}", number) for day, number in phase.per_day]
    return _svg(charts.bar_chart(f"Submissions of {phase.name} by day (UTC)", bars, "submissions"))


def best(phase: PhaseFigures) -> str:
    if not phase.best or len(phase.per_day) < FEWEST_DAYS:
        return ""
    last = datetime.combine(phase.per_day[-1][0], time.max, tzinfo=UTC)
    steps = [(step.at, 100 * step.f1.value) for step in phase.best]
    if last > steps[-1][0]:
        steps.append((last, steps[-1][1]))
    title = f"Best F1 of {phase.name} over time"
    return _svg(charts.line_chart(title, {"best F1": steps}, "F1 in %", steps=True))


def _svg(text: Any) -> str:
    """Charts escape every text in them."""
    return mark_safe(text)  # noqa: S308
