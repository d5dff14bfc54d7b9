"""Label sets: the organiser's masks, loaded through the same checks as any archive, and their stored form."""

from __future__ import annotations

import io
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO

import numpy as np

from evaluation.archive import mask_zip
from evaluation.archive.entries import content
from evaluation.archive.hdf5 import mask_shape
from evaluation.archive.layout import inflater
from evaluation.archive.problems import InvalidArchive, Problem
from evaluation.archive.zip_directory import Directory, read_directory
from evaluation.sandbox import bounds
from evaluation.scoring.counts import Packed
from evaluation.scoring.counts import sha256 as sha256
from evaluation.task import TASK, MaskSpec

COMPRESSION = 2  # zlib-ng's: a tenth of the time of zlib's 6, for 12 % more bytes
_MASK = re.compile(re.escape(TASK.mask_name("#")).replace(r"\#", r"[1-9]\d*").encode())


def load(source: str | PathLike[str] | bytes, spec: MaskSpec | None = None) -> tuple[Packed, MaskSpec]:
    """Labels from a folder of mask files, or from an archive of the submission format (a path, or its bytes), in
    this process: a server reads them by evaluation.sandbox.files instead.

    Returns the packed masks, read-only, and what they are; without `spec`, number and size are taken from the
    files. Raises InvalidArchive with every problem, among them a set without any positive pixel, and OSError
    where there is nothing to read.
    """
    with opened(source) as file:
        data = file.read()
    packed = mask_zip.read(data, spec := spec or describe(memoryview(data)))
    check_positive(packed)
    packed.setflags(write=False)
    return packed, spec


def check_positive(packed: Packed) -> None:
    """Raise InvalidArchive for labels on which nothing could score."""
    if not positive_pixels(packed):
        raise InvalidArchive([Problem.of("no_positive_pixel")])


def check_bounds(spec: MaskSpec) -> None:
    """Raise InvalidArchive for labels of more masks or pixels than a server takes."""
    if spec.patches > bounds.MASKS:
        raise InvalidArchive([Problem.of("labels_too_large.masks", found=spec.patches, most=bounds.MASKS)])
    size = {"height": str(spec.height), "width": str(spec.width)}
    if spec.pixels > bounds.MASK_PIXELS:
        raise InvalidArchive([Problem.of("labels_too_large.mask", **size, most=bounds.MASK_PIXELS)])
    if spec.patches * spec.pixels > bounds.PIXELS:
        raise InvalidArchive(
            [Problem.of("labels_too_large", patches=spec.patches, **size, most=bounds.PIXELS)]
        )


@contextmanager
def opened(source: str | PathLike[str] | BinaryIO | bytes) -> Iterator[BinaryIO]:
    """The archive of labels, open: a file, its bytes, the one at a path, or one made of the folder there.

    Raises OSError, and InvalidArchive for more bytes than a server takes.
    """
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    elif not isinstance(source, str | PathLike):
        yield source
    elif Path(source).is_dir():
        with tempfile.TemporaryFile() as made:
            _zip_folder(Path(source), made)
            made.seek(0)
            yield made
    else:
        with open(source, "rb") as file:
            _check_bytes(os.fstat(file.fileno()).st_size)
            yield file


def _zip_folder(folder: Path, target: BinaryIO) -> None:
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    _check_bytes(sum(file.stat().st_size for file in files))
    with zipfile.ZipFile(target, "w") as made:
        for file in files:
            made.write(file, file.name)


def _check_bytes(size: int) -> None:
    if size > bounds.LABEL_BYTES:
        raise InvalidArchive([Problem.of("labels_too_large.bytes", size=size, most=bounds.LABEL_BYTES)])


def describe(data: memoryview) -> MaskSpec:
    """Number and size of the masks in an archive of labels: as its names and its first mask say.

    Raises InvalidArchive for more than a server takes.
    """
    directory = read_directory(data, MaskSpec(bounds.MASKS).most_entries)
    names = [name.rpartition(b"/")[2] for name in directory.names]
    masks = [i for i, name in enumerate(names) if _MASK.fullmatch(name)]
    if len(masks) > bounds.MASKS:
        raise InvalidArchive([Problem.of("labels_too_large.masks", found=len(masks), most=bounds.MASKS)])
    spec = MaskSpec(1)
    if masks:
        shape = _shape(data, directory, masks[0])
        if shape is not None:
            try:
                spec = MaskSpec(len(masks), *shape)
            except ValueError as error:
                size = {"height": str(shape[0]), "width": str(shape[1])}
                raise InvalidArchive([Problem.of("labels_too_large.packed", **size)]) from error
    check_bounds(spec)
    return spec


def _shape(data: memoryview, directory: Directory, i: int) -> tuple[int, int] | None:
    """Height and width of the first mask; None where something is wrong, which the reader says better."""
    most = MaskSpec(1, 1, bounds.MASK_PIXELS).most_bytes
    try:
        raw = data[directory.starts[i] : directory.stops[i]]
        return mask_shape(content(raw, directory.methods[i], directory.crcs[i], directory.sizes[i], most))
    except Exception:
        return None


def positive_pixels(packed: Packed) -> int:
    """Pixels of the positive class in all masks together."""
    return int(np.bitwise_count(packed).sum(dtype=np.int64))


def compress(packed: Packed) -> bytes:
    """Packed masks for storing, labels and predictions alike: 800 masks of 128 x 128 take about 0.1 MB."""
    return inflater.compress(np.ascontiguousarray(packed).data, COMPRESSION)


def decompress(data: bytes, spec: MaskSpec) -> Packed:
    """What `compress` made of masks of this kind, read-only. Raises ValueError for anything else."""
    size = spec.patches * spec.row_bytes
    try:
        content = inflater.decompressobj().decompress(data, size + 1)
        return np.frombuffer(content, np.uint8).reshape(spec.packed_shape)
    except (inflater.error, ValueError) as error:
        raise ValueError(f"These bytes are not the stored masks of {spec}.") from error
