"""Lists for a person to review: teams that may be probing the labels, submissions that may be copies.

Nothing is decided here. A shared public baseline, pretrained weights or a vote of models look like copies too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from evaluation.statistics.table import CountTable, Floats, Ints

LEAST_PROBES = 5
SMALL_SHARE = 0.1
FEW_PATCHES = 2
HONEST_SAME_COUNTS = 0.04
"""Independent teams share the exact counts of at most this part of the patches (simulated)."""


@dataclass(frozen=True)
class ProbingReview:
    """A team with many submissions that look like questions: how many are tiny (under a tenth of the median
    team's predicted pixels), nearly repeat an own earlier one (counts differ in at most 2 patches), or lie under
    half of the baseline's F1; `suspicious` of them fit any of the three, `which` are these rows' names."""

    team: str
    submissions: int
    suspicious: int
    tiny: int
    nearly_repeated: int
    under_half_baseline: int
    which: tuple[str, ...] = ()


def probing(
    table: CountTable, team_of: Sequence[str], baseline_f1: float | None = None
) -> list[ProbingReview]:
    """Teams with at least 5 suspicious submissions, most first.

    The table's rows are all submissions of a phase in the order of receipt, withdrawn ones included; `team_of`
    names the team of each.
    """
    if len(team_of) != len(table.teams):
        raise ValueError(
            f"{len(team_of)} teams are named for {len(table.teams)} submissions: name one for each"
        )
    rows_of: dict[str, list[int]] = {}
    for row, team in enumerate(team_of):
        rows_of.setdefault(team, []).append(row)
    pixels = table.predicted.sum(1)
    median = float(np.median([np.median(pixels[rows]) for rows in rows_of.values()]))
    tiny = pixels < SMALL_SHARE * median
    low = table.f1() < (baseline_f1 / 2 if baseline_f1 is not None else 0)
    codes = _codes(table)
    reviews = []
    for team, rows in rows_of.items():
        own = codes[rows]
        repeated = np.array([_repeats(own[:i], own[i]) for i in range(len(own))])
        marked = tiny[rows] | low[rows] | repeated
        suspicious = int(marked.sum())
        if suspicious >= LEAST_PROBES:
            reviews.append(
                ProbingReview(
                    team,
                    len(rows),
                    suspicious,
                    tiny=int(tiny[rows].sum()),
                    nearly_repeated=int(repeated.sum()),
                    under_half_baseline=int(low[rows].sum()),
                    which=tuple(table.teams[row] for row, fits in zip(rows, marked, strict=True) if fits),
                )
            )
    return sorted(reviews, key=lambda review: -review.suspicious)


@dataclass(frozen=True)
class CopyReview:
    """Two teams whose submissions agree more than the field: `value` in 0..1 and the `limit` it exceeds."""

    first: str
    second: str
    value: float
    limit: float


def same_masks(submissions: Iterable[tuple[str, str, int]]) -> list[dict[str, list[int]]]:
    """Masks that several teams handed in: for each, the numbers of every team's submissions with them.

    `submissions` are (team, SHA-256 of the packed masks, number). An empty SHA-256 means that the masks are not
    kept; it equals nothing.
    """
    by_masks: dict[str, dict[str, list[int]]] = {}
    for team, digest, number in submissions:
        if digest:
            by_masks.setdefault(digest, {}).setdefault(team, []).append(number)
    return [numbers_of for numbers_of in by_masks.values() if len(numbers_of) > 1]


def same_counts_share(table: CountTable) -> Floats:
    """Share of patches on which two teams have identical (TP, FP, FN), float64 (T, T), of the patches that have
    label pixels and where at least one of the two predicts something: two empty predictions are not evidence."""
    labelled = table.positives > 0
    codes = _codes(table)[:, labelled]
    predicts = table.predicted[:, labelled] > 0
    share = np.zeros((len(codes), len(codes)))
    for k, code in enumerate(codes):
        looked_at = predicts | predicts[k]
        same = ((codes == code) & looked_at).sum(1)
        share[k] = np.divide(same, looked_at.sum(1), out=np.zeros(len(codes)), where=looked_at.any(1))
    return share


def copies_by_counts(table: CountTable) -> list[CopyReview]:
    """Pairs of teams that share the exact counts of unusually many patches, most alike first."""
    return _outliers(table.teams, same_counts_share(table), HONEST_SAME_COUNTS)


def copies_by_errors(teams: Sequence[str], error_jaccard: Floats) -> list[CopyReview]:
    """Pairs of teams whose errors (`agreement(...).errors`) overlap unusually much, most alike first."""
    return _outliers(teams, error_jaccard, 0.0)


def _outliers(teams: Sequence[str], value: Floats, least: float) -> list[CopyReview]:
    """Pairs above the field's own Q3 + 3 IQR: how alike honest teams are depends on the data."""
    pairs = list(combinations(range(len(teams)), 2))
    if not pairs:
        return []
    lower, upper = np.quantile([value[pair] for pair in pairs], [0.25, 0.75])
    limit = max(float(upper + 3 * (upper - lower)), least)
    found = [
        CopyReview(teams[k], teams[m], float(value[k, m]), limit) for k, m in pairs if value[k, m] > limit
    ]
    return sorted(found, key=lambda review: -review.value)


def _codes(table: CountTable) -> Ints:
    """TP and FP of a patch in one number; FN follows from them and the labels."""
    return (table.tp << 32) | table.fp


def _repeats(earlier: Ints, code: npt.NDArray[np.int64]) -> bool:
    return bool(((earlier != code).sum(1) <= FEW_PATCHES).any())
