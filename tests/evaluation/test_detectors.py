from dataclasses import replace

import numpy as np
import pytest

from evaluation.report.agreement import agreement
from evaluation.report.detectors import (
    copies_by_counts,
    copies_by_errors,
    probing,
    same_counts_share,
    same_masks,
)
from evaluation.scoring.counts import pack
from evaluation.statistics.table import CountTable
from tests.evaluation.population import made_up_counts


def stacked(tables, names):
    first = tables[0]
    tp, fp, fn = (np.concatenate([getattr(t, part) for t in tables]) for part in ("tp", "fp", "fn"))
    return CountTable(tuple(names), first.patches, tp, fp, fn)


def honest(rng, teams, each):
    table = made_up_counts(rng, 60, teams * each)
    return table, [f"honest {k % teams}" for k in range(teams * each)]


def region_probe(base, k):
    """Predict a few pixels of patch k only: their precision tells the label there."""
    tp, fp = np.zeros_like(base.tp[:1]), np.zeros_like(base.tp[:1])
    tp[0, k], fp[0, k] = min(5, base.positives[k]), 3
    return replace(base, teams=("x",), tp=tp, fp=fp, fn=base.positives[None] - tp)


def test_honest_teams_are_not_listed(rng):
    table, team_of = honest(rng, 5, 8)
    assert probing(table, team_of, baseline_f1=0.5) == []


def test_region_probes_are_listed(rng):
    base, team_of = honest(rng, 5, 8)
    table = stacked([base, *(region_probe(base, k) for k in range(6))], [str(i) for i in range(46)])
    (review,) = probing(table, team_of + ["prober"] * 6, baseline_f1=0.5)
    assert (review.team, review.submissions, review.suspicious) == ("prober", 6, 6)
    assert (review.tiny, review.under_half_baseline) == (6, 6)
    assert review.nearly_repeated == 5  # any two differ in two patches; the first has none before it
    assert probing(table, team_of + ["prober"] * 4 + ["other"] * 2, baseline_f1=0.5) == []


def test_hill_climbing_is_listed(rng):
    base, team_of = honest(rng, 3, 4)
    steps = []
    for k in range(6):
        fp = base.fp[:1].copy()
        fp[0, k] += 7
        steps.append(replace(base, teams=("x",), tp=base.tp[:1], fp=fp, fn=base.fn[:1]))
    table = stacked([base, *steps], [str(i) for i in range(18)])
    (review,) = probing(table, team_of + ["climber"] * 6)
    assert (review.tiny, review.nearly_repeated, review.under_half_baseline) == (0, 5, 0)
    with pytest.raises(ValueError, match="12 teams are named for 18"):
        probing(table, team_of)


def test_same_masks_across_teams_only():
    made = [
        ("a", "1", 1),
        ("a", "1", 2),
        ("b", "2", 3),
        ("c", "2", 4),
        ("b", "2", 5),
        ("d", "", 6),
        ("e", "", 7),
    ]
    assert same_masks(made) == [{"b": [3, 5], "c": [4]}]


def test_counts_betray_a_lazy_copy(rng):
    # A competitor's mask with one patch in twenty redone.
    base = made_up_counts(rng, 200, 12)
    redone = rng.random(200) < 0.05
    parts = {
        part: np.where(redone, getattr(base, part)[:1], getattr(base, part)[3:4])
        for part in ("tp", "fp", "fn")
    }
    table = stacked([base, replace(base, teams=("copy",), **parts)], [*base.teams, "copy"])
    share = same_counts_share(table)
    assert share[3, 12] > 0.85
    assert np.delete(np.delete(share, 3, 0), [3, 12], 1).max() <= 1
    (review,) = [r for r in copies_by_counts(table) if r.value > 0.5]
    assert (review.first, review.second) == ("team 4", "copy")
    assert copies_by_counts(table)[0] == review


def test_shared_counts_by_hand():
    # Patch 1 equal; 2 differs; 3 both blank on a label: says nothing; 4 has no label.
    table = CountTable(
        ("a", "b"),
        ("1", "2", "3", "4"),
        np.array([[3, 3, 0, 0], [3, 3, 0, 0]]),
        np.array([[1, 1, 0, 9], [1, 0, 0, 9]]),
        np.array([[1, 1, 4, 0], [1, 1, 4, 0]]),
    )
    assert same_counts_share(table)[0, 1] == 0.5


def test_errors_betray_a_copy(rng):
    label = rng.random((40, 16, 16)) < 0.1
    masks = [label ^ (rng.random(label.shape) < 0.05) for _ in range(10)]
    masks.append(masks[2] ^ (rng.random(label.shape) < 0.005))
    teams = [str(k) for k in range(11)]
    errors = agreement([pack(mask) for mask in masks], pack(label)).errors
    (review,) = copies_by_errors(teams, errors)
    assert (review.first, review.second) == ("2", "10")
    assert review.value > 0.8 > review.limit
    assert copies_by_errors(teams[:1], errors[:1, :1]) == []
