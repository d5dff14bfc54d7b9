"""The order of a board.

A rank depends on F1 alone, compared as an exact fraction: 1224, equal scores share a rank. Inside a tie the
submission whose last byte came first stands first; that decides the order of rows, and a prize if the rules say so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from evaluation.scoring.metrics import percent

UNDEFINED = "–"


@dataclass(frozen=True)
class Entry:
    """A team's counted submission. `f1` in 0..1, None when it failed or is undefined; `received` is the time of
    the upload's last byte, not of its scoring: a slow queue must not decide."""

    team: str
    f1: Fraction | None
    received: datetime


@dataclass(frozen=True)
class Ranked:
    """An entry and its rank from 1; None for an entry without a score."""

    entry: Entry
    rank: int | None


def rank(entries: Iterable[Entry], tie_on_decimals: int | None = None) -> list[Ranked]:
    """Entries in the order of the board: F1 descending, received ascending, team; those without F1 last, unranked.

    `tie_on_decimals`: for rules that speak of the displayed value. Scores that agree in percent to this many
    decimals are then equal.
    """

    def worth(entry: Entry) -> Fraction | int | None:
        if entry.f1 is None or tie_on_decimals is None:
            return entry.f1
        return _rounded(entry.f1, tie_on_decimals)

    in_time = sorted(entries, key=lambda entry: (entry.received, entry.team))
    scored = [(value, entry) for entry in in_time if (value := worth(entry)) is not None]
    scored.sort(key=lambda pair: pair[0], reverse=True)  # stable: inside a tie the order of time stays
    board: list[Ranked] = []
    for place, (value, entry) in enumerate(scored, 1):
        tied = place > 1 and value == scored[place - 2][0]
        board.append(Ranked(entry, board[-1].rank if tied else place))
    return board + [Ranked(entry, None) for entry in in_time if entry.f1 is None]


def shown_percents(scores: Sequence[Fraction | None], decimals: int = 2) -> list[str]:
    """Scores in percent, half up from the exact value. Different scores that would look the same get one more
    decimal; a missing score is a dash."""
    different = Counter(_rounded(score, decimals) for score in set(scores) if score is not None)
    return [
        UNDEFINED
        if score is None
        else percent(
            score.numerator, score.denominator, decimals + (different[_rounded(score, decimals)] > 1)
        )
        for score in scores
    ]


def _rounded(score: Fraction, decimals: int) -> int:
    """The displayed percentage without its decimal point."""
    return math.floor(score * 100 * 10**decimals + Fraction(1, 2))
