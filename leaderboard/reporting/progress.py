"""How a team's scores in a phase developed: its best so far, as a chart and as a small line."""

from collections.abc import Sequence
from datetime import datetime

from django.utils.safestring import SafeString, mark_safe

from . import charts

Scores = Sequence[tuple[datetime, float]]
"""When a submission was received, and its F1 in percent; in order of receipt."""

WIDE, HIGH, EDGE = 120, 28, 3


def best_so_far(scores: Scores) -> list[tuple[datetime, float]]:
    """The first score and every one that was better than all before it."""
    climbed: list[tuple[datetime, float]] = []
    for at, value in scores:
        if not climbed or value > climbed[-1][1]:
            climbed.append((at, value))
    return climbed


def chart(phase: str, scores: Scores) -> SafeString:
    """The best F1 so far as steps, up to the newest submission."""
    steps = best_so_far(scores)
    if steps and scores[-1][0] > steps[-1][0]:
        steps.append((scores[-1][0], steps[-1][1]))
    title = f"Your team's best F1 in {phase} so far"
    return mark_safe(charts.line_chart(title, {"best so far": steps}, "F1 in %", steps=True))  # noqa: S308


def sparkline(scores: Scores) -> SafeString:
    """The best so far by submission as a line of 120 x 28 pixels; nothing for fewer than two submissions."""
    if len(scores) < 2:
        return SafeString("")
    best, highest = [], 0.0
    for _, value in scores:
        highest = max(highest, value)
        best.append(highest)
    low, span = best[0], best[-1] - best[0] or 1.0
    step = (WIDE - 2 * EDGE) / (len(best) - 1)
    points = [
        (EDGE + k * step, HIGH - EDGE - (value - low) / span * (HIGH - 2 * EDGE))
        for k, value in enumerate(best)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    return mark_safe(  # noqa: S308 - numbers only
        f'<svg class="sparkline" viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" height="{HIGH}" aria-hidden="true">'
        f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="1.6"/>'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="currentColor"/></svg>'
    )
