"""Bit-packed masks and the pixels that two of them have in common.

A packed mask has one bit per pixel, row by row, the first pixel in the highest bit
of the first byte (the order of numpy.packbits). n masks are one uint8 array of shape (n, height * width / 8).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.task import MaskSpec
from evaluation.task import Packed as Packed

_BLOCK = 4 << 20  # bytes of packed masks compared at a time
_HEADER = struct.Struct("<BI")  # bytes of an integer, patches


def pack(masks: npt.ArrayLike) -> Packed:
    """Masks of shape (n, height, width), values 0 and 1 of any type, as packed masks.

    Raises ValueError for other values or another number of dimensions.
    """
    array = np.asarray(masks)
    if array.ndim != 3:
        raise ValueError(f"Masks have the shape {array.shape}, expected (n, height, width).")
    if not ((array == 0) | (array == 1)).all():
        raise ValueError("Masks hold values other than 0 and 1.")
    MaskSpec(max(1, array.shape[0]), *array.shape[1:])  # says so where the size cannot be packed
    return np.packbits(array.astype(bool).reshape(len(array), -1), axis=1)


def unpack(packed: Packed, spec: MaskSpec) -> npt.NDArray[np.uint8]:
    """Packed masks as uint8 of shape (n, height, width)."""
    return np.unpackbits(packed, axis=1).reshape(-1, spec.height, spec.width)


def sha256(packed: Packed, spec: MaskSpec) -> str:
    """SHA-256 (hex) of masks, however they are stored: size as "n height width" and a line feed, then bits."""
    digest = hashlib.sha256(f"{len(packed)} {spec.height} {spec.width}\n".encode())
    digest.update(np.ascontiguousarray(packed).data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Counts:
    """TP, FP and FN of each patch: three integer arrays of the same length."""

    tp: npt.NDArray[np.uint32]
    fp: npt.NDArray[np.uint32]
    fn: npt.NDArray[np.uint32]

    @property
    def total(self) -> tuple[int, int, int]:
        """(TP, FP, FN) over all patches."""
        return int(self.tp.sum()), int(self.fp.sum()), int(self.fn.sum())

    def __len__(self) -> int:
        return len(self.tp)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Counts):
            return NotImplemented
        return all(
            np.array_equal(a, b)
            for a, b in zip((self.tp, self.fp, self.fn), (other.tp, other.fp, other.fn), strict=True)
        )

    __hash__ = None  # type: ignore[assignment]

    def to_bytes(self) -> bytes:
        """A compact form for storing: 2 or 4 bytes per number, deflated."""
        table = np.stack([self.tp, self.fp, self.fn])
        size = 2 if table.max(initial=0) < 1 << 16 else 4
        return _HEADER.pack(size, len(self)) + zlib.compress(table.astype(f"<u{size}").tobytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Counts:
        """What `to_bytes` gave. Raises ValueError for anything else."""
        try:
            size, patches = _HEADER.unpack_from(data)
            numbers = np.frombuffer(zlib.decompress(data[_HEADER.size :]), f"<u{size}")
            tp, fp, fn = numbers.reshape(3, patches).astype(np.uint32)
        except (struct.error, zlib.error, TypeError, ValueError) as error:
            raise ValueError("These bytes are not stored counts.") from error
        return cls(tp, fp, fn)


def count(prediction: Packed, truth: Packed) -> Counts:
    """Pixels of two packed mask sets of the same shape that agree (TP) and do not (FP, FN), for each patch."""
    if prediction.shape != truth.shape:
        raise ValueError(f"Cannot compare masks packed as {prediction.shape} with {truth.shape}.")
    patches, row = truth.shape
    lanes: Any = np.uint64 if row % 8 == 0 else np.uint8
    p, t = (np.ascontiguousarray(masks).view(lanes) for masks in (prediction, truth))
    tp, positive, relevant = np.zeros((3, patches), np.uint32)
    step = max(1, _BLOCK // row)
    for start in range(0, patches, step):
        rows = slice(start, start + step)
        for target, bits in ((tp, p[rows] & t[rows]), (positive, p[rows]), (relevant, t[rows])):
            np.bitwise_count(bits).sum(axis=1, dtype=np.uint32, out=target[rows])
    return Counts(tp, positive - tp, relevant - tp)
