"""Submissions as text for people."""

from __future__ import annotations

from typing import Any

from .exchange import points


def describe(submission: dict[str, Any]) -> str:
    """A submission as a line; below it, everything that is wrong with it."""
    line = f"Submission {submission['id']}: {submission['state']}"
    if queue := submission.get("queue"):
        line += f", place {queue['place']} of the queue, about {queue['expected_seconds']:.0f} s"
    scores = [(name, submission.get(name.lower())) for name in ("precision", "recall", "F1")]
    line += "".join(f", {name} {percent(value)} %" for name, value in scores if value is not None)
    if incident := submission.get("incident"):
        line += f"; the fault is the server's, tell the organisers the number {incident}"
    return "\n".join([line, *points(submission.get("problems"))])


def percent(value: float | None) -> str:
    """A fraction of 1 in percent with two decimals; "" where it is hidden."""
    return "" if value is None else f"{100 * value:.2f}"
