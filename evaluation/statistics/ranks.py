"""Ranks, and how certain they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.statistics.table import Floats, Ints


@dataclass(frozen=True, eq=False)
class RankRanges:
    """What Holm's test says about ranks: simultaneous, so all ranges hold together at the level.

    p_holm: float64 (T, T), corrected p values; better: bool (T, T), row significantly better than column;
    low, high: int64 (T,), best and worst rank that cannot be ruled out.
    """

    p_holm: Floats
    better: npt.NDArray[np.bool_]
    low: Ints
    high: Ints

    @property
    def leaders(self) -> npt.NDArray[np.bool_]:
        """Teams not significantly worse than rank 1, bool (T,)."""
        return self.low == 1


def holm(p: Floats) -> Floats:
    """Holm's corrected p values of a symmetric matrix (T, T) of p values: its pairs are one family of tests."""
    rows, columns = np.triu_indices(len(p), 1)
    raw = p[rows, columns]
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * (len(raw) - np.arange(len(raw))))
    adjusted = np.ones_like(p)
    adjusted[rows[order], columns[order]] = adjusted[columns[order], rows[order]] = np.minimum(stepped, 1)
    return adjusted


def rank_ranges(f1: Floats, p: Floats, alpha: float = 0.05) -> RankRanges:
    """Rank ranges from scores (T,) and uncorrected p values (T, T).

    low = 1 + number of teams significantly better; high = T - number of teams significantly worse.
    """
    p_holm = holm(p)
    better = (p_holm < alpha) & (f1[:, None] > f1[None, :])
    return RankRanges(p_holm, better, 1 + better.sum(0), len(f1) - better.sum(1))


def competition_ranks(scores: Floats) -> Ints:
    """1224 ranks along the last axis, highest score first; equal scores share a rank.

    Floats decide like exact fractions as long as denominators stay below 2^26 (5,000 patches of 128 x 128): two
    different fractions are then further apart than two roundings.
    """
    ranks = np.ones(scores.shape, np.int64)
    for team in range(scores.shape[-1]):
        ranks += scores[..., team : team + 1] > scores
    return ranks


def kendall_tau(x: Floats, y: Floats) -> float:
    """Kendall's tau-b of two lists of scores of the same teams; nan when either is constant."""
    a = np.sign(x[:, None] - x[None, :])
    b = np.sign(y[:, None] - y[None, :])
    untied = float(np.count_nonzero(a)) * float(np.count_nonzero(b))
    return float((a * b).sum() / np.sqrt(untied)) if untied else float("nan")
