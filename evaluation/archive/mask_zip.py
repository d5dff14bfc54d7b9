"""Mask archives: a flat ZIP of one HDF5 file per patch, read with every check, and written.

`read` is pure: bytes in, packed masks or problems out. Untrusted bytes belong in evaluation.sandbox.reader, which
does the same in a process of its own.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from os import PathLike
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from evaluation.archive.entries import read_archive
from evaluation.archive.hdf5 import explain, mask_file, official_layout
from evaluation.task import TASK, Packed
from evaluation.task import MaskSpec as MaskSpec


def read(data: bytes | memoryview, spec: MaskSpec, *, learn: bool = True) -> Packed:
    """The packed masks of an archive in memory, shape (patches, height * width / 8).

    Without `learn`, h5py explains each file, even if it equals the official one in all but pixels: slower, with
    the same result. Raises InvalidArchive with every problem found.
    """
    return read_archive(data, spec, explain, official_layout(spec), learn=learn)


def write(target: str | PathLike[str] | BinaryIO, masks: Iterable[npt.ArrayLike]) -> int:
    """Write masks, arrays of shape (height, width) with values 0 and 1, as an archive of the official format.

    Files are numbered from 1 in the given order, HDF5 by h5py's defaults, uint8, deflated. Returns their number.
    Raises ValueError for other values.
    """
    number = 0
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, mask in enumerate(masks, start=1):
            archive.writestr(zipfile.ZipInfo(TASK.mask_name(number)), mask_file(mask), zipfile.ZIP_DEFLATED)
    return number


def trial_archives(spec: MaskSpec) -> tuple[bytes, bytes]:
    """Two archives of our own: of official files, and of gzipped chunks. For trying a reader."""
    mask = np.ones((spec.height, spec.width), np.uint8)
    archives = []
    for content in (mask_file(mask), mask_file(mask, compression="gzip", shuffle=True)):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
            for i in range(spec.patches):
                archive.writestr(spec.name(i), content)
        archives.append(made.getvalue())
    return archives[0], archives[1]
