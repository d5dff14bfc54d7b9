import numpy as np
import pytest
from scipy import ndimage

from evaluation.report.objects import SIZES, find_objects, object_counts
from evaluation.scoring.counts import pack
from evaluation.task import MaskSpec


def counted(prediction, label):
    return object_counts([pack(prediction)], pack(label), MaskSpec(*label.shape))[0]


def test_by_hand():
    label = np.zeros((2, 16, 16), bool)
    label[0, 2:4, 2:4] = True  # 4 pixels, half of it predicted: found
    label[0, 8:12, 8:13] = True  # 20 pixels, 9 of them predicted: not found
    label[1, 0:6, 0:6] = True  # 36 pixels, all predicted
    prediction = np.zeros_like(label)
    prediction[0, 2, 2:4] = True  # 2 pixels, right
    prediction[0, 8:11, 8:11] = True  # 9 pixels, right
    prediction[1, 0:12, 0:6] = True  # 72 pixels, half of them label: right
    prediction[1, 15, 15] = True  # 1 pixel, wrong
    got = counted(prediction, label)
    assert got.labelled == (1, 1, 1, 0, 0)
    assert got.found == (1, 0, 1, 0, 0)
    assert got.predicted == (3, 0, 1, 0, 0)
    assert got.right == (2, 0, 1, 0, 0)


def test_size_classes():
    label = np.zeros((5, 32, 32), bool)
    for patch, pixels in enumerate((9, 10, 99, 100, 400)):
        label[patch].reshape(-1)[: pixels if pixels < 32 else 0] = True
        if pixels >= 32:
            rows, rest = divmod(pixels, 32)
            label[patch, :rows] = True
            label[patch, rows, :rest] = True
    assert counted(label, label).labelled == (1, 1, 1, 1, 1)
    assert counted(label, label).found == (1, 1, 1, 1, 1)
    assert SIZES == (1, 10, 25, 100, 400)


@pytest.mark.parametrize(
    "rows",
    [
        ["10000001", "01000010", "00111100", "00000000"],  # a bowl joined at corners: one object
        ["10101010", "00000000", "10101010", "00000000"],
        ["11111111", "10000001", "10111101", "11100111"],
        ["00000001", "10000000", "00000001", "10000000"],  # neighbours only in the flat order
    ],
)
def test_shapes(rows):
    mask = np.array([[list(map(int, row)) for row in rows]], bool)
    padded = np.pad(mask, ((0, 0), (0, 1), (0, 1)))
    assert len(find_objects(padded).size) == ndimage.label(mask[0], np.ones((3, 3)))[1]


@pytest.mark.parametrize("share", [0.02, 0.2, 0.4, 0.6, 0.95])
def test_agrees_with_scipy(rng, share):
    label = rng.random((130, 24, 16)) < share
    prediction = label ^ (rng.random(label.shape) < 0.1)
    expected = np.zeros((4, len(SIZES)), int)
    for p, t in zip(prediction, label, strict=True):
        for row, (mask, other) in ((0, (t, p)), (2, (p, t))):
            named, number = ndimage.label(mask, np.ones((3, 3)))
            for k in range(1, number + 1):
                size = (named == k).sum()
                size_class = max(i for i, least in enumerate(SIZES) if size >= least)
                expected[row, size_class] += 1
                expected[row + 1, size_class] += 2 * (other & (named == k)).sum() >= size
    got = counted(prediction, label)
    assert [got.labelled, got.found, got.predicted, got.right] == [tuple(row) for row in expected.tolist()]


def test_a_spiral_is_one_object():
    # The worst case for merging labels: one long thin object that turns back on itself many times.
    mask = np.zeros((1, 64, 64), bool)
    mask[0, ::2] = True
    mask[0, 1::4, -1] = True
    mask[0, 3::4, 0] = True
    padded = np.pad(mask, ((0, 0), (0, 1), (0, 1)))
    assert find_objects(padded).size.tolist() == [mask.sum()]


def test_nothing_at_all():
    empty = np.zeros((3, 16, 16), bool)
    got = counted(empty, empty)
    assert (got.labelled, got.predicted) == ((0,) * 5, (0,) * 5)
