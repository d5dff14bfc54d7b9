"""What a phase shows of a score, to its owner as to the public, on pages as in answers of the API and in mails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from evaluation.ladder import Ladder, climb_all
from evaluation.metrics import percent


@dataclass(frozen=True)
class Exact:
    """Every score, in percent with 0 to 4 decimals, half up."""

    decimals: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.decimals <= 4:
            raise ValueError(f"scores are shown with 0 to 4 decimals, not {self.decimals}")


@dataclass(frozen=True)
class Hidden:
    """Nothing until the phase reveals its scores."""


Policy = Exact | Ladder | Hidden


@dataclass(frozen=True)
class Shown:
    """What may be known of one submission. `value` (0..1) also decides the order on an open board: a Ladder's
    board that ranked by exact scores would give away what it hides. `improved` is told by a Ladder only."""

    value: Fraction | None
    text: str
    improved: bool | None = None


NOTHING = Shown(None, "")


def shown(policy: Policy, scores: Sequence[Fraction]) -> list[Shown]:
    """What a team's submissions show, given all of its scores in the order of receipt, deleted ones included."""
    match policy:
        case Hidden():
            return [NOTHING] * len(scores)
        case Exact(decimals):
            return [Shown(score, percent(score.numerator, score.denominator, decimals)) for score in scores]
        case Ladder():
            return [
                Shown(
                    rung.best,
                    "not above the baseline"
                    if rung.best is None
                    else percent(rung.best.numerator, rung.best.denominator),
                    rung.improved,
                )
                for rung in climb_all(policy, scores)
            ]
