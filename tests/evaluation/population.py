"""Made-up counts with the shape of a landslide competition: heavy-tailed patches, hard for all teams alike."""

from __future__ import annotations

import csv
from typing import TextIO

import numpy as np

from evaluation.statistics.table import CountTable

PIXELS = 128 * 128


def made_up_counts(
    rng: np.random.Generator,
    patches: int,
    teams: int,
    sites: int = 0,
    alike: float = 0.85,
    skill: np.ndarray | None = None,
    site_spread: float = 0.5,
) -> CountTable:
    """Counts of `teams` teams on `patches` patches, a third of them without landslides.

    `alike` in 0..1: share of a patch's difficulty that all teams have in common. `skill` (T,) shifts a team's
    recall on the logit scale. With `sites`, size, difficulty and false alarms also vary by site.
    """
    skill = np.zeros(teams) if skill is None else skill
    site = np.sort(rng.integers(0, sites, patches)) if sites else np.zeros(patches, int)
    of_site = (site_spread * (sites > 0) * rng.standard_normal((3, max(sites, 1))))[:, site]
    area = np.exp(rng.normal(4.6, 1.5, patches) + of_site[0]) * (rng.random(patches) > 0.34)
    area = np.minimum(np.ceil(area), PIXELS // 2).astype(np.int64)
    common, own = np.sqrt(alike), np.sqrt(1 - alike)
    shared = rng.standard_normal((2, patches))
    hard = common * shared[0] + own * rng.standard_normal((teams, patches)) + of_site[1]
    loose = common * shared[1] + own * rng.standard_normal((teams, patches)) + of_site[2]
    tp = rng.binomial(area, 1 / (1 + np.exp(-(1.2 + skill[:, None] - 1.2 * hard))))
    fp = np.minimum(rng.poisson(np.exp(loose + 0.5) * (1 + 0.15 * area)), PIXELS // 2)
    names = tuple(f"team {k + 1}" for k in range(teams))
    return CountTable(
        teams=names,
        patches=tuple(str(i + 1) for i in range(patches)),
        tp=tp,
        fp=fp,
        fn=area - tp,
        site=tuple(f"site {s + 1}" for s in site) if sites else None,
    )


def write_counts(table: CountTable, file: TextIO) -> None:
    """A table as a CSV file of counts."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["team", "patch", "tp", "fp", "fn", *(["site"] if table.site else [])])
    for k, team in enumerate(table.teams):
        for i, patch in enumerate(table.patches):
            row = [team, patch, int(table.tp[k, i]), int(table.fp[k, i]), int(table.fn[k, i])]
            writer.writerow([*row, table.site[i]] if table.site else row)
