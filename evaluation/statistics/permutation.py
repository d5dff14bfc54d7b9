"""Paired permutation test of two teams' pooled F1.

If two teams are equally good, their counts on a patch may be exchanged. Each permutation swaps them on a random
half of the patches and recomputes the pooled difference: p = (1 + #{|d*| >= |d|}) / (B + 1).
"""

from __future__ import annotations

import numpy as np

from evaluation.statistics.table import CountTable, Floats

BLOCK = 1000


def permutation_p(table: CountTable, rng: np.random.Generator, permutations: int = 10_000) -> Floats:
    """Two-sided p values of every pair of the table's teams, float64 (T, T), 1 on the diagonal.

    All pairs share the same swaps. A table summed by site swaps whole sites.
    """
    top, bottom = table.numerator.astype(float), table.denominator.astype(float)
    f1 = table.f1()
    rows, columns = np.triu_indices(len(f1), 1)
    # Equal differences may differ in the last bit; anything this small is rounding.
    observed = np.abs(f1[rows] - f1[columns]) - 1e-12
    step = np.concatenate([top[columns] - top[rows], bottom[columns] - bottom[rows]]).T
    at_least = np.zeros(len(rows), np.int64)
    for start in range(0, permutations, BLOCK):
        swaps = rng.integers(0, 2, (min(BLOCK, permutations - start), len(table.patches)), np.uint8)
        moved_top, moved_bottom = np.hsplit(swaps.astype(float) @ step, 2)
        first = (top.sum(1)[rows] + moved_top) / (bottom.sum(1)[rows] + moved_bottom)
        second = (top.sum(1)[columns] - moved_top) / (bottom.sum(1)[columns] - moved_bottom)
        at_least += (np.abs(first - second) >= observed).sum(0)
    p = np.ones((len(f1), len(f1)))
    p[rows, columns] = p[columns, rows] = (1 + at_least) / (permutations + 1)
    return p
