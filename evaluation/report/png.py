"""PNG files, as far as pictures of patches need them: colour, grey, and a few colours over a transparent ground."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3), red, green and blue; or (height, width), grey."""
Colour = tuple[int, int, int]

MOST_SIDE = 4096

_GREY, _RGB, _PALETTE = 0, 2, 3
_UP = 2  # the filter that stores each row as its difference from the one above: equal rows cost nothing


def png(picture: Picture) -> bytes:
    """A picture as a PNG file."""
    return _file(picture, _RGB if picture.ndim == 3 else _GREY)


def overlay_png(values: npt.NDArray[np.uint8], colours: Sequence[Colour]) -> bytes:
    """A picture of `values` (height, width): 0 is transparent, k is the k-th of `colours` (from 1)."""
    palette = bytes(3) + b"".join(bytes(colour) for colour in colours)
    return _file(values, _PALETTE, ((b"PLTE", palette), (b"tRNS", b"\0")))


def read_png(content: bytes) -> Picture:
    """A picture from what `png` made of it, or the values of an `overlay_png`; nothing else is understood.

    Raises ValueError for anything else, and for more than MOST_SIDE pixels a side: it takes no more memory than that.
    """
    width, height, _, kind = struct.unpack_from(">IIBB", content, 16)
    if max(width, height) > MOST_SIDE:
        raise ValueError(f"a picture of {width} x {height} pixels; at most {MOST_SIDE} a side are read")
    start = content.index(b"IDAT") + 4
    (length,) = struct.unpack_from(">I", content, start - 8)
    most = height * (1 + width * (3 if kind == _RGB else 1))
    pixels = zlib.decompressobj().decompress(content[start : start + length], most + 1)
    rows = np.frombuffer(pixels, np.uint8).reshape(height, -1)
    picture = np.add.accumulate(rows[:, 1:], axis=0, dtype=np.uint8)
    return picture.reshape(height, width, 3) if kind == _RGB else picture


def _file(picture: Picture, kind: int, extra: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    height, width = picture.shape[:2]
    above = np.concatenate([np.zeros_like(picture[:1]), picture[:-1]])
    rows = np.hstack([np.full((height, 1), _UP, np.uint8), (picture - above).reshape(height, -1)])
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = ((b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
