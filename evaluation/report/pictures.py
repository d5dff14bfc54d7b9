"""Pictures of patches as PNG: the image, the teams' combined masks, and where they failed.

Colours are those of Okabe and Ito, which colour-blind people can distinguish too. Pixels are enlarged without smoothing, so that
the outline around the label, one pixel wide, hides none of the label's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from h5py import h5s

from evaluation.archive.hdf5 import dims, open_dataset
from evaluation.report.png import Picture, overlay_png, png
from evaluation.scoring.counts import Packed, unpack
from evaluation.task import TASK, MaskSpec

Mask = npt.NDArray[np.bool_]

SIDE = 384  # pixels of the longer side of an enlarged patch, at most
PAPER, OUTLINE = (250, 250, 250), (240, 228, 66)
FOUND, MISSED, INVENTED = (0, 114, 178), (213, 94, 0), (230, 159, 0)
OVERLAY = ((86, 180, 233), (240, 228, 66), (213, 94, 0))
"""Over an image: what is in both masks, in the first alone, in the second (or the label) alone."""


class ImageError(ValueError):
    """Why a file of an image cannot be used."""


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


def mask_overlay(patch: int, masks: Packed, spec: MaskSpec) -> bytes:
    """The mask of the patch at an index (from 0), as a PNG file over a transparent ground."""
    return overlay_png(2 * _patch(patch, masks, spec), OVERLAY)


def pair_overlay(patch: int, first: Packed, second: Packed, spec: MaskSpec) -> bytes:
    """Two masks of a patch, or a mask and its label: pixels in both, in the first alone, in the second alone."""
    a, b = _patch(patch, first, spec), _patch(patch, second, spec)
    return overlay_png(np.array([0, 2, 3, 1], np.uint8)[a + 2 * b], OVERLAY)


def _patch(patch: int, masks: Packed, spec: MaskSpec) -> npt.NDArray[np.uint8]:
    return unpack(masks[patch : patch + 1], spec)[0]


def composites(content: bytes, height: int, width: int) -> list[bytes]:
    """The pictures of an image file as PNG files, in the order of TASK.composites.

    Each band is stretched between its 2nd and 98th percentile. Raises ImageError. A server has a confined child do this
    (evaluation.sandbox.files).
    """
    image = _read_image(content, (height, width, len(TASK.bands)))
    made = []
    for composite in TASK.composites:
        bands = _stretched(image[..., list(composite.bands)])
        made.append(png(bands if len(composite.bands) == 3 else bands[..., 0]))
    return made


def _read_image(content: bytes, shape: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    try:
        dataset = open_dataset(content, TASK.image_dataset.encode())
        found = dims(dataset)
        if found != shape:
            raise ImageError(f"{TASK.image_dataset} is {found}, not {shape}.")
        image = np.empty(shape, np.float64)
        dataset.read(h5s.ALL, h5s.ALL, image)
        return image
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError("The image takes more memory than is allowed.") from error
    except (
        Exception
    ) as error:  # h5py raises eight kinds for damaged files; links and virtual datasets are refused too
        raise ImageError(
            f"This is not an image: the dataset {TASK.image_dataset} of {len(TASK.bands)} bands is expected."
        ) from error


def _stretched(bands: npt.NDArray[np.float64]) -> Picture:
    bands = np.nan_to_num(bands, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = np.percentile(bands, (2, 98), axis=(0, 1))
    shares = (bands - low) / np.where(high > low, high - low, 1.0)
    return np.rint(255 * shares.clip(0, 1)).astype(np.uint8)
