"""Metrics: exact order, exact rounding, and agreement with scikit-learn."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import jaccard_score, matthews_corrcoef

from evaluation.scoring import metrics

counts = st.integers(0, 1 << 29)


def f1_exact(tp, fp, fn):
    return Fraction(2 * tp, 2 * tp + fp + fn) if tp + fp + fn else Fraction(0)


@given(st.tuples(counts, counts, counts), st.tuples(counts, counts, counts))
def test_rank_key_orders_as_the_exact_fractions_do(a, b):
    exact = (f1_exact(*a) > f1_exact(*b)) - (f1_exact(*a) < f1_exact(*b))
    keys = (metrics.rank_key(*a) > metrics.rank_key(*b)) - (metrics.rank_key(*a) < metrics.rank_key(*b))
    assert keys == exact
    assert 0 <= metrics.rank_key(*a) < 1 << 63


def test_rank_key_separates_the_closest_neighbours():
    """Neighbouring F1 of the largest odd denominators, where a float could not."""
    b = (1 << 31) - 1  # 2TP + FP + FN
    high, low = ((b - 1) // 2, 1, 0), ((b - 3) // 2, 1, 0)
    assert 0 < f1_exact(*high) - f1_exact(*low) < Fraction(1, 1 << 60)
    assert metrics.f1(*high) - metrics.f1(*low) < 1e-15
    assert metrics.rank_key(*high) > metrics.rank_key(*low)


@given(counts, st.integers(1, 1 << 30), st.integers(0, 6))
def test_percent_rounds_half_up(numerator, denominator, decimals):
    numerator = min(numerator, denominator)
    with_digits = Decimal(1).scaleb(-decimals)
    exact = Fraction(100 * numerator, denominator)
    text = metrics.percent(numerator, denominator, decimals)
    assert abs(Fraction(text) - exact) <= Fraction(1, 2 * 10**decimals)
    assert Decimal(text) == Decimal(text).quantize(with_digits, ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("numerator", "denominator", "text"),
    [
        (1, 3, "33.33"),
        (2, 3, "66.67"),
        (1, 800, "0.13"),
        (1, 1, "100.00"),
        (0, 0, "0.00"),
        (12345, 100000, "12.35"),
    ],
)
def test_percent_examples(numerator, denominator, text):
    assert metrics.percent(numerator, denominator) == text


def test_nothing_counted_is_zero_and_undefined():
    assert metrics.precision(0, 0) == metrics.recall(0, 0) == metrics.f1(0, 0, 0) == 0.0
    assert metrics.fraction(0, 0) is None
    assert metrics.rank_key(0, 0, 0) == 0


@given(counts, counts, counts)
def test_f1_is_the_harmonic_mean(tp, fp, fn):
    p, r = metrics.precision(tp, fp), metrics.recall(tp, fn)
    if tp:
        assert metrics.f1(tp, fp, fn) == pytest.approx(2 * p * r / (p + r))


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.integers(1, 40))
def test_iou_and_mcc_agree_with_scikit_learn(tp, fp, fn, tn):
    truth = [1] * tp + [0] * fp + [1] * fn + [0] * tn
    prediction = [1] * tp + [1] * fp + [0] * fn + [0] * tn
    assert metrics.iou(tp, fp, fn) == pytest.approx(jaccard_score(truth, prediction, zero_division=0))
    assert metrics.mcc(tp, fp, fn, len(truth)) == pytest.approx(
        matthews_corrcoef(truth, prediction), abs=1e-12
    )
