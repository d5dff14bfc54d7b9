"""Means, spreads and paired differences of F1 over seeds, and tables of them as Markdown and CSV."""

import csv
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import StringIO
from typing import Any

import numpy as np

from baseline.experiments.results import Result
from evaluation.statistics.intervals import differences
from evaluation.statistics.table import CountTable

Outcomes = Mapping[int, Result]  # of one method on one split, by seed


def mean_and_spread(values: Sequence[float], decimals: int = 2) -> str:
    """The mean, ± the standard deviation if there are several values; empty if there is none."""
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{decimals}f}{spread}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """A Markdown table whose first `texts` columns are left-aligned, the others right-aligned."""
    rule = ["---"] * texts + ["---:"] * (len(header) - texts)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))


def comma_separated(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with equal keys as CSV."""
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@dataclass(frozen=True)
class Difference:
    """F1 of `first` minus F1 of `second` on one split, in 0..1, over the seeds that both have.

    by_seed: for each seed. pooled: of the counts of all seeds together; low, high: its paired interval of 95 %, p: two-sided, of no
    difference. units: what the interval is over: sites (each site of each seed's data and training), where they are known, or
    patches, which are neighbours and say too much.
    """

    split: str
    first: str
    second: str
    by_seed: dict[int, float]
    pooled: float
    low: float
    high: float
    p: float
    units: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def difference(split: str, first: tuple[str, Outcomes], second: tuple[str, Outcomes]) -> Difference | None:
    """The difference of two named methods; None where they share no seed scored on the same data."""
    (name, one), (other_name, other) = first, second
    seeds = [seed for seed in sorted(set(one) & set(other)) if _same_data(one[seed], other[seed])]
    if not seeds:
        return None
    table = pooled((name, other_name), [[one[seed] for seed in seeds], [other[seed] for seed in seeds]])
    table = table.by_site() if table.site else table
    paired = differences(table)
    delta, half = float(paired.delta[0, 1]), float(paired.half_width[0, 1])
    by_seed = {seed: one[seed].score.f1 - other[seed].score.f1 for seed in seeds}
    return Difference(
        split,
        name,
        other_name,
        by_seed,
        delta,
        delta - half,
        delta + half,
        float(paired.p[0, 1]),
        f"{len(table.patches)} {'sites' if table.site else 'patches'}",
    )


def _same_data(one: Result, other: Result) -> bool:
    return one.data_sha256 == other.data_sha256


def pooled(names: tuple[str, ...], results: Sequence[Sequence[Result]]) -> CountTable:
    """Counts per patch, row by row of `results`, seed by seed: seeds scored on the same data share their patches and are
    summed patch by patch; those on different data are concatenated."""
    sizes: dict[str, int] = {}
    for result in results[0]:
        sizes.setdefault(result.data_sha256, len(result.counts))
    sums = np.zeros((3, len(results), sum(sizes.values())), np.int64)
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
    for row, of_seeds in enumerate(results):
        for result in of_seeds:
            counts, start = result.counts, starts[result.data_sha256]
            sums[:, row, start : start + len(counts)] += np.stack([counts.tp, counts.fp, counts.fn])
    patches = tuple(f"{sha256[:12]}/{k + 1}" for sha256, count in sizes.items() for k in range(count))
    sites = tuple(
        f"{sha256[:12]}/{site}"
        for sha256, first in zip(sizes, (_first(results[0], sha256) for sha256 in sizes), strict=True)
        for site in first.sites
    )
    tp, fp, fn = sums
    known = len(sites) == len(patches)
    return CountTable(names, patches, tp, fp, fn, site=sites if known else None)


def _first(results: Sequence[Result], sha256: str) -> Result:
    return next(result for result in results if result.data_sha256 == sha256)
