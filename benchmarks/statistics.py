"""What the organiser's report costs: `python -m benchmarks.statistics` (85 teams, 800 patches of 128 x 128).

Prints the processor time of each part in ms, the smallest of five runs, one thread. Where the naive way is fast
enough to wait for, its time and the ratio are shown too.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from collections.abc import Callable

import numpy as np
from scipy import ndimage

from evaluation.report.agreement import agreement, majority_vote, pixel_oracle
from evaluation.report.boundary import boundary_counts
from evaluation.report.detectors import copies_by_counts, probing
from evaluation.report.objects import object_counts
from evaluation.report.phase_report import Submissions, build
from evaluation.scoring.counts import pack
from evaluation.statistics.bootstrap import rank_frequencies, resampled_f1, selection_brackets
from evaluation.statistics.intervals import differences, score_intervals
from evaluation.statistics.permutation import permutation_p
from evaluation.statistics.ranks import rank_ranges
from evaluation.statistics.table import CountTable
from evaluation.task import MaskSpec
from tests.evaluation.population import made_up_counts

TEAMS, PATCHES, SUBMISSIONS, REPLICATES = 85, 800, 219, 10_000


def cost(work: Callable[[], object], runs: int = 5) -> float:
    """Processor time in ms, the smallest of some runs."""
    times = []
    for _ in range(runs):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def row(name: str, ours: float, plain: float | None = None) -> None:
    print(f"{name:<58}{ours:>9.1f}" + (f"{plain:>11.1f}{plain / ours:>8.1f}" if plain else ""), flush=True)


def bootstrap_by_rows(table: CountTable, rng: np.random.Generator, replicates: int) -> np.ndarray:
    """The textbook's bootstrap: draw patches, sum their counts."""
    n = len(table.patches)
    top, bottom = table.numerator, table.denominator
    scores = np.empty((replicates, len(table.teams)))
    for b in range(replicates):
        drawn = rng.integers(0, n, n)
        scores[b] = top[:, drawn].sum(1) / bottom[:, drawn].sum(1)
    return scores


def objects_by_patch(prediction: np.ndarray, label: np.ndarray) -> None:
    eight = np.ones((3, 3))
    for p, t in zip(prediction, label, strict=True):
        for mask, other in ((t, p), (p, t)):
            named, number = ndimage.label(mask, eight)
            ndimage.sum(other, named, range(1, number + 1))
            np.bincount(named.ravel())


def boundary_by_distance(prediction: np.ndarray, label: np.ndarray) -> None:
    for p, t in zip(prediction, label, strict=True):
        p, t = (mask & ~ndimage.binary_erosion(mask, border_value=1) for mask in (p, t))
        for ours, theirs in ((p, t), (t, p)):
            np.count_nonzero(ours & (ndimage.distance_transform_edt(~theirs) <= 2))


def agreement_of_pairs(masks: list[np.ndarray], label: np.ndarray) -> None:
    for k, first in enumerate(masks):
        for second in masks[k + 1 :]:
            for a, b in ((first, second), (first ^ label, second ^ label)):
                np.count_nonzero(a & b) / np.count_nonzero(a | b)


def from_counts() -> None:
    rng = np.random.default_rng(0)
    table = made_up_counts(rng, PATCHES, TEAMS, sites=20, skill=np.linspace(0.5, -0.5, TEAMS))
    tries = made_up_counts(rng, PATCHES, SUBMISSIONS)
    team_of = [f"team {1 + k % TEAMS}" for k in range(SUBMISSIONS)]
    scores = resampled_f1(table, rng, REPLICATES)

    def intervals_and_ranges() -> None:
        score_intervals(table)
        rank_ranges(table.f1(), differences(table).p)

    row("intervals, 3570 pairs, Holm, rank ranges", cost(intervals_and_ranges))
    row("the same by site (20 sites, Student's t)", cost(lambda: differences(table.by_site())))
    row(
        "bootstrap, 10,000 replicates (plain: rows drawn in a loop)",
        cost(lambda: resampled_f1(table, rng, REPLICATES)),
        10 * cost(lambda: bootstrap_by_rows(table, rng, REPLICATES // 10), 1),
    )
    row("rank frequencies of those", cost(lambda: rank_frequencies(scores)))
    row("permutation p of the podium, 10,000", cost(lambda: permutation_p(table.take([0, 1, 2]), rng)))
    row("best-of-k brackets, 219 submissions", cost(lambda: selection_brackets(tries, team_of, rng), 3))
    row("probing, 219 submissions", cost(lambda: probing(tries, team_of, 0.6)))
    row("copies by counts", cost(lambda: copies_by_counts(table)))
    submissions = Submissions(tries, team_of)
    row("the whole report from counts", cost(lambda: build(table, "test", submissions=submissions), 3))


def from_masks() -> None:
    rng = np.random.default_rng(1)
    spec = MaskSpec(PATCHES)
    shape = (PATCHES, spec.height, spec.width)
    ground = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0, 3, 3))
    ground /= ground.std()
    ground[rng.random(PATCHES) < 0.34] = -9
    label = ground > 2
    few = [
        ground + ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0, 1, 1)) > 2
        for _ in range(6)
    ]
    labels, packed = pack(label), [pack(mask) for mask in few]
    field = [packed[k % 6] for k in range(TEAMS)]
    row(
        "Jaccard of masks and errors, 3570 pairs (plain: booleans)",
        cost(lambda: agreement(field, labels), 2),
        TEAMS * (TEAMS - 1) / 30 * cost(lambda: agreement_of_pairs(few, label), 1),
    )
    row("majority vote of 5", cost(lambda: majority_vote(packed[:5])))
    row("pixel oracle of 85", cost(lambda: pixel_oracle(field, labels)))
    row("boundary F1 of one submission, 1 pixel", cost(lambda: boundary_counts(packed[:1], labels, spec, 1)))
    row(
        "boundary F1 of one submission, 2 pixels (plain: scipy)",
        cost(lambda: boundary_counts(packed[:1], labels, spec, 2)),
        cost(lambda: boundary_by_distance(few[0], label), 2),
    )
    row(
        "objects of one submission, found and right (plain: scipy)",
        cost(lambda: object_counts(packed[:1], labels, spec)),
        cost(lambda: objects_by_patch(few[0], label), 2),
    )


if __name__ == "__main__":
    print(f"{'ms of one processor':<58}{'ours':>9}{'plain':>11}{'ratio':>8}")
    from_counts()
    from_masks()
