"""The pixels of one HDF5 mask file in memory.

h5py is the only parser, and only of metadata: it says where the pixels lie, and they are cut from the file's
own bytes and inflated here with a bound. libhdf5's own read would follow a file's pointers to any other
file of the machine, inflate without end, and fill what is short with whatever its heap held before.

The order of the questions matters: link, layout, external files, type, shape, storage. Asking a virtual
dataset for its shape, or opening an external link, already reaches outside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from threading import get_ident
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
from h5py import h5d, h5f, h5l, h5o, h5pl, h5s, h5t, h5z

from evaluation.archive.layout import MOST_CHUNKS, InvalidMask, Layout, Pixels, inflater
from evaluation.archive.problems import printable
from evaluation.task import TASK, MaskSpec

# libhdf5 looks for plug-ins on disk when it cannot open a file, and loads what it finds: no place to look at, nothing to load.
while h5pl.size():
    h5pl.remove(0)

NAME = TASK.mask_dataset.encode()
SIGNATURE = b"\x89HDF\r\n\x1a\n"


def explain(content: bytes, spec: MaskSpec) -> Layout | Pixels:
    """The layout of a contiguous mask file, or the pixels (height * width of them, unchecked) of another one.

    Raises InvalidMask for everything that is not a mask of this shape.
    """
    if not content.startswith(SIGNATURE):
        raise _no_signature(content)
    try:
        return _explain(content, spec)
    except InvalidMask:
        raise
    except (
        Exception
    ) as error:  # h5py raises eight kinds for damaged files; their texts name paths, so none is shown
        raise InvalidMask("hdf5_damaged") from error


def _no_signature(content: bytes) -> InvalidMask:
    """The file does not begin as HDF5 does; it may still be a valid one, behind a user block of 512 bytes or more."""
    start = 512
    while start < len(content):
        if content.startswith(SIGNATURE, start):
            return InvalidMask("user_block", size=start)
        start *= 2
    return InvalidMask("not_hdf5")


def _explain(content: bytes, spec: MaskSpec) -> Layout | Pixels:
    dataset = open_dataset(content, NAME)
    properties = dataset.get_create_plist()
    layout = properties.get_layout()
    dtype = _dtype(dataset.get_type())
    _check_shape(dims(dataset), spec)
    if layout == h5d.CONTIGUOUS:
        start, size = dataset.get_offset(), spec.pixels * dtype.itemsize
        if start is None:
            return _never_written(properties, dtype, spec)
        if dataset.get_storage_size() != size or start + size > len(content):
            raise InvalidMask("hdf5_damaged.short")
        return Layout(len(content), content[:start], content[start + size :], dtype)
    if layout == h5d.CHUNKED:
        return _chunked(content, dataset, properties, dtype, spec)
    if layout == h5d.COMPACT and dataset.get_storage_size() == spec.pixels * dtype.itemsize:
        # Lies in the object header, which h5py has already taken apart: the one storage that it reads out.
        pixels = np.empty((spec.height, spec.width), dtype)
        dataset.read(h5s.ALL, h5s.ALL, pixels, dataset.get_type())
        return pixels.reshape(-1)
    raise InvalidMask("unsupported_storage")


def open_dataset(content: bytes, name: bytes) -> h5d.DatasetID:
    """The dataset of this name in a file's bytes: reached by a hard link alone, its data in the file itself.

    Raises InvalidMask for anything else, and what h5py raises for damaged files.
    """
    file = h5f.open_file_image(content)
    if not file.links.exists(name):
        names: list[bytes] = []
        file.links.iterate(_collect(names, 4))
        raise _other_names(names)
    link = file.links.get_info(name)
    if link.type != h5l.TYPE_HARD:
        raise InvalidMask("dataset_is_link")
    dataset = h5o.open(file, name)
    if not isinstance(dataset, h5d.DatasetID):
        raise InvalidMask("not_a_dataset")
    properties = dataset.get_create_plist()
    if properties.get_layout() == h5d.VIRTUAL:
        raise InvalidMask("virtual_dataset")
    if properties.get_external_count():
        raise InvalidMask("external_storage")
    return dataset


def mask_shape(content: bytes) -> tuple[int, int]:
    """Height and width of the mask in a file's bytes. Raises InvalidMask, ValueError and what h5py raises."""
    height, width = dims(open_dataset(content, NAME))
    return height, width


def dims(dataset: h5d.DatasetID) -> tuple[int, ...]:
    """The shape of a dataset; () for a single value."""
    space = dataset.get_space()
    return space.get_simple_extent_dims() if space.get_simple_extent_type() == h5s.SIMPLE else ()


def _collect(items: list[Any], most: int) -> Callable[[Any], bool | None]:
    """For h5py's iterators: gathers into `items`, and ends the walk when it has `most`."""

    def visit(item: Any) -> bool | None:
        items.append(item)
        return True if len(items) >= most else None

    return visit


def _other_names(names: list[bytes]) -> InvalidMask:
    if not names:
        return InvalidMask("dataset_missing.empty")
    shown = ", ".join(printable(name, 40) for name in names[:3]) + (" and more" if len(names) > 3 else "")
    return InvalidMask("dataset_missing", names=shown)


def _dtype(type_id: h5t.TypeID) -> np.dtype:
    """The integer type of the pixels; bool as h5py writes it counts as int8."""
    if type_id.equal(h5t.STD_U8LE):
        return np.dtype(np.uint8)
    kind = type_id.get_class()
    if kind == h5t.ENUM and _is_bool(type_id):
        return np.dtype(np.int8)
    if kind == h5t.INTEGER:
        sign = "i" if type_id.get_sign() == h5t.SGN_2 else "u"
        order = ">" if type_id.get_order() == h5t.ORDER_BE else "<"
        size = type_id.get_size()
        if size in (1, 2, 4, 8) and type_id.get_offset() == 0 and type_id.get_precision() == 8 * size:
            return np.dtype(f"{order}{sign}{size}")
    if kind == h5t.FLOAT:
        raise InvalidMask("wrong_type.float")
    raise InvalidMask("wrong_type")


def _is_bool(type_id: Any) -> bool:
    if type_id.get_size() != 1 or type_id.get_nmembers() != 2:
        return False
    members = {type_id.get_member_name(i): type_id.get_member_value(i) for i in range(2)}
    return members == {b"FALSE": 0, b"TRUE": 1}


def _check_shape(shape: tuple[int, ...], spec: MaskSpec) -> None:
    if shape != (spec.height, spec.width):
        found = "x".join(map(str, shape[:6])) or "a single value"
        raise InvalidMask("wrong_shape", found=found, height=str(spec.height), width=str(spec.width))


def _never_written(properties: Any, dtype: np.dtype, spec: MaskSpec) -> Pixels:
    """A dataset that was created but never written reads as its fill value."""
    value = np.zeros((), dtype)
    if properties.fill_value_defined() == h5d.FILL_VALUE_USER_DEFINED:
        properties.get_fill_value(value)
    return np.full(spec.pixels, value, dtype)


def _chunked(content: bytes, dataset: Any, properties: Any, dtype: np.dtype, spec: MaskSpec) -> Pixels:
    chunk = properties.get_chunk()
    size = int(np.prod(chunk, dtype=object)) * dtype.itemsize
    if len(chunk) != 2 or size > spec.most_bytes:
        raise InvalidMask("unsupported_storage.large")
    undo = _filters(properties, size, dtype.itemsize)
    stored: list[Any] = []
    dataset.chunk_iter(_collect(stored, MOST_CHUNKS + 1))
    if len(stored) > MOST_CHUNKS:
        raise InvalidMask("unsupported_storage.many", most=str(MOST_CHUNKS))
    rows, columns = chunk
    pixels = _never_written(properties, dtype, spec).reshape(spec.height, spec.width)
    seen = set()
    for offset, skipped, start, length in stored:
        top, left = offset
        if skipped or top % rows or left % columns or offset in seen or start + length > len(content):
            raise InvalidMask("hdf5_damaged.chunks")
        seen.add(offset)
        raw = content[start : start + length]
        for step in undo:
            raw = step(raw)
        if len(raw) != size:
            raise InvalidMask("hdf5_damaged.chunk")
        target = pixels[top : top + rows, left : left + columns]
        target[...] = np.frombuffer(raw, dtype).reshape(chunk)[: target.shape[0], : target.shape[1]]
    return pixels.reshape(-1)


def _filters(properties: Any, size: int, itemsize: int) -> list[Any]:
    """What to do, in order, with the stored bytes of a chunk that has `size` bytes when read."""

    def inflate(raw: bytes) -> bytes:
        stream = inflater.decompressobj()
        out = stream.decompress(raw, size + 1)
        if len(out) != size or not stream.eof:
            raise InvalidMask("hdf5_damaged.deflate")
        return out

    def unshuffle(raw: bytes) -> bytes:
        if itemsize == 1 or len(raw) != size:
            return raw
        return np.frombuffer(raw, np.uint8).reshape(itemsize, -1).T.tobytes()

    known = {h5z.FILTER_DEFLATE: inflate, h5z.FILTER_SHUFFLE: unshuffle}
    # Asked by number: asking for "the first filter" would look for a plug-in of its name on disk.
    present = [code for code in known if properties.get_filter_by_id(code) is not None]
    if properties.get_nfilters() != len(present):
        raise InvalidMask("unsupported_filter")
    if len(present) == 2:
        present = [properties.get_filter(i)[0] for i in (0, 1)]  # in the order of writing
    return [known[code] for code in reversed(present)]


def mask_file(mask: npt.ArrayLike, **options: Any) -> bytes:
    """The bytes of an official mask file, as h5py's defaults leave it on disk; `options` for create_dataset.

    Raises ValueError for other values than 0 and 1, or another number of axes than 2.
    """
    pixels = np.asarray(mask)
    if pixels.ndim != 2 or not ((pixels == 0) | (pixels == 1)).all():
        raise ValueError(f"A mask has two axes and values 0 and 1; this one has the shape {pixels.shape}.")
    name = f"mask {get_ident()}"  # HDF5 refuses a name that another thread has open, in memory too
    with h5py.File(name, "w", driver="core", backing_store=False) as file:
        file.create_dataset(NAME.decode(), data=pixels.astype(np.uint8), **options)
        file.flush()
        content: bytes = file.id.get_file_image()
    return content


@lru_cache(maxsize=8)
def official_layout(spec: MaskSpec) -> Layout:
    """The layout of a file that we write ourselves: archives of the official predictor need no other."""
    layout = explain(mask_file(np.ones((spec.height, spec.width), np.uint8)), spec)
    assert isinstance(layout, Layout)
    return layout
