"""Archives that strangers could send, each with what has to be said of it.

`python -m tests.evaluation.corpus` reads all of them in this process, guards alone, after printing "BEGIN":
the tests run it under strace to see that nothing is opened from there on.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t, h5z

from evaluation.archive.mask_zip import MaskSpec, mask_file
from tests.evaluation.zips import Entry, build, deflate

SPEC = MaskSpec(3)
SIDE = 128


@dataclass(frozen=True)
class Case:
    """An archive for SPEC: its masks if it is valid, else the codes that have to be told of it."""

    name: str
    data: bytes
    masks: np.ndarray | None = None
    codes: frozenset[str] = frozenset()


def true_masks() -> np.ndarray:
    rng = np.random.default_rng(5)
    masks = (rng.random((3, SIDE, SIDE)) < 0.2).astype(np.uint8)
    masks[2] = 0
    return masks


MASKS = true_masks()


def hdf5(make: Callable[[h5py.File], object], **options: object) -> bytes:
    with h5py.File("mask.h5", "w", driver="core", backing_store=False, **options) as file:
        make(file)
        file.flush()
        return file.id.get_file_image()


def dataset(data: object = None, name: str = "mask", file: dict | None = None, **options: object) -> bytes:
    return hdf5(
        lambda f: f.create_dataset(name, data=MASKS[1] if data is None else data, **options), **(file or {})
    )


def entries(second: bytes | None = None) -> list[Entry]:
    """The three masks, the second of them replaced."""
    contents = [
        mask_file(MASKS[0]),
        second if second is not None else mask_file(MASKS[1]),
        mask_file(MASKS[2]),
    ]
    return [Entry(SPEC.name(i).encode(), content) for i, content in enumerate(contents)]


def changed(**fields: object) -> list[Entry]:
    """The three masks, with fields of the second entry set."""
    all_entries = entries()
    content = mask_file(MASKS[1])
    all_entries[1] = Entry(**({"name": b"mask_2.h5", "content": content} | fields))
    return all_entries


def low_level(
    type_id: h5t.TypeID = h5t.STD_U8LE,
    shape: tuple[int, ...] = (SIDE, SIDE),
    prepare: Callable[[h5p.PropDCID], object] = lambda p: None,
    fill: Callable[[h5d.DatasetID], object] = lambda d: None,
    maximum: tuple[int, ...] | None = None,
) -> bytes:
    """A file whose dataset is made by low-level calls."""

    def make(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        prepare(properties)
        space = h5s.create_simple(shape, maximum) if shape else h5s.create(h5s.SCALAR)
        fill(h5d.create(file.id, b"mask", type_id, space, properties))

    return hdf5(make)


def chunked(chunk: tuple[int, int], *filters: tuple[int, tuple[int, ...]]) -> Callable[[h5p.PropDCID], None]:
    def prepare(properties: h5p.PropDCID) -> None:
        properties.set_chunk(chunk)
        for code, values in filters:
            properties.set_filter(code, h5z.FLAG_OPTIONAL, values)

    return prepare


def direct(*chunks: tuple[tuple[int, int], bytes], mask: int = 0) -> Callable[[h5d.DatasetID], None]:
    def fill(dataset_id: h5d.DatasetID) -> None:
        for offset, raw in chunks:
            dataset_id.write_direct_chunk(offset, raw, mask)

    return fill


# --- valid ---------------------------------------------------------------------------------------------------


def valid_files() -> Iterator[tuple[str, bytes]]:
    m = MASKS[1]
    yield "official", mask_file(m)
    for options in (
        {"compression": "gzip"},
        {"compression": "gzip", "compression_opts": 9},
        {"compression": "gzip", "shuffle": True},
        {"shuffle": True, "chunks": (64, 64)},
        {"chunks": (128, 128)},
        {"chunks": (100, 100)},
        {"chunks": (8, 8), "compression": "gzip"},
        {"chunks": (200, 200), "maxshape": (None, None), "compression": "gzip"},
        {"maxshape": (128, None)},
        {"track_times": True},
        {"track_order": True},
        {"fillvalue": 1},
    ):
        yield f"dataset {options}", dataset(**options)
    for version in ("latest", "v108", "v110", "v112", "v114", "v200"):
        try:
            yield f"libver {version}", dataset(file={"libver": version})
            yield f"libver {version}, gzip", dataset(file={"libver": version}, compression="gzip")
        except ValueError:  # an older h5py knows fewer
            continue
    for kind in ("i1", "u2", "i2", "u4", "i4", "u8", "i8", ">u2", ">i4", ">i8", "?"):
        yield f"type {kind}", dataset(m.astype(kind))
        yield f"type {kind}, gzip and shuffle", dataset(m.astype(kind), compression="gzip", shuffle=True)
    yield (
        "compact",
        low_level(prepare=lambda p: p.set_layout(h5d.COMPACT), fill=lambda d: d.write(h5s.ALL, h5s.ALL, m)),
    )
    yield "attributes and neighbours", hdf5(_with_neighbours)
    yield "many groups", hdf5(_with_groups)
    yield "hard link to another name", hdf5(_hard_link)
    yield "paged file", dataset(file={"fs_strategy": "page", "fs_page_size": 4096})


def _with_neighbours(file: h5py.File) -> None:
    file.create_dataset("probability", data=np.random.default_rng(0).random((SIDE, SIDE)))
    file.create_dataset("mask", data=MASKS[1]).attrs["model"] = "U-Net" * 100
    file["link"] = h5py.SoftLink("/nowhere")


def _with_groups(file: h5py.File) -> None:
    group = file
    for i in range(60):
        file.create_group(f"group{i}")
        group = group.create_group("deeper")
    file.create_dataset("mask", data=MASKS[1])


def _hard_link(file: h5py.File) -> None:
    file["group/data"] = MASKS[1]
    file["mask"] = file["group/data"]
    file["group/again"] = file["group"]


def valid() -> Iterator[Case]:
    for name, content in valid_files():
        yield Case(name, build(entries(content)), MASKS)
    zero, one = np.zeros_like(MASKS), np.ones_like(MASKS)
    for name, masks in (("all zero", zero), ("all one", one)):
        files = [Entry(SPEC.name(i).encode(), mask_file(mask)) for i, mask in enumerate(masks)]
        yield Case(name, build(files), masks)
    unwritten = hdf5(lambda f: f.create_dataset("mask", (SIDE, SIDE), np.uint8))
    yield Case("never written", build(entries(unwritten)), np.stack([MASKS[0], zero[0], MASKS[2]]))
    filled = hdf5(lambda f: f.create_dataset("mask", (SIDE, SIDE), np.uint8, fillvalue=1))
    yield Case("never written, fill value 1", build(entries(filled)), np.stack([MASKS[0], one[0], MASKS[2]]))
    half = MASKS[1].copy()
    half[:64] = 0

    def partly(file: h5py.File) -> None:
        file.create_dataset("mask", (SIDE, SIDE), np.uint8, chunks=(64, 128), compression="gzip")[64:] = half[
            64:
        ]

    yield Case("a chunk never written", build(entries(hdf5(partly))), np.stack([MASKS[0], half, MASKS[2]]))
    yield from _valid_zips()


def _valid_zips() -> Iterator[Case]:
    def python_zip(method: int = zipfile.ZIP_DEFLATED, **options: object) -> bytes:
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w", method, **options) as archive:
            for entry in entries():
                with archive.open(entry.name.decode(), "w", force_zip64=True) as file:
                    file.write(entry.content)
        return made.getvalue()

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise OSError

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries():
            archive.writestr(entry.name.decode(), entry.content)
    plain = entries()
    yield Case("streamed with data descriptors", stream.getvalue(), MASKS)
    yield Case("stored", build([Entry(e.name, e.content, method=0) for e in plain]), MASKS)
    yield Case("zip64 in local headers", python_zip(), MASKS)
    yield Case("zip64 everywhere", build(plain, zip64=True), MASKS)
    yield Case("best compression", python_zip(compresslevel=9), MASKS)
    yield Case("another order", build(plain[::-1]), MASKS)
    yield Case(
        "comments",
        build([Entry(e.name, e.content, comment=b"x" * 99) for e in plain], comment=b"made by me"),
        MASKS,
    )
    extra = struct.pack("<2HBL", 0x5455, 5, 1, 0)
    yield Case("extra fields", build([Entry(e.name, e.content, extra=extra) for e in plain]), MASKS)
    junk = [b"__MACOSX/", b"__MACOSX/._mask_1.h5", b".DS_Store", b"Thumbs.db", b"desktop.ini", b"._mask_2.h5"]
    yield Case("junk of operating systems", build([Entry(n, b"junk") for n in junk] + plain), MASKS)
    bomb = Entry(b"__MACOSX/._bomb", b"", stored=deflate(bytes(10 << 20)), size=10 << 20)
    yield Case("junk is never inflated", build([bomb, *plain]), MASKS)
    yield Case(
        "file attributes", build([Entry(e.name, e.content, attributes=0o100644 << 16) for e in plain]), MASKS
    )
    yield Case(
        "made by DOS", build([Entry(e.name, e.content, system=0, attributes=0x20) for e in plain]), MASKS
    )
    dotted = [Entry(b"./", b"", method=0), *(Entry(b"./" + e.name, e.content) for e in plain)]
    yield Case("names with ./", build(dotted), MASKS)
    yield Case("names with .\\", build([Entry(b".\\" + e.name, e.content) for e in plain]), MASKS)
    for size in (1, 512, 10240 - 1, 1 << 20):
        yield Case(f"{size:,} zeros behind", build(plain) + bytes(size), MASKS)
    yield Case("zeros behind a comment", build(plain, comment=b"comment\0\0") + bytes(99), MASKS)
    yield from _valid_headers(plain)
    junk = [
        b"META-INF/",
        b"META-INF/MANIFEST.MF",
        b".directory",
        b"DESKTOP.INI",
        b"@eaDir/mask_1.h5/x",
        b"x/.DS_Store",
    ]
    yield Case("more junk", build([*(Entry(n, b"junk") for n in junk), *plain]), MASKS)
    empty_block = b"\x00\x00\x00\xff\xff"  # an empty stored block in front of the deflated data
    padded = [Entry(e.name, e.content, stored=empty_block + e.stored) for e in plain]
    yield Case("deflate with an empty block", build(padded), MASKS)


def _valid_headers(plain: list[Entry]) -> Iterator[Case]:
    """What headers of other archivers say differently, or leave out, without a byte being read differently."""

    def local(**fields: int) -> bytes:
        return build([Entry(e.name, e.content, local=fields) for e in plain])

    yield Case(
        "compression hints in the directory alone",
        build([Entry(e.name, e.content, flags=2, local={"flags": 0}) for e in plain]),
        MASKS,
    )
    for flags in (2, 4, 6, 8, 0x800, 0x808):
        yield Case(f"flags {flags:#x} in the local header alone", local(flags=flags), MASKS)
    yield Case("checksum left out in the local header", local(crc=0), MASKS)
    yield Case("sizes left out in the local header", local(crc=0, size=0, stored=0), MASKS)
    yield Case("sizes of all ones in the local header", local(size=0xFFFFFFFF, stored=0xFFFFFFFF), MASKS)
    for system in (7, 10, 11, 19):
        yield Case(
            f"made by system {system}", build([Entry(e.name, e.content, system=system) for e in plain]), MASKS
        )
    for kind, content in (
        (0x7075, b"\1" + bytes(4) + b"mask_1.h5"),
        (0xCAFE, b""),
        (0x000A, bytes(32)),
        (0xA11E, b"xx"),
    ):
        extra = struct.pack("<2H", kind, len(content)) + content
        yield Case(
            f"extra field {kind:#x}", build([Entry(e.name, e.content, extra=extra) for e in plain]), MASKS
        )


# --- HDF5 ----------------------------------------------------------------------------------------------------


def bad_hdf5(label: Path) -> Iterator[tuple[str, bytes, str]]:
    yield from _not_hdf5()
    yield from _outside(label)
    yield from _names()
    yield from _types()
    yield from _shapes()
    yield from _chunks()
    yield from _values()


def _not_hdf5() -> Iterator[tuple[str, bytes, str]]:
    good = mask_file(MASKS[1])
    saved = io.BytesIO()
    np.save(saved, MASKS[1])
    yield "no bytes", b"", "not_hdf5"
    yield "text", b"hello\n" * 999, "not_hdf5"
    yield "a NumPy file", saved.getvalue(), "not_hdf5"
    yield "a PNG", b"\x89PNG\r\n\x1a\n" + bytes(999), "not_hdf5"
    yield "512 bytes in front", bytes(512) + good, "user_block"
    for size in (512, 1024, 1 << 16):
        yield f"user block of {size}", with_user_block(size), "user_block"
    yield "signature at 513", bytes(513) + good, "not_hdf5"
    yield "signature alone", good[:8], "hdf5_damaged"
    for length in (9, 48, 96, 500, 1000, 1400, 2048, 10000, len(good) - 1):
        yield f"cut at {length}", good[:length], "hdf5_damaged"
    yield "superblock version 9", good[:8] + b"\x09" + good[9:], "hdf5_damaged"
    yield "zeros behind the signature", good[:8] + bytes(len(good) - 8), "hdf5_damaged"


def with_user_block(size: int) -> bytes:
    """A valid file behind `size` bytes, as MATLAB writes it."""
    made = io.BytesIO()
    with h5py.File(made, "w", userblock_size=size) as file:
        file["mask"] = MASKS[1]
    return made.getvalue()


def _outside(label: Path) -> Iterator[tuple[str, bytes, str]]:
    name, n = str(label).encode(), SIDE * SIDE

    def external(*parts: tuple[bytes, int, int]) -> bytes:
        return low_level(prepare=lambda p: [p.set_external(*part) for part in parts])

    yield "external storage", external((name, 2048, n)), "external_storage"
    yield "external storage, relative", external((label.name.encode(), 2048, n)), "external_storage"
    yield (
        "external storage, two files",
        external((name, 2048, n // 2), (b"/etc/passwd", 0, n // 2)),
        "external_storage",
    )
    yield (
        "external storage, a pipe",
        external((os.fsencode(label.with_name("pipe")), 0, n)),
        "external_storage",
    )
    yield "external storage, the environment", external((b"/proc/self/environ", 0, n)), "external_storage"

    def link(target: object) -> bytes:
        return hdf5(lambda f: f.__setitem__("mask", target))

    yield "external link", link(h5py.ExternalLink(str(label), "/mask")), "dataset_is_link"
    yield "external link, relative", link(h5py.ExternalLink(label.name, "/mask")), "dataset_is_link"
    yield "soft link to nothing", link(h5py.SoftLink("/nothing")), "dataset_is_link"
    yield "soft link to itself", link(h5py.SoftLink("/mask")), "dataset_is_link"

    def soft(file: h5py.File) -> None:
        file["data"] = MASKS[1]
        file["mask"] = h5py.SoftLink("/data")
        file["away"] = h5py.ExternalLink(str(label), "/mask")

    yield "soft link to a dataset", hdf5(soft), "dataset_is_link"

    def far(file: h5py.File) -> None:
        file["away"] = h5py.ExternalLink(str(label), "/mask")
        file["mask"] = h5py.SoftLink("/away")

    yield "soft link to an external link", hdf5(far), "dataset_is_link"
    yield from _virtual(label)


def _virtual(label: Path) -> Iterator[tuple[str, bytes, str]]:
    def virtual(source: str, shape: tuple, maxshape: tuple | None = None, count: int = SIDE) -> bytes:
        layout = h5py.VirtualLayout((SIDE, SIDE), np.uint8, maxshape=maxshape)
        layout[:count] = h5py.VirtualSource(source, "mask", shape)[:count]
        return hdf5(lambda f: f.create_virtual_dataset("mask", layout, fillvalue=1))

    square = (SIDE, SIDE)
    for name, source in (
        ("a label", str(label)),
        ("itself", "."),
        ("nothing", "/nowhere.h5"),
    ):
        yield f"virtual dataset on {name}", virtual(source, square), "virtual_dataset"

    def unlimited(file: h5py.File) -> None:
        properties = h5p.create(h5p.DATASET_CREATE)
        space = h5s.create_simple(square, (h5s.UNLIMITED, SIDE))
        source = h5s.create_simple((1, SIDE), (1, SIDE))
        space.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (1, 1), (1, SIDE))
        properties.set_virtual(space, b"/tmp/%b.h5", b"mask", source)
        space.select_all()
        h5d.create(file.id, b"mask", h5t.STD_U8LE, space, properties)

    yield "virtual dataset without end", hdf5(unlimited), "virtual_dataset"


def _names() -> Iterator[tuple[str, bytes, str]]:
    yield "no dataset", hdf5(lambda f: None), "dataset_missing"
    yield "another name", dataset(name="Mask"), "dataset_missing"
    yield "img", dataset(name="img"), "dataset_missing"
    yield "in a group", dataset(name="group/mask"), "dataset_missing"
    yield "many names", hdf5(lambda f: [f.create_group(f"{i}<script>") for i in range(50)]), "dataset_missing"
    yield "a group", hdf5(lambda f: f.create_group("mask")), "not_a_dataset"
    yield "a type", hdf5(lambda f: f.__setitem__("mask", np.dtype("u1"))), "not_a_dataset"
    yield "the root itself", hdf5(lambda f: f.__setitem__("mask", f["/"])), "not_a_dataset"


def _types() -> Iterator[tuple[str, bytes, str]]:
    m = MASKS[1]
    for kind in ("f2", "f4", "f8", ">f8", "c8", "S1", "S20"):
        yield f"type {kind}", dataset(m.astype(kind)), "wrong_type"
    nan = np.full((SIDE, SIDE), np.nan)
    yield "NaN", dataset(nan), "wrong_type"
    yield "strings", low_level(h5t.py_create(h5py.string_dtype(), logical=True)), "wrong_type"
    yield "compound", dataset(m.view([("a", "u1")])), "wrong_type"
    yield "opaque", dataset(m.view("V1")), "wrong_type"
    yield "arrays", low_level(h5t.array_create(h5t.STD_U8LE, (2,))), "wrong_type"
    yield "references", low_level(h5t.STD_REF_OBJ), "wrong_type"
    yield "other enumeration", dataset(m, dtype=h5py.enum_dtype({"NO": 0, "YES": 1}, "u1")), "wrong_type"
    yield "bits", low_level(h5t.STD_B8LE), "wrong_type"
    narrow = h5t.STD_U8LE.copy()
    narrow.set_precision(4)
    yield "four bits", low_level(narrow), "wrong_type"
    wide = h5t.STD_U8LE.copy()
    wide.set_size(3)
    wide.set_precision(24)
    yield "three bytes", low_level(wide), "wrong_type"


def _shapes() -> Iterator[tuple[str, bytes, str]]:
    for shape in (
        (128,),
        (16384,),
        (1, 128, 128),
        (128, 128, 1),
        (64, 256),
        (127, 128),
        (1, 1),
        (0, 0),
        (256, 256),
        (),
    ):
        yield f"shape {shape}", dataset(np.zeros(shape, np.uint8)), "wrong_shape"
    yield "no space", dataset(h5py.Empty("u1")), "wrong_shape"
    yield "four gigabytes, never written", low_level(shape=(65536, 65536)), "wrong_shape"
    yield "a terabyte, never written", low_level(shape=(1 << 40,)), "wrong_shape"
    yield "eight axes", dataset(np.zeros((1,) * 8, np.uint8)), "wrong_shape"


def _chunks() -> Iterator[tuple[str, bytes, str]]:
    deflated, full = (h5z.FILTER_DEFLATE, (6,)), MASKS[1].tobytes()
    square = (SIDE, SIDE)
    unlimited = (h5s.UNLIMITED, h5s.UNLIMITED)

    def file(raw: bytes, *filters: tuple[int, tuple[int, ...]], mask: int = 0) -> bytes:
        return low_level(prepare=chunked(square, *filters), fill=direct(((0, 0), raw), mask=mask))

    yield "short deflated chunk", file(zlib.compress(full[:100]), deflated), "hdf5_damaged"
    yield "long deflated chunk", file(zlib.compress(full + b"\0"), deflated), "hdf5_damaged"
    yield "deflate bomb", file(zlib.compress(bytes(64 << 20)), deflated), "hdf5_damaged"
    twice = zlib.compress(zlib.compress(bytes(64 << 20), 9), 9)
    yield "deflate bomb in a deflate bomb", file(twice, deflated, deflated), "unsupported_filter"
    yield "no deflate stream", file(b"\0" * 50, deflated), "hdf5_damaged"
    yield "cut deflate stream", file(zlib.compress(full)[:-9], deflated), "hdf5_damaged"
    yield "filter skipped", file(full, deflated, mask=1), "hdf5_damaged"
    yield "chunk of 10 bytes", _patched_chunk_size(10), "hdf5_damaged"
    yield "chunk of 2 GB", _patched_chunk_size(0x7FFFFFFF), "hdf5_damaged"
    yield "fletcher32", dataset(fletcher32=True), "unsupported_filter"
    yield "fletcher32 of 2 bytes", file(b"xx", (h5z.FILTER_FLETCHER32, ())), "unsupported_filter"
    yield "lzf", dataset(compression="lzf"), "unsupported_filter"
    yield "scale-offset", dataset(scaleoffset=1), "unsupported_filter"
    yield "n-bit", low_level(prepare=chunked(square, (h5z.FILTER_NBIT, ()))), "unsupported_filter"
    yield "unknown filter", file(b"xx", (32099, (1, 2))), "unsupported_filter"
    huge = low_level(prepare=chunked((30000, 30000), deflated), maximum=unlimited)
    yield "chunk of 900 MB", huge, "unsupported_storage"
    yield "2048 chunks", dataset(chunks=(2, 4)), "unsupported_storage"


def _patched_chunk_size(size: int) -> bytes:
    """An unfiltered chunk that states another size: the first key of its B-tree is changed."""
    content = bytearray(low_level(prepare=chunked((SIDE, SIDE)), fill=direct(((0, 0), MASKS[1].tobytes()))))
    key = struct.pack("<LL3Q", SIDE * SIDE, 0, 0, 0, 0)
    at = content.find(key, content.find(b"TREE\x01"))
    assert at > 0
    content[at : at + 4] = struct.pack("<L", size)
    return bytes(content)


def _values() -> Iterator[tuple[str, bytes, str]]:
    one = np.zeros((SIDE, SIDE))
    one[100, 100] = 1
    for kind, value in (
        ("u1", 255),
        ("u1", 2),
        ("i1", -1),
        ("u2", 257),
        ("u2", 256),
        ("i8", 2**32 + 1),
        (">u2", 256),
    ):
        yield (
            f"{value} as {kind}",
            dataset((one.astype(kind) * np.array(value).astype(kind)).astype(kind)),
            "wrong_values",
        )
    yield "255, gzip", dataset((one * 255).astype("u1"), compression="gzip"), "wrong_values"
    yield (
        "bool that is 2",
        low_level(
            h5t.py_create(np.dtype("?")),
            prepare=chunked((SIDE, SIDE)),
            fill=direct(((0, 0), b"\2" * SIDE * SIDE)),
        ),
        "wrong_values",
    )
    yield (
        "fill value 7",
        hdf5(lambda f: f.create_dataset("mask", (SIDE, SIDE), np.uint8, fillvalue=7)),
        "wrong_values",
    )


# --- ZIP -----------------------------------------------------------------------------------------------------


def bad_zip() -> Iterator[tuple[str, bytes, set[str]]]:
    yield from _no_zip()
    yield from _structure()
    yield from _file_names()
    yield from _lies()


def _no_zip() -> Iterator[tuple[str, bytes, set[str]]]:
    good = build(entries())
    yield "empty upload", b"", {"empty_file"}
    yield "text upload", b"hello", {"not_a_zip"}
    yield "zeros", bytes(1 << 16), {"not_a_zip"}
    for magic in (
        b"\x1f\x8b\x08",
        b"Rar!\x1a\x07",
        b"7z\xbc\xaf\x27\x1c",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"\x89PNG",
    ):
        yield f"upload begins with {magic!r}", magic + bytes(99), {"not_a_zip"}
    yield "a mask file itself", mask_file(MASKS[0]), {"not_a_zip"}
    yield "cut in the middle", good[: len(good) // 2], {"zip_damaged"}
    yield "last byte lost", good[:-1], {"zip_damaged"}
    yield "first byte lost", good[1:], {"zip_damaged"}
    yield "bytes behind", good + b"\0" * 512 + b"x", {"zip_damaged"}
    yield "an archive behind an archive", good + good[:-22] + bytes(22), {"zip_damaged"}
    yield "bytes in front", b"#!/bin/sh\n" + good, {"zip_damaged"}
    yield "end record alone", build([]), {"missing_file"}


def _structure() -> Iterator[tuple[str, bytes, set[str]]]:
    three = entries()
    yield "several disks", build(three, disk=1), {"zip_damaged"}
    yield "states more entries", build(three, count=4), {"zip_damaged"}
    yield "states fewer entries", build(three, count=2), {"zip_damaged"}
    yield "directory elsewhere", build(three, shift=7), {"zip_damaged"}
    yield "directory before the start", build(three, shift=1 << 31), {"zip_damaged"}
    yield "broken directory entry", build(three, signature=b"PK\x01\x00"), {"zip_damaged"}
    many = [Entry(b"%d" % i, b"", method=0) for i in range(60000)]
    yield "60,000 entries", build(many), {"too_many_entries"}
    fat = [Entry(e.name, e.content, comment=b"c" * 65535) for e in three * 20]
    yield "a fat directory", build(fat), {"too_many_entries"}
    zip64 = bytearray(build(three, zip64=True))
    at = zip64.rfind(b"PK\x06\x07")
    zip64[at + 8 : at + 16] = b"\xff" * 8
    yield "zip64 record elsewhere", bytes(zip64), {"zip_damaged"}
    bare = changed(size=0xFFFFFFFF)
    yield "zip64 size without its field", build(bare), {"zip_damaged"}
    content = mask_file(MASKS[1])
    twice = [three[0], Entry(b"mask_2.h5", content, offset=0, written=False), three[2]]
    yield "entry on another's bytes", build(twice), {"file_damaged"}
    yield "quoted overlap", _quoted_overlap(), {"overlapping_entries"}
    same = [Entry(b"mask_1.h5", content), Entry(b"mask_2.h5", content, offset=0, written=False), three[2]]
    same[1].local_name = b"mask_1.h5"
    yield "two names for the same bytes", build(same), {"file_damaged"}


def _quoted_overlap() -> bytes:
    """Each file quotes the next one's header in a stored block and shares its deflated data."""
    kernel = deflate(mask_file(MASKS[0]))
    names = [SPEC.name(i).encode() for i in range(3)]
    body, whole, files = kernel, mask_file(MASKS[0]), []
    for name in reversed(names):
        head = (
            struct.pack(
                "<4s3H4L2H", b"PK\x03\x04", 20, 0, 8, 0, zlib.crc32(whole), len(body), len(whole), 9, 0
            )
            + name
        )
        files.append((name, whole, len(body), zlib.crc32(whole), len(head) + len(body)))
        quote = b"\0" + struct.pack("<2H", len(head), len(head) ^ 0xFFFF)
        body, whole = quote + head + body, head + whole
    data = body[5:]
    listed = []
    for name, content, stored, crc, from_end in files:
        listed.append(
            Entry(
                name,
                content,
                stored=b"",
                crc=crc,
                stored_size=stored,
                offset=len(data) - from_end,
                written=False,
            )
        )
    listed[0].written = False
    return (
        build([Entry(b"x", written=False), *listed][1:], before=b"") if not data else _with_body(data, listed)
    )


def _with_body(data: bytes, listed: list[Entry]) -> bytes:
    """A directory behind hand-made bytes."""
    archive = build(listed)
    directory, end = archive[:-22], bytearray(archive[-22:])
    end[16:20] = struct.pack("<L", len(data))
    return data + directory + bytes(end)


def _file_names() -> Iterator[tuple[str, bytes, set[str]]]:
    three = entries()

    def renamed(change: Callable[[bytes], bytes], which: tuple[int, ...] = (0, 1, 2)) -> bytes:
        return build(
            [Entry(change(e.name) if i in which else e.name, e.content) for i, e in enumerate(three)]
        )

    second = (1,)
    both = {"unexpected_file", "missing_file"}
    yield "a folder", renamed(lambda n: b"predictions/" + n), {"folder_in_archive"}
    listed = [Entry(b"predictions/", b"", method=0)] + [
        Entry(b"predictions/" + e.name, e.content) for e in three
    ]
    yield "a folder with its own entry", build(listed), {"folder_in_archive"}
    yield "two folders deep", renamed(lambda n: b"a/b/" + n), {"folder_in_archive"}
    yield "an empty folder beside", build([*three, Entry(b"empty/", b"", method=0)]), {"folder_in_archive"}
    yield "one of them in a folder", renamed(lambda n: b"a/" + n, second), {"folder_in_archive"}
    yield "one of them in a folder of Windows", renamed(lambda n: b"a\\" + n, second), {"folder_in_archive"}
    yield "each in a folder of its own", renamed(lambda n: n[5:6] + b"/" + n), {"folder_in_archive"}
    copy = Entry(b"old/mask_2.h5", three[1].content)
    yield "a copy in a folder", build([*three, copy]), {"duplicate_file"}
    yield "twice by ./", build([*three, Entry(b"./mask_2.h5", three[1].content)]), {"duplicate_file"}
    in_folder = {"folder_in_archive", *both}
    yield "padded in a folder", renamed(lambda n: b"pred/mask_00" + n[5:]), in_folder
    for name in (
        b"../mask_2.h5",
        b"/mask_2.h5",
        b"..\\mask_2.h5",
        b"C:mask_2.h5",
        b"mask_2.h5\0.exe",
        b".././mask_2.h5",
        b"./../mask_2.h5",
        b"",
    ):
        yield f"name {name!r}", renamed(lambda n, name=name: name, second), {"unsafe_name", "missing_file"}
    yield "all climb out", renamed(lambda n: b"../" + n), {"unsafe_name", "missing_file"}
    odd = (
        "mask_\uff12.h5".encode(),
        b"\xff\xfe.h5",
        b"mask_02.h5",
        b"mask_+2.h5",
        b"MASK_2.H5",
        b"mask_2.hdf5",
        b"mask_2.h5 ",
    )
    for name in (*odd, b"mask_0.h5", b"mask_99999999999999999999.h5", b"<b>{{x}}%s.h5", b"x" * 5000):
        yield f"name {name[:20]!r}", renamed(lambda n, name=name: name, second), both
    invalid = changed(flags=0x800, name=b"\xc3\x28.h5")
    yield "UTF-8 that is none", build(invalid), both
    yield "twice", build([*three, three[1]]), {"duplicate_file"}
    yield "one missing", build(three[:2]), {"missing_file"}
    yield (
        "surplus masks",
        build([*three, *(Entry(b"mask_%d.h5" % i, b"") for i in range(4, 30))]),
        {"unexpected_file"},
    )
    yield "a readme", build([*three, Entry(b"README.txt", b"hi")]), {"unexpected_file"}
    zero_based = [Entry(b"mask_%d.h5" % i, e.content) for i, e in enumerate(three)]
    yield "numbered from 0", build(zero_based), both
    yield "images", build([Entry(b"mask_%d.png" % i, b"x") for i in range(30)]), both


def _lies() -> Iterator[tuple[str, bytes, set[str]]]:
    content = mask_file(MASKS[1])
    n = len(content)
    yield "encrypted", build(changed(flags=1)), {"encrypted_file"}
    yield "strongly encrypted", build(changed(flags=0x41)), {"encrypted_file"}
    for method in (1, 6, 9, 12, 14, 77, 93, 95, 98, 99):
        yield f"method {method}", build(changed(method=method)), {"compression_method"}
    yield (
        "symbolic link",
        build(changed(attributes=0o120777 << 16, content=b"/etc/passwd")),
        {"not_a_regular_file"},
    )
    yield "device", build(changed(attributes=0o020666 << 16)), {"not_a_regular_file"}
    yield "wrong check sum", build(changed(crc=1)), {"file_damaged"}
    yield "states less", build(changed(size=n - 1)), {"file_damaged"}
    yield "states more", build(changed(size=n + 1)), {"file_damaged"}
    yield (
        "states less, with the check sum of that",
        build(changed(size=99, crc=zlib.crc32(content[:99]))),
        {"file_damaged"},
    )
    yield "states 4 GB", build(changed(size=0xFFFFFFFE)), {"file_too_large"}
    yield "stored size of 4 GB", build(changed(stored_size=0xFFFFFFFE)), {"file_damaged"}
    bomb = deflate(bytes(300 << 20), 9)
    yield "bomb of 300 MB, told", build(changed(content=b"", stored=bomb, size=300 << 20)), {"file_too_large"}
    yield "bomb of 300 MB, told as a mask", build(changed(content=b"", stored=bomb, size=n)), {"file_damaged"}
    yield "no deflate stream", build(changed(stored=b"\xff" * 99)), {"file_damaged"}
    yield "deflate stream cut", build(changed(stored=deflate(content)[:-3])), {"file_damaged"}
    yield "bytes behind the deflate stream", build(changed(stored=deflate(content) + b"\0")), {"file_damaged"}
    yield "stored, but shorter than told", build(changed(method=0, stored=content[:99])), {"file_damaged"}
    yield "another name in the local header", build(changed(local_name=b"mask_3.h5")), {"file_damaged"}
    yield "another method in the local header", build(changed(local={"method": 0})), {"file_damaged"}
    yield "another size in the local header", build(changed(local={"size": 1})), {"file_damaged"}
    yield "another check sum in the local header", build(changed(local={"crc": 1})), {"file_damaged"}
    yield "offset behind the end", build(changed(offset=0x7FFFFFFF)), {"file_damaged"}
    yield "offset into data", build(changed(offset=50)), {"file_damaged"}
    several = changed(crc=1)
    several[0] = Entry(b"mask_1.h5", b"no HDF5")
    several[2] = Entry(b"mask_3.h5", dataset(np.zeros((2, 2), np.uint8)))
    yield (
        "several at once",
        build([*several, Entry(b"x.txt")]),
        {"file_damaged", "not_hdf5", "wrong_shape", "unexpected_file"},
    )


# --- all -----------------------------------------------------------------------------------------------------


def hostile(label: Path) -> Iterator[Case]:
    """Everything that has to be refused. `label` is a file that some of them point at."""
    for name, content, code in bad_hdf5(label):
        yield Case(f"HDF5: {name}", build(entries(content)), codes=frozenset({code}))
    for name, data, codes in bad_zip():
        yield Case(f"ZIP: {name}", data, codes=frozenset(codes))


def main() -> None:
    from evaluation.archive import mask_zip
    from evaluation.archive.problems import InvalidArchive

    with tempfile.TemporaryDirectory() as folder:
        label = Path(folder) / "label.h5"
        label.write_bytes(mask_file(MASKS[0]))
        cases = [*valid(), *hostile(label)]
        mask_zip.read(cases[0].data, SPEC)
        print("BEGIN", flush=True)
        for case in cases:
            for learn in (True, False):
                try:
                    mask_zip.read(case.data, SPEC, learn=learn)
                except InvalidArchive:
                    pass
        print("END", flush=True)


if __name__ == "__main__":
    sys.exit(main())
