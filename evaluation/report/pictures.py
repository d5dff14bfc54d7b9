"""Pictures of patches as PNG: the image, the teams' combined masks, and where they failed.

Colours are those of Okabe and Ito, which colour-blind people can distinguish too. Pixels are enlarged without smoothing, so that
the outline around the label, one pixel wide, hides none of the label's own.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from evaluation.scoring.counts import Packed, unpack
from evaluation.task import TASK, MaskSpec

Picture = npt.NDArray[np.uint8]
"""Shape (height, width, 3), red, green and blue."""
Mask = npt.NDArray[np.bool_]

SIDE = 384  # pixels of the longer side of an enlarged patch, at most
PAPER, OUTLINE = (250, 250, 250), (240, 228, 66)
FOUND, MISSED, INVENTED = (0, 114, 178), (213, 94, 0), (230, 159, 0)


class ImageError(ValueError):
    """Why a folder of images cannot be used; names the file."""


def png(picture: Picture) -> bytes:
    """A picture as a PNG file. Each row is stored as its difference from the one above: equal rows cost nothing."""
    height, width, _ = picture.shape
    above = np.vstack([np.zeros((1, width, 3), np.uint8), picture[:-1]])
    rows = np.hstack([np.full((height, 1), 2, np.uint8), (picture - above).reshape(height, -1)])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def read_png(content: bytes) -> Picture:
    """A picture from what ``png`` made of it; nothing else is understood."""
    width, height = struct.unpack_from(">II", content, 16)
    (length,) = struct.unpack_from(">I", content, 33)
    rows = np.frombuffer(zlib.decompress(content[41 : 41 + length]), np.uint8).reshape(height, 1 + 3 * width)
    return np.add.accumulate(rows[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def patch_pictures(
    patch: int, teams: Sequence[Packed], labels: Packed, spec: MaskSpec, image: Picture | None = None
) -> dict[str, bytes]:
    """PNG files of the patch at an index (from 0), by kind.

    image: the patch itself, where it is given, with the label outlined. vote: the majority of the teams' masks against
    the label, which is what was found and what was missed. share: inside the label how many teams miss a pixel, outside
    how many invent one.
    """
    label = unpack(labels[patch : patch + 1], spec)[0].astype(bool)
    votes = np.zeros(label.shape, np.int64)
    for packed in teams:
        votes += unpack(packed[patch : patch + 1], spec)[0]
    made = {} if image is None else {"image": png(_outlined(image, label))}
    return made | {
        "vote": png(_enlarged(_vote_picture(2 * votes > len(teams), label))),
        "share": png(_enlarged(_share_picture(votes / max(len(teams), 1), label))),
    }


def pair_pictures(
    first: Packed, second: Packed, labels: Packed, spec: MaskSpec, limit: int = 6
) -> list[tuple[int, bytes]]:
    """The patches (index from 0) on which two masks share most wrong pixels, most first, each with a PNG file: what
    both predict, the first alone, the second alone; the label outlined."""
    shared = np.bitwise_count((first ^ labels) & (second ^ labels)).sum(1, dtype=np.int64)
    patches = [int(patch) for patch in np.argsort(-shared, kind="stable")[:limit] if shared[patch]]
    return [(patch, png(_pair_picture(patch, first, second, labels, spec))) for patch in patches]


def _pair_picture(patch: int, first: Packed, second: Packed, labels: Packed, spec: MaskSpec) -> Picture:
    a, b, label = (
        unpack(packed[patch : patch + 1], spec)[0].astype(bool) for packed in (first, second, labels)
    )
    picture = np.full((*label.shape, 3), PAPER, np.uint8)
    for where, colour in ((a & b, FOUND), (a & ~b, MISSED), (b & ~a, INVENTED)):
        picture[where] = colour
    return _outlined(picture, label)


def _vote_picture(vote: Mask, label: Mask) -> Picture:
    picture = np.full((*label.shape, 3), PAPER, np.uint8)
    for where, colour in ((vote & label, FOUND), (~vote & label, MISSED), (vote & ~label, INVENTED)):
        picture[where] = colour
    return picture


def _share_picture(share: npt.NDArray[np.float64], label: Mask) -> Picture:
    """Inside the label from found (by all) to missed, outside from paper to invented (by all)."""
    start = np.where(label[..., None], np.array(MISSED), np.array(PAPER))
    end = np.where(label[..., None], np.array(FOUND), np.array(INVENTED))
    return np.rint(start + share[..., None] * (end - start)).astype(np.uint8)


def _enlarged(picture: Picture) -> Picture:
    scale = max(1, SIDE // max(picture.shape[:2]))
    return picture.repeat(scale, 0).repeat(scale, 1)


def _outlined(picture: Picture, label: Mask) -> Picture:
    """The picture enlarged, with a line around the label's pixels."""
    large = _enlarged(picture)
    inside = _enlarged(label[..., None].astype(np.uint8))[..., 0] > 0
    grown = inside.copy()
    grown[1:] |= inside[:-1]
    grown[:-1] |= inside[1:]
    grown[:, 1:] |= inside[:, :-1]
    grown[:, :-1] |= inside[:, 1:]
    large[grown & ~inside] = OUTLINE
    return large


def read_images(folder: Path, spec: MaskSpec) -> list[bytes]:
    """The images of a folder (TASK.image_name, from 1) in true colour, as PNG files.

    Each band of each patch is stretched between its 2nd and 98th percentile. Raises ImageError and OSError.
    """
    shape = (spec.height, spec.width, len(TASK.bands))
    pictures = []
    for number in range(1, spec.patches + 1):
        path = folder / TASK.image_name(number)
        if not path.is_file():
            raise ImageError(f"{path} is missing: one image for each of 1 to {spec.patches} is needed.")
        try:
            with h5py.File(path) as file:
                data: Any = file[TASK.image_dataset]
                if data.shape != shape:
                    raise ImageError(f"{path}: {TASK.image_dataset} is {data.shape}, not {shape}.")
                bands = np.stack([data[:, :, band] for band in TASK.rgb], axis=2).astype(np.float64)
        except (OSError, KeyError, AttributeError, TypeError) as error:
            raise ImageError(
                f"{path} holds no image: the dataset {TASK.image_dataset} of {len(TASK.bands)} bands is expected."
            ) from error
        pictures.append(png(_stretched(bands)))
    return pictures


def _stretched(bands: npt.NDArray[np.float64]) -> Picture:
    bands = np.nan_to_num(bands, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(bands, (2, 98), axis=(0, 1))
    shares = (bands - low) / np.where(high > low, high - low, 1.0)
    return np.rint(255 * shares.clip(0, 1)).astype(np.uint8)
