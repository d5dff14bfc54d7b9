"""Made-up labels, and archives that score exactly the requested counts."""

import io
from fractions import Fraction

import numpy as np

from evaluation.archive import mask_zip
from evaluation.task import MaskSpec

SPEC = MaskSpec(12, 128, 128)
PIXELS = SPEC.patches * SPEC.height * SPEC.width
LEAST = 10_000  # of every count: five-digit numbers do not occur by chance
LOWEST, HIGHEST = Fraction(3, 20), Fraction(4, 5)  # the range of F1 that this allows


def labels(positives: int) -> np.ndarray:
    """Masks of shape (patches, height, width): the first pixels are positive."""
    return _runs((0, positives))


def archive_of(positives: int, counts: tuple[int, int, int]) -> bytes:
    """An archive in the official format with these TP, FP and FN against ``labels(positives)``."""
    tp, fp, fn = counts
    assert tp + fn == positives, "TP + FN must equal the positives"
    content = io.BytesIO()
    mask_zip.write(content, _runs((fn, positives + fp)))
    return content.getvalue()


def counts_near(positives: int, f1: Fraction, shift: int = 0) -> tuple[int, int, int]:
    """TP, FP and FN with about this F1; each ``shift`` gives different ones."""
    f1 = min(max(f1, LOWEST), HIGHEST)
    tp = round(positives * f1 * Fraction(97, 100)) + 11 * shift
    fn = positives - tp
    fp = round(2 * tp * (1 - f1) / f1) - fn + 22 * shift
    assert min(tp, fp, fn) >= LEAST
    assert positives + fp <= PIXELS
    return tp, fp, fn


def _runs(*runs: tuple[int, int]) -> np.ndarray:
    flat = np.zeros(PIXELS, np.uint8)
    for begin, end in runs:
        flat[begin:end] = 1
    return flat.reshape(SPEC.patches, SPEC.height, SPEC.width)
