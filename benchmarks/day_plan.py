"""What happens on a day, and what it cost: no server, no load, only arithmetic. For benchmarks.day.

Published of 2022: 439 people in 85 teams sent 7,775 archives in the 75 days of the validation phase. Nobody published how they were
spread. Assumed here: five mean days on the last one, and three fifths of them in its last hour.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

PEOPLE, TEAMS, SUBMISSIONS, DAYS = 439, 85, 7775, 75
LAST_DAY = 5  # mean days
HOURS = (*[1] * 11, *[2] * 8, *[3] * 3, 4, 60)  # percent of the day's events in each hour
RUSH = 1 / 4  # of the replay's time is the last hour
PER_DAY = {
    "sign-up": PEOPLE / DAYS,
    "submission": LAST_DAY * SUBMISSIONS / DAYS,
    "visit": 2 * PEOPLE,  # everybody opens the board twice and watches it for a while
    "script": 40 * TEAMS,  # the board in the API, asked by a script of each team
}
FULL = 0.6  # of a core, above which a host is full: bursts within the hour need the rest


@dataclass(frozen=True)
class Day:
    """The last day of a competition `scale` times as large as that of 2022, replayed in `minutes`.

    In its last hour, `rate` times as many events a second happen as on the real day: a faster replay, or of fewer events.
    """

    scale: int
    minutes: float
    rate: float

    @property
    def rush_seconds(self) -> float:
        """How long the replay of the last hour takes."""
        return 60 * self.minutes * RUSH

    @property
    def sampled(self) -> float:
        """The share of the day's events that are replayed."""
        return min(1.0, self.rate * self.rush_seconds / 3600)

    @property
    def teams(self) -> int:
        return TEAMS * self.scale

    def number(self, kind: str) -> int:
        """How many events of a kind are replayed."""
        return max(1, round(PER_DAY[kind] * self.scale * self.sampled))

    def moments(self, kind: str, rng: random.Random) -> list[float]:
        """When they happen: seconds since the replay's beginning, in order."""
        hours = rng.choices(range(len(HOURS)), HOURS, k=self.number(kind))
        return sorted(self._at(hour + rng.random()) for hour in hours)

    def _at(self, hour: float) -> float:
        quiet = 60 * self.minutes * (1 - RUSH)
        before = len(HOURS) - 1
        return quiet * hour / before if hour < before else quiet + self.rush_seconds * (hour - before)

    def describe(self) -> str:
        """How the replay differs from the day."""
        quiet = (len(HOURS) - 1) * 60 / (self.minutes * (1 - RUSH))
        return (
            f"{100 * self.sampled:.2g} % of the events, the first 23 hours {quiet:.0f} times as fast, the last one "
            f"{3600 / self.rush_seconds:.0f} times as fast: {self.sampled * 3600 / self.rush_seconds:g} times its true rate"
        )


def peak_rate(scale: int, kind: str = "submission") -> float:
    """Events per second in the last hour of the real day."""
    return PER_DAY[kind] * scale * HOURS[-1] / 100 / 3600


def cost(before: dict[str, float], after: dict[str, float], scored: int) -> dict[str, float]:
    """CPU milliseconds per scored submission of each role (`web1` and `web2` are one), everything that came with it included."""
    roles: dict[str, float] = {}
    for host, seconds in after.items():
        role = host.rstrip("0123456789")
        roles[role] = roles.get(role, 0.0) + 1000 * (seconds - before[host]) / scored
    return roles


def cores(milliseconds: float, rate: float) -> float:
    """Cores that a role needs for so many submissions per second, none fuller than FULL."""
    return milliseconds / 1000 * rate / FULL


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values do not exceed; 0 without any."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0
