import math

import numpy as np
import pytest
from scipy import stats

from evaluation.statistics.intervals import differences, influence, paired_errors, score_intervals
from evaluation.statistics.table import CountTable
from tests.evaluation.population import made_up_counts


def test_two_patches_by_hand():
    # A = (4, 2), B = (6, 4): F = 6/10, mean B = 5, u = ((4 - 3.6)/5, (2 - 2.4)/5) = (.08, -.08),
    # S = 2 * .0064 / (2 * 1) = .0064, se = .08, t(.975, 1) = tan(.475 pi)
    table = CountTable(("a",), ("1", "2"), np.array([[2, 1]]), np.array([[1, 1]]), np.array([[1, 1]]))
    got = score_intervals(table)
    assert got.f1[0] == 0.6
    assert got.se[0] == pytest.approx(0.08, rel=1e-13)
    assert got.high[0] == pytest.approx(0.6 + 0.08 * math.tan(0.475 * math.pi), rel=1e-12)
    assert got.low[0] + got.high[0] == pytest.approx(1.2)


def test_a_pair_by_hand():
    # b: A = (6, 0), B = (6, 4): F = .6 too, u = ((6 - 3.6)/5, -2.4/5) = (.48, -.48); u_a - u_b = (-.4, .4)
    table = CountTable(
        ("a", "b"),
        ("1", "2"),
        np.array([[2, 1], [3, 0]]),
        np.array([[1, 1], [0, 2]]),
        np.array([[1, 1], [0, 2]]),
    )
    got = differences(table)
    assert got.se[0, 1] == pytest.approx(0.4, rel=1e-13)
    assert got.delta[0, 1] == 0
    assert got.p[0, 1] == 1


def test_the_covariance_matrix_gives_the_same_errors(rng):
    table = made_up_counts(rng, 300, 5, sites=12)
    for t in (table, table.by_site()):
        u, n = influence(t), len(t.patches)
        s = u @ u.T / (n * (n - 1))
        v = np.diag(s)
        np.testing.assert_allclose(np.sqrt(v), score_intervals(t).se, rtol=1e-12)
        np.testing.assert_allclose(
            paired_errors(t), np.sqrt(np.maximum(v[:, None] + v[None, :] - 2 * s, 0)), rtol=1e-6, atol=1e-10
        )


def test_agrees_with_the_jackknife(rng):
    # The jackknife of a ratio is the same estimate to first order, by an altogether different road.
    table = made_up_counts(rng, 2000, 3)
    top, bottom = table.numerator, table.denominator
    f = (top.sum(1, keepdims=True) - top) / (bottom.sum(1, keepdims=True) - bottom)
    n = f.shape[1]
    jack = np.sqrt((n - 1) / n * np.square(f - f.mean(1, keepdims=True)).sum(1))
    np.testing.assert_allclose(score_intervals(table).se, jack, rtol=0.02)
    d = f[0] - f[1]
    assert paired_errors(table)[0, 1] == pytest.approx(
        np.sqrt((n - 1) / n * np.square(d - d.mean()).sum()), rel=0.02
    )


def test_identical_masks_have_no_error_and_p_one(rng):
    table = made_up_counts(rng, 50, 1)
    twice = table.take([0, 0])
    got = differences(twice)
    assert got.se.max() == 0
    assert got.p.min() == 1


def test_p_is_normal_for_patches_and_student_for_sites(rng):
    table = made_up_counts(rng, 200, 2, sites=6, skill=np.array([0.0, -0.2]))
    d = differences(table)
    assert d.p[0, 1] == pytest.approx(2 * stats.norm.sf(abs(d.delta[0, 1] / d.se[0, 1])), rel=1e-10)
    d = differences(table.by_site())
    assert d.p[0, 1] == pytest.approx(2 * stats.t.sf(abs(d.delta[0, 1] / d.se[0, 1]), 5), rel=1e-9)
    assert d.half_width[0, 1] == pytest.approx(stats.t.ppf(0.975, 5) * d.se[0, 1], rel=1e-9)


def test_one_patch_is_refused():
    one = CountTable(("a",), ("1",), np.array([[1]]), np.array([[0]]), np.array([[0]]))
    with pytest.raises(ValueError, match="at least two patches, not 1"):
        score_intervals(one)


def coverage(population, n, repetitions, seed):
    """Share of intervals that hold the population's F1, and its difference, when n patches are drawn from it."""
    rng = np.random.default_rng(seed)
    truth = population.f1()
    hits = np.zeros(2)
    for _ in range(repetitions):
        at = rng.integers(0, len(population.patches), n)
        sample = CountTable(
            population.teams,
            tuple(map(str, range(n))),
            *(x[:, at] for x in (population.tp, population.fp, population.fn)),
        )
        got, pair = score_intervals(sample), differences(sample)
        hits += (
            got.low[0] <= truth[0] <= got.high[0],
            abs(pair.delta[0, 1] - (truth[0] - truth[1])) <= pair.half_width[0, 1],
        )
    return hits / repetitions


def test_coverage_of_800_patches():
    population = made_up_counts(np.random.default_rng(1), 20_000, 2, skill=np.array([0.1, 0.0]))
    score, pair = coverage(population, 800, 1500, seed=2)
    # 95 % wanted; the standard error of 1500 repetitions is 0.56 points, and heavy tails cost one or two.
    assert 0.92 <= score <= 0.967
    assert 0.93 <= pair <= 0.967


def test_coverage_of_eight_sites():
    # New sites each time: patches as units must be far too sure, sites as units about right.
    rng = np.random.default_rng(3)
    draws = [made_up_counts(rng, 400, 1, sites=8) for _ in range(400)]
    tp, size = (
        np.sum([x.sum() for x in part])
        for part in zip(*((t.numerator, t.denominator) for t in draws), strict=True)
    )
    truth = tp / size
    by_patch = [score_intervals(t) for t in draws]
    by_site = [score_intervals(t.by_site()) for t in draws]
    share = [np.mean([i.low[0] <= truth <= i.high[0] for i in kind]) for kind in (by_patch, by_site)]
    assert share[0] < 0.83
    assert 0.87 <= share[1] <= 0.98


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("n", "least"), [(245, 0.86), (800, 0.91), (3000, 0.93)])
def test_coverage_at_length(n, least):
    population = made_up_counts(np.random.default_rng(1), 20_000, 2, skill=np.array([0.1, 0.0]))
    score, pair = coverage(population, n, 8000, seed=4)
    print(f"n={n}: coverage {score:.4f} of a score, {pair:.4f} of a difference")
    assert least <= score <= 0.96
    assert max(least, 0.91) <= pair <= 0.96
