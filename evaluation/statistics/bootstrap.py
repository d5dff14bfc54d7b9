"""Scores on resampled patches: rank frequencies for the blob plot and the bracket for "best of k submissions".

A replicate draws n patches with replacement, the same draw for every team: weights W ~ Multinomial(n, 1/n) and
F* = (W A) / (W B). The label pixels are common to all teams, so W [TP, predicted, label pixels] needs 2T + 1
columns. Those sums are whole numbers; below 2^24 float32 holds every partial sum exactly and in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.statistics.ranks import competition_ranks
from evaluation.statistics.table import CountTable, Floats, Ints

BLOCK = 250  # replicates at a time: large enough for the matrix product, small enough for thousands of submissions
EXACT_IN_FLOAT32 = 2**24


def resamples(rng: np.random.Generator, n: int, replicates: int) -> Iterator[npt.NDArray[np.int64]]:
    """Weights of the patches in blocks of replicates, int64 (block, n), each row summing to n."""
    for start in range(0, replicates, BLOCK):
        rows = min(BLOCK, replicates - start)
        drawn = rng.integers(0, n, (rows, n), np.int32) + np.arange(0, rows * n, n)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)


def resampled_f1(table: CountTable, rng: np.random.Generator, replicates: int = 10_000) -> Floats:
    """Pooled F1 of every team on every replicate, float64 (B, T). A replicate without any positive pixel, in
    labels and prediction, scores 0."""
    columns = _columns(table)
    n = len(table.patches)
    return np.concatenate([_pooled(weights, columns) for weights in resamples(rng, n, replicates)])


def rank_frequencies(scores: Floats) -> Floats:
    """Share of the replicates (B, T) in which a team (row) has a rank (column, from 1), float64 (T, T).

    Shows how ranks move when patches are redrawn; not a confidence statement, for which see `rank_ranges`.
    """
    replicates, teams = scores.shape
    ranks = competition_ranks(scores)
    counts = np.bincount((ranks - 1 + np.arange(0, teams * teams, teams)).ravel(), minlength=teams * teams)
    return counts.reshape(teams, teams) / replicates


@dataclass(frozen=True)
class Bracket:
    """The best of a team's k submissions, and what to expect of it on new patches (all F1, 0..1).

    reported: its score. optimistic: minus the bootstrap's estimate of its luck, max F - mean(F*_best - F_best).
    pessimistic: chosen on the drawn patches, scored on those left out. For the report, never for ranking.
    """

    submissions: int
    reported: float
    optimistic: float
    pessimistic: float


def selection_brackets(
    table: CountTable, team_of: Sequence[str], rng: np.random.Generator, replicates: int = 10_000
) -> dict[str, Bracket]:
    """A bracket for each team; the table's rows are submissions, `team_of` names the team of each row."""
    if len(team_of) != len(table.teams):
        raise ValueError(
            f"{len(team_of)} teams are named for {len(table.teams)} submissions: name one for each"
        )
    columns, f1 = _columns(table), table.f1()
    rows_of: dict[str, list[int]] = {}
    for row, team in enumerate(team_of):
        rows_of.setdefault(team, []).append(row)
    luck = dict.fromkeys(rows_of, 0.0)
    left_out = dict.fromkeys(rows_of, 0.0)
    for weights in resamples(rng, len(table.patches), replicates):
        inside, outside = _pooled(weights, columns), _pooled(weights == 0, columns)
        each = np.arange(len(weights))
        for team, rows in rows_of.items():
            best = np.asarray(rows)[inside[:, rows].argmax(1)]
            luck[team] += float((inside[each, best] - f1[best]).sum())
            left_out[team] += float(outside[each, best].sum())
    return {
        team: Bracket(
            submissions=len(rows),
            reported=float(f1[rows].max()),
            optimistic=float(f1[rows].max() - luck[team] / replicates),
            pessimistic=left_out[team] / replicates,
        )
        for team, rows in rows_of.items()
    }


def _columns(table: CountTable) -> npt.NDArray[np.floating]:
    """TP and predicted pixels of each team, then the label pixels: (n, 2T + 1), float32 where that is exact."""
    columns: Ints = np.concatenate([table.tp, table.predicted, table.positives[None]]).T
    largest_sum = len(table.patches) * int(columns.max())
    return columns.astype(np.float32 if largest_sum < EXACT_IN_FLOAT32 else np.float64)


def _pooled(weights: npt.NDArray[np.generic], columns: npt.NDArray[np.floating]) -> Floats:
    sums = (weights.astype(columns.dtype) @ columns).astype(np.float64)
    teams = sums.shape[1] // 2
    size = sums[:, teams:-1] + sums[:, -1:]
    return np.divide(2 * sums[:, :teams], size, out=np.zeros_like(size), where=size > 0)
