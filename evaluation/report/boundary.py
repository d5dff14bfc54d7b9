"""Boundary F1: how much of both boundaries lies within a tolerance of the other, pooled over all patches.

The numerator and denominator of the normalised surface distance are summed over patches before dividing. A border
pixel is a mask pixel with a 4-neighbour outside the mask; the patch's own edge is not a border, because the
landslide continues behind it. Distances are Euclidean, between pixel centres, within the patch. Tools differ in all
three, so compare values of this definition only with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from evaluation.scoring.counts import Packed, unpack
from evaluation.task import MaskSpec

BLOCK = 32  # patches at a time, so that the work stays in the processor's cache

Masks = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BoundaryCounts:
    """Border pixels, over all patches, of prediction and labels: how many, and how many near the other's border."""

    predicted: int
    predicted_near: int
    labelled: int
    labelled_near: int

    @property
    def f1(self) -> float | None:
        """Pooled boundary F1 in 0..1, None when neither has a border."""
        size = self.predicted + self.labelled
        return (self.predicted_near + self.labelled_near) / size if size else None


def boundary_counts(
    predictions: Sequence[Packed], labels: Packed, spec: MaskSpec, tolerance: int = 1
) -> list[BoundaryCounts]:
    """Border pixels of packed mask sets and of the labels that lie within `tolerance` pixels of each other's border."""
    if wrong := next((masks.shape for masks in predictions if masks.shape != labels.shape), None):
        raise ValueError(f"Cannot compare masks packed as {wrong} with {labels.shape}.")
    totals = np.zeros((len(predictions), 4), np.int64)
    for start in range(0, len(labels), BLOCK):
        rows = slice(start, start + BLOCK)
        theirs = border(unpack(labels[rows], spec).view(bool))
        near_theirs = near(theirs, tolerance)
        for total, prediction in zip(totals, predictions, strict=True):
            mine = border(unpack(prediction[rows], spec).view(bool))
            parts = (mine, mine & near_theirs, theirs, theirs & near(mine, tolerance))
            total += [np.count_nonzero(part) for part in parts]
    return [BoundaryCounts(*total) for total in totals.tolist()]


def border(masks: Masks) -> Masks:
    """Border pixels of masks, bool (n, height, width)."""
    inside = masks.copy()
    inside[:, 1:] &= masks[:, :-1]
    inside[:, :-1] &= masks[:, 1:]
    inside[:, :, 1:] &= masks[:, :, :-1]
    inside[:, :, :-1] &= masks[:, :, 1:]
    return masks & ~inside


def near(masks: Masks, tolerance: int) -> Masks:
    """Pixels at most `tolerance` away from a mask pixel, bool (n, height, width)."""
    grown = masks.copy()
    reach = range(-tolerance, tolerance + 1)
    for down, right in product(reach, reach):
        if 0 < down * down + right * right <= tolerance * tolerance:
            grown[:, _to(down), _to(right)] |= masks[:, _to(-down), _to(-right)]
    return grown


def _to(shift: int) -> slice:
    """The part of an axis that a shift by so many pixels lands on; of the opposite shift, where it comes from."""
    return slice(shift, None) if shift >= 0 else slice(None, shift)
