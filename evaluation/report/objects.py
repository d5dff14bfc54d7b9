"""Landslides as objects: how many of each size were found, how many of the predicted ones are real.

Objects are 8-connected within a patch; an object cut by a patch border counts once in each patch. A labelled object is
found when the prediction covers at least half of it, a predicted one is right when labels cover at least half of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.scoring.counts import Packed, unpack
from evaluation.task import MaskSpec

SIZES = (1, 10, 25, 100, 400)
"""Smallest number of pixels of each size class; the last is open."""

BLOCK = 64  # patches at a time

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ObjectCounts:
    """Numbers of objects in each class of `SIZES`, by the object's own size."""

    labelled: tuple[int, ...]
    found: tuple[int, ...]
    predicted: tuple[int, ...]
    right: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Objects:
    """Objects of padded masks: `start` of each horizontal run of pixels (flat position, ascending), the object
    (from 0) it belongs to, and the size of each object in pixels."""

    start: Ints
    object_of_run: Ints
    size: Ints

    def of(self, pixels: Ints) -> Ints:
        """The object of each pixel, given flat positions of mask pixels."""
        return self.object_of_run[np.searchsorted(self.start, pixels, side="right") - 1]


def object_counts(predictions: Sequence[Packed], labels: Packed, spec: MaskSpec) -> list[ObjectCounts]:
    """Objects found and objects right by size, of each of several packed mask sets."""
    if wrong := next((masks.shape for masks in predictions if masks.shape != labels.shape), None):
        raise ValueError(f"Cannot compare masks packed as {wrong} with {labels.shape}.")
    totals = np.zeros((len(predictions), 4, len(SIZES)), np.int64)
    for start in range(0, len(labels), BLOCK):
        rows = slice(start, start + BLOCK)
        labelled = _padded(labels[rows], spec)
        label_objects = find_objects(labelled)
        for total, prediction in zip(totals, predictions, strict=True):
            predicted = _padded(prediction[rows], spec)
            common = np.flatnonzero(predicted & labelled)
            total[:2] += _by_size(label_objects, common)
            total[2:] += _by_size(find_objects(predicted), common)
    return [ObjectCounts(*(tuple(row) for row in total)) for total in totals.tolist()]


def _by_size(objects: Objects, common: Ints) -> Ints:
    """How many objects there are in each class, and how many of them the pixels in common cover by half."""
    covered = np.bincount(objects.of(common), minlength=len(objects.size))
    size_class = np.searchsorted(SIZES, objects.size, side="right") - 1
    half = 2 * covered >= objects.size
    return np.stack([np.bincount(which, minlength=len(SIZES)) for which in (size_class, size_class[half])])


def find_objects(masks: npt.NDArray[np.bool_]) -> Objects:
    """8-connected objects of masks, bool (n, rows, columns), whose last row and column are empty.

    Works on runs: two runs of neighbouring rows belong together when they overlap or touch at a corner. The empty
    column and row keep runs of different rows and patches apart in the flat order.
    """
    columns = masks.shape[2]
    flat = masks.reshape(-1)
    changes = flat.copy()  # where a pixel differs from the one before
    np.not_equal(flat[1:], flat[:-1], out=changes[1:])
    edges = np.flatnonzero(changes)
    start, end = edges[::2], edges[1::2]
    first = np.searchsorted(end, start + columns, side="left")
    last = np.searchsorted(start, end + columns, side="right")
    number = last - first
    upper = np.repeat(np.arange(len(start)), number)
    lower = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number) + first[upper]
    _, object_of_run = np.unique(_components(len(start), upper, lower), return_inverse=True)
    size = np.zeros(object_of_run.max(initial=-1) + 1, np.int64)
    np.add.at(size, object_of_run, end - start)
    return Objects(start, object_of_run, size)


def _components(nodes: int, a: Ints, b: Ints) -> Ints:
    """The smallest node of each node's component in a graph with edges a - b: union-find, all edges at once."""
    root = np.arange(nodes)
    while True:
        root_a, root_b = root[a], root[b]
        if np.array_equal(root_a, root_b):
            return root
        np.minimum.at(root, np.maximum(root_a, root_b), np.minimum(root_a, root_b))
        while not np.array_equal(shorter := root[root], root):
            root = shorter


def _padded(packed: Packed, spec: MaskSpec) -> npt.NDArray[np.bool_]:
    masks = np.zeros((len(packed), spec.height + 1, spec.width + 1), bool)
    masks[:, :-1, :-1] = unpack(packed, spec)
    return masks
