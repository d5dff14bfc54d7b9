"""Scores per site, and ranks with one site left out: how much the board depends on a single landslide."""

from __future__ import annotations

import numpy as np

from evaluation.statistics.ranks import competition_ranks
from evaluation.statistics.table import CountTable, Floats, Ints


def site_f1(table: CountTable) -> Floats:
    """F1 of each team within each site, float64 (T, sites) in the order of `by_site`; nan where a site has
    neither label nor predicted pixels."""
    sites = table.by_site()
    size = sites.denominator
    return np.divide(sites.numerator, size, out=np.full(size.shape, np.nan), where=size > 0)


def ranks_without_each_site(table: CountTable) -> Ints:
    """Ranks of the teams on all other sites, int64 (T, sites). ValueError with fewer than two sites, or when one
    site holds every label pixel."""
    sites = table.by_site()
    if len(sites.patches) < 2:
        raise ValueError("leaving one site out needs at least two sites")
    top = sites.numerator.sum(1, keepdims=True) - sites.numerator
    bottom = sites.denominator.sum(1, keepdims=True) - sites.denominator
    if bottom.min() == 0:
        raise ValueError("one site holds every label pixel, so nothing is left without it")
    return competition_ranks((top / bottom).T).T
