import numpy as np
import pytest
from scipy import ndimage

from evaluation.report.boundary import BoundaryCounts, boundary_counts
from evaluation.scoring.counts import pack
from evaluation.task import MaskSpec


def square(top, left, size, shape=(1, 16, 16)):
    mask = np.zeros(shape, bool)
    mask[:, top : top + size, left : left + size] = True
    return mask


def counted(prediction, label, tolerance):
    return boundary_counts([pack(prediction)], pack(label), MaskSpec(*label.shape), tolerance)[0]


def test_squares_by_hand():
    # A 5 x 5 square has 16 border pixels. Moved by one pixel to the right all of them stay near.
    label, moved = square(4, 4, 5), square(4, 5, 5)
    assert counted(label, label, 0) == BoundaryCounts(16, 16, 16, 16)
    assert counted(moved, label, 1).f1 == 1
    # Without tolerance the 4 + 4 pixels that top and bottom rows still share agree (columns 5-8).
    assert counted(moved, label, 0) == BoundaryCounts(16, 8, 16, 8)
    # Two to the right: near are 4 of the top, 4 of the bottom row and the 2 side pixels that lie beside those.
    assert counted(square(4, 6, 5), label, 1) == BoundaryCounts(16, 10, 16, 10)
    assert counted(square(4, 6, 5), label, 2).f1 == 1


def test_a_diagonal_step_is_more_than_one_and_less_than_two():
    label, other = square(4, 4, 1), square(5, 5, 1)
    assert counted(other, label, 1).f1 == 0
    assert counted(other, label, 2).f1 == 1


def test_the_patch_edge_is_not_a_boundary():
    assert counted(np.ones((1, 16, 16), bool), square(0, 0, 16), 1).f1 is None
    half = np.zeros((1, 16, 16), bool)
    half[:, :, :8] = True
    assert counted(half, half, 1).labelled == 16


def test_empty_cases():
    empty = np.zeros((1, 16, 16), bool)
    assert counted(empty, empty, 1).f1 is None
    assert counted(empty, square(4, 4, 5), 1) == BoundaryCounts(0, 0, 16, 0)
    assert counted(empty, square(4, 4, 5), 1).f1 == 0
    with pytest.raises(ValueError, match="Cannot compare"):
        boundary_counts([pack(empty)], pack(np.zeros((2, 16, 16))), MaskSpec(1, 16, 16))


def by_distance(prediction, label, tolerance):
    totals = np.zeros(4, int)
    cross = ndimage.generate_binary_structure(2, 1)
    for p, t in zip(prediction, label, strict=True):
        p, t = (mask & ~ndimage.binary_erosion(mask, cross, border_value=1) for mask in (p, t))
        to_p, to_t = (
            ndimage.distance_transform_edt(~b) if b.any() else np.full(b.shape, np.inf) for b in (p, t)
        )
        totals += (p.sum(), (p & (to_t <= tolerance)).sum(), t.sum(), (t & (to_p <= tolerance)).sum())
    return BoundaryCounts(*totals.tolist())


@pytest.mark.parametrize("tolerance", [0, 1, 2, 3])
def test_agrees_with_distance_transforms(rng, tolerance):
    label = ndimage.gaussian_filter(rng.standard_normal((70, 24, 40)), (0, 2, 2)) > 0.15
    prediction = ndimage.gaussian_filter(label + 0.8 * rng.standard_normal(label.shape), (0, 1, 1)) > 0.5
    assert counted(prediction, label, tolerance) == by_distance(prediction, label, tolerance)
