"""How alike the teams' masks and errors are, and how a vote or a perfect chooser would score.

Masks are packed as in `evaluation.scoring.counts`: uint8 (patches, height * width / 8); those of T teams are
(T, patches, bytes), or a list of T such arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.scoring.counts import Packed

BLOCK = 16  # patches compared at a time: the blocks of some 80 teams stay in the processor's cache

Teams = Sequence[Packed] | npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Jaccard index of every two teams, float64 (T, T): of their masks, and of their wrong pixels. Two empty
    sets count as equal, 1. Good teams have similar masks anyway; similar errors are the evidence."""

    masks: npt.NDArray[np.float64]
    errors: npt.NDArray[np.float64]


def agreement(masks: Teams, labels: Packed) -> Agreement:
    """Jaccard indices of masks and of errors.

    Errors need no masks of their own: with M the mask's and L the label's pixels, two teams are wrong together
    on |M1 M2| - |M1 M2 L| false alarms and on |L| - |M1 L| - |M2 L| + |M1 M2 L| misses.
    """
    teams = len(masks)
    both = np.zeros((teams, teams), np.int64)  # |Mk Ml|
    right = np.zeros((teams, teams), np.int64)  # |Mk Ml L|
    for start in range(0, len(labels), BLOCK):
        rows = slice(start, start + BLOCK)
        block = _words(np.stack([mask[rows] for mask in masks]).reshape(teams, -1))
        label = _words(labels[rows].reshape(1, -1))[0]
        marked = np.flatnonzero(label)
        for k in range(teams):
            common = block[k] & block[k:]
            both[k, k:] += np.bitwise_count(common).sum(1, dtype=np.int64)
            right[k, k:] += np.bitwise_count(common[:, marked] & label[marked]).sum(1, dtype=np.int64)
    both, right = (np.triu(x) + np.triu(x, 1).T for x in (both, right))
    size, hits = np.diag(both), np.diag(right)
    positives = int(np.bitwise_count(labels).sum(dtype=np.int64))
    wrong = size + positives - 2 * hits
    wrong_both = (both - right) + (positives - hits[:, None] - hits[None, :] + right)
    return Agreement(_jaccard(both, size), _jaccard(wrong_both, wrong))


def majority_vote(masks: Teams) -> Packed:
    """The pixels that more than half of the teams predict; with an even number a draw is not enough."""
    vote = np.empty_like(masks[0])
    for start in range(0, len(vote), BLOCK):
        rows = slice(start, start + BLOCK)
        votes = sum(np.unpackbits(mask[rows], axis=1).astype(np.uint16) for mask in masks)
        vote[rows] = np.packbits(2 * votes > len(masks), axis=1)
    return vote


def pixel_oracle(masks: Teams, labels: Packed) -> Packed:
    """The masks of a chooser who knows the labels: wrong only where every team is wrong."""
    anyone, everyone = masks[0].copy(), masks[0].copy()
    for mask in masks[1:]:
        anyone |= mask
        everyone &= mask
    return anyone & (labels | everyone)  # `everyone` is part of `anyone`


def _words(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.unsignedinteger]:
    wide = np.uint64 if packed.shape[1] % 8 == 0 else np.uint8
    return np.ascontiguousarray(packed).view(wide)


def _jaccard(common: npt.NDArray[np.int64], size: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    union = size[:, None] + size[None, :] - common
    return np.divide(common, union, out=np.ones(union.shape), where=union > 0)
