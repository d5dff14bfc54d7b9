import numpy as np
import pytest
from scipy import stats

from evaluation.statistics.intervals import differences
from evaluation.statistics.ranks import competition_ranks, holm, kendall_tau, rank_ranges
from tests.evaluation.population import made_up_counts


def symmetric(t, values):
    p = np.ones((t, t))
    p[np.triu_indices(t, 1)] = values
    return np.minimum(p, p.T)


def test_holm_by_hand():
    # .01 * 3 = .03; .03 * 2 = .06; .04 * 1 = .04 is raised to .06
    p = holm(symmetric(3, [0.03, 0.01, 0.04]))
    np.testing.assert_allclose(p, symmetric(3, [0.06, 0.03, 0.06]))
    assert holm(symmetric(3, [0.5, 0.6, 0.7])).max() == 1
    assert holm(np.ones((1, 1))).tolist() == [[1]]


def test_rank_ranges_by_hand():
    # a surely beats c and d, b surely beats d; nothing else is sure.
    f1 = np.array([0.8, 0.7, 0.6, 0.5])
    p = symmetric(4, [0.5, 0.001, 0.001, 0.5, 0.001, 0.5])
    got = rank_ranges(f1, p)
    assert got.low.tolist() == [1, 1, 2, 3]
    assert got.high.tolist() == [2, 3, 4, 4]
    assert got.leaders.tolist() == [True, True, False, False]
    assert got.better[0].tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("scores", "ranks"),
    [
        ([0.5], [1]),
        ([0.5, 0.7, 0.7, 0.1], [3, 1, 1, 4]),
        ([0.2, 0.2, 0.2], [1, 1, 1]),
        ([[0.1, 0.2], [0.3, 0.3]], [[2, 1], [1, 1]]),
    ],
)
def test_shared_ranks_leave_a_gap(scores, ranks):
    assert competition_ranks(np.array(scores)).tolist() == ranks


def test_tau_agrees_with_scipy(rng):
    for _ in range(20):
        x, y = rng.integers(0, 6, 12).astype(float), rng.integers(0, 6, 12).astype(float)
        assert kendall_tau(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)
    assert np.isnan(kendall_tau(np.ones(3), np.arange(3.0)))


def simultaneous_coverage(repetitions, seed, patches=400):
    """Four teams exactly tied, one better, one worse: share of runs in which every range holds the true rank,
    and share in which the better or worse team was found out."""
    rng = np.random.default_rng(seed)
    skill = np.array([0.5, 0, 0, 0, 0, -0.5])
    best, worst = np.array([1, 2, 2, 2, 2, 6]), np.array([1, 5, 5, 5, 5, 6])
    covered, found = 0, 0
    for _ in range(repetitions):
        table = made_up_counts(rng, patches, 6, skill=skill)
        ranges = rank_ranges(table.f1(), differences(table).p)
        covered += bool(((ranges.low <= best) & (ranges.high >= worst)).all())
        found += bool(ranges.low[5] == 6 or ranges.high[0] == 1)
    return covered / repetitions, found / repetitions


def test_rank_ranges_hold_together():
    covered, found = simultaneous_coverage(300, seed=5)
    assert covered >= 0.92  # 95 % wanted, standard error 1.3 points
    assert found > 0.3  # and they are not simply everything


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_rank_ranges_hold_together_at_length():
    covered, found = simultaneous_coverage(4000, seed=6, patches=800)
    print(f"rank ranges: simultaneous coverage {covered:.4f}, an outer team found out {found:.4f}")
    assert covered >= 0.93
