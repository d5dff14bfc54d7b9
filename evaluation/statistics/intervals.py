"""Confidence intervals of pooled F1, and of the difference of two teams on the same patches.

Delta method for a ratio of sums. With A_i = 2TP_i and B_i = 2TP_i + FP_i + FN_i of patch i, F = sum A / sum B:

    u_ik  = (A_ik - F_k B_ik) / mean_i(B_ik)          influence of patch i on team k
    S_kl  = sum_i u_ik u_il / (n (n - 1))             covariance of the scores of teams k and l
    F_k  +- t(0.975, n - 1) sqrt(S_kk)
    se(k, l) = sqrt(S_kk + S_ll - 2 S_kl)             paired: patches hard for one team are hard for all

A table summed by site (`CountTable.by_site`) gives the cluster version of all of it, with n the number of sites.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.statistics.student import normal_two_sided, t_quantile, t_two_sided
from evaluation.statistics.table import CountTable, Floats


@dataclass(frozen=True, eq=False)
class Intervals:
    """Score, standard error and confidence limits of each team, all float64 (T,), in 0..1."""

    f1: Floats
    se: Floats
    low: Floats
    high: Floats
    level: float


@dataclass(frozen=True, eq=False)
class Differences:
    """F1 of row team minus F1 of column team, float64 (T, T), with its standard error, the half-width of its
    confidence interval and the two-sided p value of "no difference" (not corrected for the number of pairs)."""

    delta: Floats
    se: Floats
    half_width: Floats
    p: Floats
    level: float


def influence(table: CountTable) -> Floats:
    """Influence of each patch on each team's F1, float64 (T, n); each row sums to 0."""
    size = table.denominator
    return (table.numerator - table.f1()[:, None] * size) / size.mean(1)[:, None]


def score_intervals(table: CountTable, level: float = 0.95) -> Intervals:
    """Pooled F1 of each team with its confidence interval."""
    n = _units(table)
    f1 = table.f1()
    se = np.sqrt(np.square(influence(table)).sum(1) / (n * (n - 1)))
    half = t_quantile((1 + level) / 2, n - 1) * se
    return Intervals(f1, se, f1 - half, f1 + half, level)


def paired_errors(table: CountTable) -> Floats:
    """Standard error of the difference of every two teams, float64 (T, T).

    Summed from the differences of influences rather than from the covariance matrix: two nearly equal masks
    would lose their digits in S_kk + S_ll - 2 S_kl.
    """
    n = _units(table)
    u = influence(table)
    square = np.stack([np.square(u - row).sum(1) for row in u])
    return np.sqrt(square / (n * (n - 1)))


def differences(table: CountTable, level: float = 0.95) -> Differences:
    """Every paired difference. The test is normal for patches and Student's t for sites, of which there are few."""
    f1, se, df = table.f1(), paired_errors(table), _units(table) - 1
    delta = f1[:, None] - f1[None, :]
    p = np.ones_like(delta)
    for k, other in zip(*np.triu_indices(len(f1), 1), strict=True):
        if delta[k, other] == 0:
            continue
        ratio = delta[k, other] / se[k, other] if se[k, other] > 0 else np.inf
        p[k, other] = p[other, k] = t_two_sided(ratio, df) if table.clustered else normal_two_sided(ratio)
    return Differences(delta, se, t_quantile((1 + level) / 2, df) * se, p, level)


def _units(table: CountTable) -> int:
    n = len(table.patches)
    if n < 2:
        raise ValueError(
            f"an interval needs at least two {'sites' if table.clustered else 'patches'}, not {n}"
        )
    return n
