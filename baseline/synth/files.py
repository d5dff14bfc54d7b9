"""Patches as HDF5 files, as the competition's: `img` float64 (128, 128, 14), `mask` uint8 (128, 128)."""

import zlib
from pathlib import Path

import h5py
import numpy as np

from evaluation.task import TASK

# An image is chunked by band, with the shuffle and gzip filters of HDF5, and the chunks are made here, in a third of
# the time the filters take. Stored values are multiples of 2^-8 below 32, so the five low bytes of every float64 are
# 0 and the filter's first five byte planes are all zeros: their compressed form is always the same and is made once.
# For the rest of a band of 10 m zlib's run-length strategy is quickest; in the other bands pixels repeat and its
# usual search for matches is quicker and better.
_ZEROS = bytes(5 * 128 * 128)
_COMPRESSOR = zlib.compressobj(1)
_HEAD = _COMPRESSOR.compress(_ZEROS) + _COMPRESSOR.flush(zlib.Z_FULL_FLUSH)
_CHECK = zlib.adler32(_ZEROS)
_FINE = (1, 2, 3, 7, 12, 13)


def write_image(path: Path, image: np.ndarray) -> None:
    """`image` (14, 128, 128), multiples of 2^-8 between -32 and 32."""
    steps = image * np.float32(256)
    whole = steps.astype(np.int16)
    if not (whole == steps).all() or np.abs(whole).max() >= 32 * 256:
        raise ValueError(f"{path.name}: values are not multiples of 1/256 between -32 and 32")
    octets = image.astype("<f8", order="C").reshape(14, -1).view(np.uint8).reshape(14, -1, 8)
    high = (
        octets[:, :, 5:].transpose(0, 2, 1).copy()
    )  # all sixth bytes of a band, then all seventh, then all eighth
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            TASK.image_dataset,
            (128, 128, 14),
            "<f8",
            chunks=(128, 128, 1),
            shuffle=True,
            compression="gzip",
            compression_opts=1,
        )
        for band in range(14):
            strategy = zlib.Z_RLE if band in _FINE else zlib.Z_DEFAULT_STRATEGY
            data.id.write_direct_chunk((0, 0, band), _deflate(high[band].tobytes(), strategy))


def _deflate(rest: bytes, strategy: int) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, -15, 9, strategy)
    body = compressor.compress(rest) + compressor.flush()
    return _HEAD + body + zlib.adler32(rest, _CHECK).to_bytes(4, "big")


def write_mask(path: Path, mask: np.ndarray) -> None:
    """`mask` uint8 (128, 128), written with h5py's defaults, as the organisers' files are."""
    with h5py.File(path, "w") as file:
        file.create_dataset(TASK.mask_dataset, data=np.ascontiguousarray(mask, np.uint8))
