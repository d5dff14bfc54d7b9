"""Precision, recall, F1 and the order of a board, from integer counts alone.

TP, FP and FN are counted over all pixels of all patches together, for the positive class.
"""

from __future__ import annotations

import math
from fractions import Fraction

KEY_SCALE = 1 << 62


def fraction(numerator: int, denominator: int) -> float | None:
    """numerator / denominator, or None where nothing was counted (0 / 0), for showing "undefined"."""
    return numerator / denominator if denominator else None


def precision(tp: int, fp: int) -> float:
    """TP / (TP + FP); 0.0 where nothing was predicted, as the official baseline has it."""
    return fraction(tp, tp + fp) or 0.0


def recall(tp: int, fn: int) -> float:
    """TP / (TP + FN); 0.0 where there is nothing to find."""
    return fraction(tp, tp + fn) or 0.0


def f1(tp: int, fp: int, fn: int) -> float:
    """2TP / (2TP + FP + FN), the harmonic mean of precision and recall; 0.0 where all three are 0."""
    return fraction(2 * tp, 2 * tp + fp + fn) or 0.0


def f1_exact(tp: int, fp: int, fn: int) -> Fraction:
    """F1 as an exact fraction, for rules that compare or floor it; 0 where all three are 0."""
    denominator = 2 * tp + fp + fn
    return Fraction(2 * tp, denominator) if denominator else Fraction(0)


def iou(tp: int, fp: int, fn: int) -> float:
    """TP / (TP + FP + FN), which is F1 / (2 - F1): the same order; 0.0 where all three are 0."""
    return fraction(tp, tp + fp + fn) or 0.0


def mcc(tp: int, fp: int, fn: int, pixels: int) -> float:
    """Matthews' correlation of prediction and labels over `pixels` pixels; 0.0 where one of them is constant."""
    tn = pixels - tp - fp - fn
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return (tp * tn - fp * fn) / math.sqrt(product) if product else 0.0


def rank_key(tp: int, fp: int, fn: int) -> int:
    """F1 as an integer of at most 63 bits that orders exactly: floor(F1 * 2**62).

    Two different F1 with denominators b, d <= 2**31 differ by at least 1/(bd) >= 2**-62, so that their
    keys differ too; equal F1 have equal keys. Up to 2**31 is 65,536 patches of 128 x 128.
    """
    denominator = 2 * tp + fp + fn
    return 2 * tp * KEY_SCALE // denominator if denominator else 0


def percent(numerator: int, denominator: int, decimals: int = 2) -> str:
    """numerator / denominator in percent, rounded half up from the integers: percent(1, 3) == "33.33".

    0 / 0 is "0.00", as in `precision`.
    """
    scale = 10**decimals
    rounded = (200 * scale * numerator + denominator) // (2 * denominator) if denominator else 0
    whole, rest = divmod(rounded, scale)
    return f"{whole}.{rest:0{decimals}d}" if decimals else str(whole)
