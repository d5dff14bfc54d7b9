from dataclasses import replace

import numpy as np
import pytest

from evaluation.statistics.bootstrap import (
    _columns,
    rank_frequencies,
    resampled_f1,
    resamples,
    selection_brackets,
)
from evaluation.statistics.intervals import score_intervals
from evaluation.statistics.table import CountTable
from tests.evaluation.population import made_up_counts


def test_weights_are_multinomial(rng):
    weights = np.concatenate(list(resamples(rng, 40, 2500)))
    assert weights.shape == (2500, 40)
    assert (weights.sum(1) == 40).all()
    assert weights.mean() == 1
    assert weights.var() == pytest.approx(1 - 1 / 40, rel=0.03)
    assert np.cov(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-1 / 40, abs=0.06)


def test_agrees_with_the_textbook_loop(rng):
    table = made_up_counts(rng, 70, 4)
    weights = np.concatenate(list(resamples(np.random.default_rng(3), 70, 50)))
    got = resampled_f1(table, np.random.default_rng(3), 50)
    for row, scores in zip(weights, got, strict=True):
        drawn = np.repeat(np.arange(70), row)
        tp, fp, fn = (x[:, drawn].sum(1) for x in (table.tp, table.fp, table.fn))
        assert (scores == 2 * tp / (2 * tp + fp + fn)).all()


def test_float32_sums_are_exact(rng):
    table = made_up_counts(rng, 800, 3)
    assert _columns(table).dtype == np.float32
    assert _columns(replace(table, tp=table.tp + 40_000)).dtype == np.float64
    single = resampled_f1(table, np.random.default_rng(1), 300)
    weights = np.concatenate(list(resamples(np.random.default_rng(1), 800, 300)))
    assert (single == (weights @ table.numerator.T) / (weights @ table.denominator.T)).all()


def test_spread_is_the_standard_error(rng):
    table = made_up_counts(rng, 1500, 2)
    np.testing.assert_allclose(resampled_f1(table, rng, 3000).std(0), score_intervals(table).se, rtol=0.06)


def test_rank_frequencies_by_hand():
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.95, 0.7], [0.9, 0.9, 0.7], [0.9, 0.8, 0.95]])
    assert rank_frequencies(scores).tolist() == [[0.5, 0.5, 0], [0.5, 0.25, 0.25], [0.25, 0, 0.75]]


def test_a_replicate_without_any_pixel_scores_zero(rng):
    zero = np.zeros((1, 4), np.int64)
    table = CountTable(("a",), tuple("1234"), np.array([[3, 0, 0, 0]]), zero, zero)
    assert set(resampled_f1(table, rng, 500).ravel().tolist()) == {0.0, 1.0}


def test_bracket_of_a_single_submission_by_meaning(rng):
    table = made_up_counts(rng, 200, 1)
    bracket = selection_brackets(table, ["a"], rng, 500)["a"]
    assert bracket.submissions == 1
    assert bracket.reported == table.f1()[0]
    # Nothing was selected: only the ratio's small bias and noise are left.
    assert bracket.optimistic == pytest.approx(bracket.reported, abs=0.01)


def test_the_bracket_holds_the_truth_of_ten_equal_variants():
    # Ten equally good variants, their best reported: the report is too high, and the bracket's mean holds the truth.
    rng = np.random.default_rng(12)
    runs = []
    for _ in range(60):
        table = made_up_counts(rng, 300, 10, alike=0.9)
        bracket = selection_brackets(table, ["a"] * 10, rng, 200)["a"]
        runs.append((bracket.pessimistic, table.f1().mean(), bracket.optimistic, bracket.reported))
    pessimistic, truth, optimistic, reported = np.mean(runs, axis=0)
    assert pessimistic < truth < optimistic < reported


def test_brackets_are_per_team_and_names_must_fit(rng):
    table = made_up_counts(rng, 60, 3)
    got = selection_brackets(table, ["a", "b", "a"], rng, 200)
    assert {team: bracket.submissions for team, bracket in got.items()} == {"a": 2, "b": 1}
    assert got["a"].reported == max(table.f1()[[0, 2]])
    with pytest.raises(ValueError, match="2 teams are named for 3"):
        selection_brackets(table, ["a", "b"], rng, 200)
