"""The rules of a competition, read from its file independently of the server's models.

The expected results are computed from the file and the rehearsal's own acts, without the server.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any


@dataclass
class SubmissionRecord:
    """A submission that the server accepted. ``counts``: TP, FP, FN; ``given_back``: it was invalid."""

    phase: "PhaseRules"
    team: str
    counts: tuple[int, int, int]
    received_at: datetime
    pk: int
    withdrawn: bool = False
    selected: bool = False
    given_back: bool = False

    @property
    def f1(self) -> Fraction:
        tp, fp, fn = self.counts
        return Fraction(2 * tp, 2 * tp + fp + fn)

    @property
    def stands(self) -> bool:
        return not (self.withdrawn or self.given_back)


@dataclass(frozen=True)
class Line:
    """A row of a board: rank, team and the F1 shown."""

    rank: int
    team: str
    f1: Fraction


@dataclass(frozen=True, eq=False)
class PhaseRules:
    """The [[phases]] table with this number in the file."""

    number: int
    table: dict[str, Any]
    opens_at: datetime = field(init=False)
    closes_at: datetime | None = field(init=False)
    freezes_at: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        for key in ("opens_at", "closes_at", "freezes_at"):
            object.__setattr__(self, key, self.table.get(key))

    def __str__(self) -> str:
        return str(self.table["name"])

    def get(self, key: str, default: Any = None) -> Any:
        return self.table.get(key, default)

    def where(self, key: str) -> str:
        """The place in the file that states a rule."""
        value = self.table.get(key)
        shown = (
            "not given"
            if value is None
            else f"{value:%Y-%m-%d %H:%M}"
            if isinstance(value, datetime)
            else value
        )
        return f"phases[{self.number}].{key}: {str(shown).lower() if isinstance(value, bool) else shown}"

    @property
    def grace(self) -> timedelta:
        return timedelta(minutes=self.get("grace_minutes", 15))

    @property
    def uploads_end_at(self) -> datetime | None:
        return self.closes_at and self.closes_at + self.grace

    def is_open(self, now: datetime) -> bool:
        return self.opens_at <= now and (self.closes_at is None or now < self.closes_at)

    def has_closed(self, now: datetime) -> bool:
        """Whether its results are final: no upload that began in time can arrive any more."""
        return self.uploads_end_at is not None and now >= self.uploads_end_at

    def counted_from(self, begun: datetime, completed: datetime) -> datetime:
        """An upload counts from its beginning; one that began before the opening, from the opening."""
        return self.opens_at if begun < self.opens_at <= completed else begun

    @property
    def has_ladder(self) -> bool:
        return self.get("ladder_step") is not None

    @property
    def step(self) -> Fraction:
        return Fraction(str(self.get("ladder_step")))

    @property
    def start(self) -> Fraction:
        return Fraction(str(self.get("ladder_start")))

    def metrics(self, now: datetime) -> set[str]:
        """The metrics of its own submissions that a team may see now."""
        if not self.has_closed(now) and (self.get("hidden_until_close") or self.has_ladder):
            return set()
        return {"f1"} if self.get("visible_metrics", "all") == "f1" else {"f1", "precision", "recall"}

    def refusal(self, mine: Iterable[SubmissionRecord], begun: datetime, completed: datetime) -> str:
        """Why a team with these entries may not submit what began and was complete then: "early", "ended", "total",
        "day", "board"; "" if it may."""
        now = self.counted_from(begun, completed)
        if now < self.opens_at:
            return "early"
        if not self.is_open(now) or self.has_closed(completed):
            return "ended"
        taken = [entry for entry in mine if not entry.given_back]
        today = [entry for entry in taken if utc_day(entry.received_at) == utc_day(now)]
        standing = [entry for entry in taken if entry.stands]
        used = {"total": len(taken), "day": len(today), "board": len(standing)}
        limits = {
            "total": self.get("quota_total"),
            "day": self.get("quota_per_day"),
            "board": self.get("quota_on_board"),
        }
        full = (name for name, limit in limits.items() if limit is not None and used[name] >= limit)
        return next(full, "")

    def counted(
        self, mine: Iterable[SubmissionRecord], before: datetime | None = None
    ) -> SubmissionRecord | None:
        """The entry of a team that is its result."""
        standing = [e for e in mine if e.stands and (before is None or e.received_at < before)]
        standing.sort(key=lambda entry: (entry.received_at, entry.pk))
        rule = self.get("counts", "best")
        chosen = [entry for entry in standing if entry.selected] if rule == "selected" else []
        if standing and (
            rule == "latest" or (rule == "selected" and not chosen and self.get("hidden_until_close"))
        ):
            return standing[-1]
        return max(chosen or standing, key=lambda entry: entry.f1, default=None)

    def revealed(self, entries: Iterable[SubmissionRecord], now: datetime) -> list[SubmissionRecord]:
        """The entries whose exact F1 is now on the public board: none while it is hidden or shows a Ladder."""
        if not self.has_closed(now) and not self.metrics(now):
            return []
        before = None if self.has_closed(now) else self.freezes_at
        results = [self.counted(mine, before) for mine in by_team(self, entries).values()]
        return [entry for entry in results if entry]

    def public_board(self, entries: Iterable[SubmissionRecord], now: datetime) -> list[Line] | None:
        """The public board; None while it is hidden."""
        if self.has_closed(now):
            return self.exact_board(entries)
        if self.get("hidden_until_close"):
            return None
        if self.has_ladder:
            return self.ladder_board(entries)
        return self.exact_board(entries, self.freezes_at)

    def exact_board(self, entries: Iterable[SubmissionRecord], before: datetime | None = None) -> list[Line]:
        results = [self.counted(mine, before) for mine in by_team(self, entries).values()]
        return ranked([(entry.f1, entry.received_at, entry.team) for entry in results if entry])

    def ladder_board(self, entries: Iterable[SubmissionRecord]) -> list[Line]:
        """Every scored entry climbs, withdrawn or not; results less than a full step above the last one are not shown."""
        rungs = []
        for team, mine in by_team(self, entries).items():
            best, at = self.start, None
            for entry in sorted(mine, key=lambda entry: (entry.received_at, entry.pk)):
                late = self.freezes_at is not None and entry.received_at >= self.freezes_at
                if not entry.given_back and not late and entry.f1 >= best + self.step:
                    best = self.start + math.floor((entry.f1 - self.start) / self.step) * self.step
                    at = entry.received_at
            if at is not None:
                rungs.append((best, at, team))
        return ranked(rungs)


def ranked(results: list[tuple[Fraction, datetime, str]]) -> list[Line]:
    """Best first; teams with equal F1 share a rank, listed in order of receipt."""
    ordered = sorted(results, key=lambda result: (-result[0], result[1]))
    return [Line(1 + sum(other[0] > f1 for other in results), team, f1) for f1, _, team in ordered]


def by_team(phase: PhaseRules, entries: Iterable[SubmissionRecord]) -> dict[str, list[SubmissionRecord]]:
    teams: dict[str, list[SubmissionRecord]] = {}
    for entry in entries:
        if entry.phase is phase:
            teams.setdefault(entry.team, []).append(entry)
    return teams


@dataclass(frozen=True)
class Rulebook:
    """A whole file: its [competition] table and phases. ``document`` has dates instead of "day N"."""

    competition: dict[str, Any]
    phases: list[PhaseRules]
    awards: list[dict[str, Any]]

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Rulebook":
        tables = enumerate(document["phases"], start=1)
        phases = [PhaseRules(number, table) for number, table in tables]
        return cls(document["competition"], phases, document.get("awards", []))

    def where(self, key: str) -> str:
        value = self.competition.get(key)
        shown = (
            "not given"
            if value is None
            else f"{value:%Y-%m-%d %H:%M}"
            if isinstance(value, datetime)
            else value
        )
        return f"competition.{key}: {shown}"

    @property
    def begins_at(self) -> datetime:
        """Two days before the first date of the calendar, when the teams are created."""
        keys = ("roster_locks_at", "mergers_until", "descriptions_due_at")
        dates = [self.competition.get(key) for key in keys] + [phase.opens_at for phase in self.phases]
        return min(date for date in dates if date is not None) - timedelta(days=2)

    @property
    def final(self) -> PhaseRules | None:
        """The last phase to end, which decides the final ranking."""
        ending = [phase for phase in self.phases if phase.closes_at is not None]
        return max(ending, key=lambda phase: phase.closes_at, default=None)  # type: ignore[arg-type, return-value]

    def mergers_end(self) -> datetime | None:
        """The deadline for mergers or the roster lock, whichever is earlier."""
        dates = [self.competition.get(key) for key in ("mergers_until", "roster_locks_at")]
        return min((date for date in dates if date is not None), default=None)


def utc_day(moment: datetime) -> Any:
    return moment.astimezone(UTC).date()
