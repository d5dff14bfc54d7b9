"""A phase over time, from its log of scored submissions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction


@dataclass(frozen=True)
class Scored:
    """A scored submission: its team, the time at which its last byte was received (aware), its exact F1."""

    team: str
    at: datetime
    f1: Fraction


def best_so_far(log: Iterable[Scored]) -> list[Scored]:
    """The submissions that beat everything before them, in order of time: the steps of the phase's best curve."""
    steps: list[Scored] = []
    for entry in sorted(log, key=lambda entry: entry.at):
        if not steps or entry.f1 > steps[-1].f1:
            steps.append(entry)
    return steps


def best_so_far_by_team(log: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The same for each team on its own, teams in order of their first submission."""
    teams: dict[str, list[Scored]] = {}
    for entry in sorted(log, key=lambda entry: entry.at):
        teams.setdefault(entry.team, []).append(entry)
    return {team: best_so_far(entries) for team, entries in teams.items()}


def per_day(times: Iterable[datetime]) -> list[tuple[date, int]]:
    """Submissions on each UTC day from the first to the last, days without any included."""
    return every_day(Counter(_utc(time).date() for time in times))


def every_day(days: Counter[date]) -> list[tuple[date, int]]:
    """Each day from the first to the last with its number, days without any included."""
    if not days:
        return []
    first, last = min(days), max(days)
    return [(day, days[day]) for day in (first + timedelta(i) for i in range((last - first).days + 1))]


def per_hour(times: Iterable[datetime]) -> list[int]:
    """Submissions in each hour of the UTC day, 24 numbers."""
    hours = Counter(_utc(time).hour for time in times)
    return [hours[hour] for hour in range(24)]


def _utc(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"the time {time} has no time zone: give aware times")
    return time.astimezone(UTC)
