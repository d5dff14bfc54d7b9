import numpy as np
import pytest

from evaluation.statistics.intervals import paired_errors
from evaluation.statistics.shakeup import shake_up
from evaluation.statistics.sites import ranks_without_each_site, site_f1
from evaluation.statistics.table import CountTable
from tests.evaluation.population import made_up_counts


def test_site_scores_and_ranks_without_a_site_by_hand():
    # Team a is better in x (4 of 5 against 1), b in y (5 of 5 against 3); z is empty and predicted by b alone.
    table = CountTable(
        ("a", "b"),
        ("1", "2", "3"),
        np.array([[4, 3, 0], [1, 5, 0]]),
        np.array([[0, 0, 0], [0, 0, 2]]),
        np.array([[1, 2, 0], [4, 0, 0]]),
        site=("x", "y", "z"),
    )
    f1 = site_f1(table)
    assert f1[0, 0] == 8 / 9
    assert f1[1].tolist() == [2 / 6, 1.0, 0.0]
    assert np.isnan(f1[0, 2])
    assert ranks_without_each_site(table).tolist() == [[2, 1, 1], [1, 2, 2]]


def test_one_site_is_refused():
    table = CountTable(("a",), ("1",), np.array([[1]]), np.array([[0]]), np.array([[0]]), site=("x",))
    with pytest.raises(ValueError, match="two sites"):
        ranks_without_each_site(table)


def test_shake_up_relative_to_the_baseline(rng):
    names = ("base", "a", "b")
    first = made_up_counts(rng, 100, 3, skill=np.array([-0.5, 0.4, 0.0]))
    second = made_up_counts(rng, 200, 3, skill=np.array([-0.5, 0.0, 0.4]))
    first = CountTable(names, first.patches, first.tp, first.fp, first.fn)
    second = CountTable(names, second.patches, second.tp, second.fp, second.fn)
    changes, tau = shake_up(first, second, "base")
    assert [c.team for c in changes] == ["a", "b"]
    assert [(c.rank_before, c.rank_after) for c in changes] == [(1, 2), (2, 1)]
    assert tau == -1
    f, g = first.f1(), second.f1()
    assert changes[0].relative == pytest.approx((g[1] - f[1]) - (g[0] - f[0]), abs=1e-15)
    both = paired_errors(first)[0, 1] ** 2 + paired_errors(second)[0, 1] ** 2
    assert changes[0].se == pytest.approx(np.sqrt(both), rel=1e-12)
    assert shake_up(first, second)[0][0].relative is None
    with pytest.raises(ValueError, match="'nobody' has no counts in the earlier phase"):
        shake_up(first, second, "nobody")


def test_teams_of_one_phase_only_are_left_out(rng):
    first, second = made_up_counts(rng, 50, 4).take([0, 1, 3]), made_up_counts(rng, 60, 4).take([3, 2, 1])
    changes, _ = shake_up(first, second)
    assert [c.team for c in changes] == ["team 4", "team 2"]
