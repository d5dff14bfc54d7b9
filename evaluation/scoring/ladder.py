"""The Ladder: show a new score only when it climbs by a whole step.

Blum and Hardt (2015), with a fixed step and the start at the public baseline. Attackers learn from the sign of small
changes; under the Ladder each revealed gain uses up a step, so that few are left. Values are floored to
the ladder's rungs, never rounded up, and everything is exact: fractions, no floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction


def points(percent: str | int | Fraction) -> Fraction:
    """A number of percentage points as F1: points("0.5") is 1/200. Text, so that 0.1 means one tenth exactly."""
    try:
        return Fraction(percent) / 100
    except ValueError:
        raise ValueError(f'{percent!r} is not a number of percentage points: write it like "0.5"') from None


@dataclass(frozen=True)
class Ladder:
    """`step` and `start` as F1 in 0..1. Start at the public baseline's score, not at 0: every rung below it is
    one that probing may climb."""

    step: Fraction
    start: Fraction

    def __post_init__(self) -> None:
        if self.step <= 0:
            raise ValueError("the Ladder's step must be more than 0")
        if not 0 <= self.start < 1:
            raise ValueError("the Ladder's start must be a score from 0 to below 1 (0 to 100 %)")

    def climb(self, best: Fraction | None, score: Fraction, noise: Fraction = Fraction(0)) -> Fraction | None:
        """The value to show after `score`, when `best` was shown before (None: nothing above the start yet).

        `noise`: a gain must also reach this, for instance twice the paired standard error against the submission
        that holds `best`. Never use it instead of a step: a submitter can make that error arbitrarily small.
        """
        current = self.start if best is None else best
        if score < current + self.step or score - current < noise:
            return best
        return self.start + math.floor((score - self.start) / self.step) * self.step


@dataclass(frozen=True)
class Rung:
    """All that may be shown about a submission: the team's best value so far and whether this one improved it."""

    best: Fraction | None
    improved: bool


def climb_all(
    ladder: Ladder,
    scores: Iterable[Fraction],
    noise: Callable[[int, int | None], Fraction] | None = None,
) -> list[Rung]:
    """The Ladder over all of a team's scores in the order of receipt, deleted ones included: a deletion gives
    no step back. `noise(index, leader)` as in `climb`, leader None for the baseline."""
    rungs: list[Rung] = []
    best, leader = None, None
    for index, score in enumerate(scores):
        after = ladder.climb(best, score, noise(index, leader) if noise else Fraction(0))
        improved = after != best
        if improved:
            best, leader = after, index
        rungs.append(Rung(best, improved))
    return rungs
