"""Mask files whose layout is known, checked and packed. No HDF5 is parsed here: evaluation.archive.hdf5 does that.

A file that equals a known one in every byte but the pixels has its pixels in the same place. The official
file, as h5py's defaults leave it, is known beforehand from one of our own making; so most archives are read
without libhdf5.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evaluation.archive.sentences import code_of, sentence
from evaluation.task import MaskSpec, Packed

inflater: Any
try:
    from zlib_ng import zlib_ng as inflater
except ImportError:  # the same calls, three times slower
    inflater = zlib

MOST_VALUES = 4  # of wrong values; more are those of a grey picture
MOST_CHUNKS = 1024

Pixels = npt.NDArray[np.generic]


class InvalidMask(Exception):
    """Why a mask file is not taken: the key of its sentence in evaluation.archive.sentences, and what stands in it."""

    def __init__(self, key: str, **values: object) -> None:
        self.code, self.message = code_of(key), sentence(key, values)
        super().__init__(self.code, self.message)


class Unexplained(Exception):
    """A file has an unknown layout, and there is no `explain` to ask."""


class Layout(NamedTuple):
    """Where a contiguous mask's pixels lie in a file: `pixels` of type `dtype` behind `head`, in front of `tail`."""

    length: int
    head: bytes
    tail: bytes
    dtype: np.dtype

    def fits(self, content: bytes) -> bool:
        """True if `content` differs from the file that h5py explained in nothing but pixels."""
        return len(content) == self.length and content.startswith(self.head) and content.endswith(self.tail)


Explain = Callable[[bytes, MaskSpec], Layout | Pixels]
"""Takes a mask file apart, as evaluation.archive.hdf5.explain does."""


class Decoder:
    """Mask files in, packed masks out: shape (patches, height * width / 8), in `out` if it is given (zeros).

    A file that differs in nothing but pixels from the `known` layout, or from the last that was explained, is
    read by it; others are explained. Without `learn` each is. Both give the same, which the tests hold against
    each other.
    """

    _BLOCK = 16  # masks whose values are checked and packed at a time: small enough for the cache
    _BLOCK_BYTES = 16 << 20  # of larger masks fewer

    def __init__(
        self,
        spec: MaskSpec,
        explain: Explain | None,
        known: Layout | None = None,
        *,
        learn: bool = True,
        out: Packed | None = None,
    ) -> None:
        self.spec, self.learn = spec, learn
        self.packed = np.zeros(spec.packed_shape, np.uint8) if out is None else out
        self.refusals: dict[int, InvalidMask] = {}
        self._explain = explain
        self._layout = known
        self._buffer: memoryview | None = None
        self._waiting: list[int] = []
        self._together = self._BLOCK

    def add(self, index: int, content: bytes) -> None:
        """Take the file of the mask at `index` (from 0). Raises InvalidMask, and Unexplained for a layout
        that is not known where there is no `explain`. Wrong values are in `refusals` after `flush`."""
        layout = self._layout
        if layout is None or not self.learn or not layout.fits(content):
            if self._explain is None:
                raise Unexplained
            explained = self._explain(content, self.spec)
            if not isinstance(explained, Layout):
                self._pack([index], explained[None])
                return
            if explained != layout:
                self.flush()
                layout = self._layout = explained
                self._buffer = None
        if self._buffer is None:
            self._together = max(1, min(self._BLOCK, self._BLOCK_BYTES // layout.length))
            self._buffer = _scratch(self._together * layout.length)
        start = len(self._waiting) * layout.length
        self._buffer[start : start + layout.length] = content
        self._waiting.append(index)
        if len(self._waiting) == self._together:
            self.flush()

    def flush(self) -> None:
        """Check and pack what is waiting; to be called after the last `add`."""
        if not self._waiting:
            return
        assert self._buffer is not None
        assert self._layout is not None
        layout, n = self._layout, len(self._waiting)
        rows = np.frombuffer(self._buffer, np.uint8, n * layout.length).reshape(n, layout.length)
        pixels = rows[:, len(layout.head) : layout.length - len(layout.tail)].view(layout.dtype)
        waiting, self._waiting = self._waiting, []
        self._pack(waiting, pixels)

    def _pack(self, indices: list[int], pixels: Pixels) -> None:
        unsigned = pixels.view(pixels.dtype.str.replace("i", "u"))
        if unsigned.max() > 1:
            for index, row in zip(indices, pixels, strict=True):
                if ((row != 0) & (row != 1)).any():
                    self.refusals[index] = _wrong_values(row)
        self.packed[indices] = np.packbits(unsigned if unsigned.itemsize == 1 else unsigned != 0, axis=1)


def _scratch(size: int) -> memoryview:
    """Zeroed memory whose pages are all there at once, instead of with one fault each."""
    flags = (
        {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE}
        if hasattr(mmap, "MAP_POPULATE")
        else {}
    )
    return memoryview(mmap.mmap(-1, size, **flags))


def _wrong_values(row: Pixels) -> InvalidMask:
    """What a mask with values other than 0 and 1 holds; the advice never turns a 1 into a 0."""
    wrong = rest = row[(row != 0) & (row != 1)]
    values: list[int] = []
    while len(rest) and len(values) <= MOST_VALUES:
        values.append(int(rest[0]))
        rest = rest[rest != rest[0]]
    if len(values) > MOST_VALUES:
        return InvalidMask("wrong_values.many")
    present = sorted({*values, *([1] if (row == 1).any() else [])})
    found = " and ".join(filter(None, [", ".join(map(str, present[:-1])), str(present[-1])]))
    one_other = len(wrong) < len(row) and len(values) == 1 and (row == 0).any()
    key = "wrong_values.one_other" if one_other else "wrong_values"
    return InvalidMask(key, found=f"the value{'s' if len(present) > 1 else ''} {found}")
