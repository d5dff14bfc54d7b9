from itertools import product

import numpy as np
import pytest

from evaluation.statistics.intervals import differences
from evaluation.statistics.permutation import permutation_p
from evaluation.statistics.seeds import generator
from evaluation.statistics.table import CountTable
from tests.evaluation.population import made_up_counts


def exact_p(table):
    """Every one of the 2^n swaps, in whole numbers."""
    n = len(table.patches)
    top, bottom = table.numerator, table.denominator

    def distance(swap):
        k = np.array(swap)
        each = np.arange(n)
        a, b = int(top[k, each].sum()), int(bottom[k, each].sum())
        c, d = int(top[1 - k, each].sum()), int(bottom[1 - k, each].sum())
        return abs(a * d - c * b), b * d

    observed, scale = distance([0] * n)
    swaps = [distance(swap) for swap in product([0, 1], repeat=n)]
    return np.mean([x * scale >= observed * y for x, y in swaps])


def test_agrees_with_all_swaps(rng):
    for skill in (0.0, 0.8):
        table = made_up_counts(rng, 10, 2, skill=np.array([skill, 0.0]))
        got = permutation_p(table, np.random.default_rng(1), 20_000)[0, 1]
        assert got == pytest.approx(exact_p(table), abs=0.012)


def test_one_patch_or_identical_teams_have_p_one(rng):
    one = CountTable(("a", "b"), ("1",), np.array([[5], [9]]), np.array([[0], [3]]), np.array([[5], [1]]))
    assert permutation_p(one, rng, 500)[0, 1] == 1
    same = made_up_counts(rng, 30, 1).take([0, 0, 0])
    assert permutation_p(same, rng, 500).min() == 1


def test_smallest_p_is_one_in_b_plus_one(rng):
    table = made_up_counts(rng, 400, 2, skill=np.array([2.0, -2.0]))
    assert permutation_p(table, rng, 999)[0, 1] == 1 / 1000


def test_agrees_with_the_delta_method_when_both_apply(rng):
    table = made_up_counts(rng, 1500, 3, skill=np.array([0.1, 0.05, 0.0]))
    np.testing.assert_allclose(permutation_p(table, rng, 4000), differences(table).p, atol=0.04)


def test_same_names_give_the_same_numbers(rng):
    table = made_up_counts(rng, 60, 3)
    runs = [permutation_p(table, generator("test", table.digest(), "podium"), 400) for _ in range(2)]
    assert (runs[0] == runs[1]).all()
    other = generator("other", table.digest(), "podium")
    assert generator("test", table.digest(), "podium").random() != other.random()


def rejections(repetitions, seed, permutations, patches):
    """Share of p < .05 between two equally good teams: permutation and delta method."""
    rng = np.random.default_rng(seed)
    hits = np.zeros(2)
    for _ in range(repetitions):
        table = made_up_counts(rng, patches, 2)
        hits += permutation_p(table, rng, permutations)[0, 1] < 0.05, differences(table).p[0, 1] < 0.05
    return hits / repetitions


def test_equal_teams_differ_in_one_of_twenty():
    permuted, delta = rejections(600, seed=7, permutations=199, patches=500)
    assert permuted <= 0.075  # 5 % and three standard errors
    assert delta <= 0.09


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_type_one_error_at_length():
    permuted, delta = rejections(4000, seed=8, permutations=999, patches=800)
    print(f"rejections at 5 %: permutation {permuted:.4f}, delta method {delta:.4f}")
    assert 0.035 <= permuted <= 0.062
    assert delta <= 0.08
