"""Statistics of a competition: people by country, submissions, best score over time; each chart has a table."""

from datetime import UTC, datetime, time
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.safestring import mark_safe

from leaderboard.models.visibility import view_of
from leaderboard.reporting import charts, countries
from leaderboard.reporting.statistics import SMALLEST_CELL, PhaseFigures, Statistics, statistics_of

from .page_context import find_competition, phases_of, render_in


def statistics(request: HttpRequest, slug: str) -> HttpResponse:
    competition, now = find_competition(request, slug), timezone.now()
    phases = phases_of(competition)
    figures = statistics_of(competition, phases, [view_of(phase, request.user, now) for phase in phases])
    context = {
        "phases": phases,
        "people": figures.people,
        "countries": [(countries.name_of(code), people) for code, people in figures.people.countries],
        "world": world(figures),
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
    return _svg(
        charts.tile_map(
            "People by country or region", countries.tiles(), countries.NAMES, dict(figures.people.countries)
        )
    )


def per_day(phase: PhaseFigures) -> str:
    bars = [(f"{day.day} {day:%b}", number) for day, number in phase.per_day]
    return _svg(charts.bar_chart(f"Submissions of {phase.name} by day (UTC)", bars, "submissions"))


def best(phase: PhaseFigures) -> str:
    if not phase.best:
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
