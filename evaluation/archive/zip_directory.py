"""The directory of a ZIP archive in memory, read with every bound checked.

Written from PKWARE's APPNOTE 6.3.10. It exists because zipfile believes what an archive says of itself: it
lists a million entries before anyone can object, takes overlapping entries (CPython gh-109858), cuts names
at a NUL and reads what lies before or behind the archive. Only one disk, stored or deflated, no passwords.
"""

from __future__ import annotations

import stat
import struct
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from evaluation.archive.layout import InvalidMask
from evaluation.archive.problems import InvalidArchive, Problem, printable

STORED, DEFLATED = 0, 8

_CENTRAL = np.dtype(
    [
        ("signature", "<u4"),
        ("made_by_version", "u1"),
        ("made_by_system", "u1"),
        ("needs_version", "<u2"),
        ("flags", "<u2"),
        ("method", "<u2"),
        ("time", "<u4"),
        ("crc", "<u4"),
        ("stored", "<u4"),
        ("size", "<u4"),
        ("name", "<u2"),
        ("extra", "<u2"),
        ("comment", "<u2"),
        ("disk", "<u2"),
        ("internal", "<u2"),
        ("attributes", "<u4"),
        ("offset", "<u4"),
    ]
)
_LOCAL = np.dtype(
    [
        ("signature", "<u4"),
        ("needs_version", "<u2"),
        ("flags", "<u2"),
        ("method", "<u2"),
        ("time", "<u4"),
        ("crc", "<u4"),
        ("stored", "<u4"),
        ("size", "<u4"),
        ("name", "<u2"),
        ("extra", "<u2"),
    ]
)
_CENTRAL_SIGNATURE, _LOCAL_SIGNATURE = 0x02014B50, 0x04034B50
_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LENGTHS = struct.Struct("<3H")
_ENCRYPTED, _STRONG_ENCRYPTION, _MASKED_HEADER = 1 << 0, 1 << 6, 1 << 13
_ASK64 = 0xFFFFFFFF
_UNIX, _MACOS = 3, 19  # systems whose attributes hold the kind of file

OTHER_FORMATS = {
    b"\x1f\x8b": "a gzip file",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\x89HDF": "an HDF5 file",
    b"\xfd7zXZ": "an xz file",
    b"BZh": "a bzip2 file",
    b"\x93NUMPY": "a NumPy file",
    b"\x89PNG": "a PNG image",
    b"II*\x00": "a TIFF image",
}


class Directory(NamedTuple):
    """The entries of an archive, in its order, one list for each field; few objects, since a fork pays for each.

    The stored bytes of entry i are data[starts[i]:stops[i]]. `faults` says of some entries what is wrong with
    them, by the entry's number.
    """

    names: list[bytes]
    starts: list[int]
    stops: list[int]
    methods: list[int]
    crcs: list[int]
    sizes: list[int]
    faults: dict[int, InvalidMask]


def _refuse(key: str, file: bytes = b"", **values: object) -> NoReturn:
    raise InvalidArchive([Problem.of(key, file, **values)])


def read_directory(data: memoryview, most_entries: int) -> Directory:
    """The directory of the ZIP archive `data`.

    Raises InvalidArchive where the archive contradicts itself as a whole, or lists more than `most_entries`.
    """
    entries, start, size = _find(data)
    if entries > most_entries or size > most_entries * 512:
        _refuse("too_many_entries", entries=entries, size=size, most=most_entries)
    names, central, extras = _walk(bytes(data[start : start + size]), entries)
    stored, full, offset = (central[field].astype(np.int64) for field in ("stored", "size", "offset"))
    for i in np.flatnonzero((stored == _ASK64) | (full == _ASK64) | (offset == _ASK64)).tolist():
        full[i], stored[i], offset[i] = _sizes64(extras.get(i, b""), full[i], stored[i], offset[i], names[i])
    faults = _central_faults(central)
    begin = _check_local(data, start, names, central, stored, full, offset, faults)
    columns = (begin, begin + stored, central["method"], central["crc"], full)
    starts, stops, methods, crcs, sizes = (column.tolist() for column in columns)
    return Directory(names, starts, stops, methods, crcs, sizes, faults)


def _find(data: memoryview) -> tuple[int, int, int]:
    """(entries, start, size in bytes) of the directory, from the record at the archive's end."""
    head = bytes(data[:8])
    content = _without_padding(data)
    tail_start = max(0, content - _END.size - 0xFFFF)
    tail = bytes(data[tail_start : content + _END.size])  # the record itself may end in zeros
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < _END.size:
        for magic, kind in OTHER_FORMATS.items():
            if head.startswith(magic):
                _refuse("not_a_zip.other", kind=kind)
        if head.startswith(b"PK\x03\x04"):
            _refuse("zip_damaged.cut")
        _refuse("not_a_zip")
    _, disk, first_disk, here, entries, size, start, comment = _END.unpack_from(tail, at)
    if not content <= tail_start + at + _END.size + comment <= len(data):
        _refuse("zip_damaged.behind")
    end = tail_start + at
    locator = end - _END64_LOCATOR.size
    if locator >= 0 and data[locator : locator + 4] == b"PK\x06\x07":
        disk, first_disk, here, entries, size, start, end = _find64(data, locator)
    if disk or first_disk or here != entries:
        _refuse("zip_damaged.part")
    if start + size != end:
        _refuse("zip_damaged.shifted", expected=start + size, found=end)
    return entries, start, size


def _without_padding(data: memoryview) -> int:
    """Where the zeros begin with which tape formats and pipes fill up their last block; len(data) without any."""
    end = len(data)
    while end:
        block = bytes(data[max(0, end - (64 << 10)) : end])
        kept = len(block.rstrip(b"\0"))
        end -= len(block) - kept
        if kept:
            break
    return end


def _find64(data: memoryview, locator: int) -> tuple[int, int, int, int, int, int, int]:
    """The same fields from the zip64 record, and where that record begins."""
    _, disk, at, disks = _END64_LOCATOR.unpack_from(data, locator)
    if at + _END64.size > locator or data[at : at + 4] != b"PK\x06\x06" or disk or disks > 1:
        _refuse("zip_damaged.zip64")
    _, length, _, _, disk, first_disk, here, entries, size, start = _END64.unpack_from(data, at)
    if at + 12 + length != locator:
        _refuse("zip_damaged.zip64")
    return disk, first_disk, here, entries, size, start, at


def _walk(directory: bytes, entries: int) -> tuple[list[bytes], npt.NDArray[np.void], dict[int, bytes]]:
    """Names, fixed fields and extra fields (of entries that have any) of a directory."""
    names, positions, extras = [], [], {}
    position = 0
    try:
        for i in range(entries):
            name, extra, comment = _LENGTHS.unpack_from(directory, position + 28)
            name_end = position + 46 + name
            names.append(directory[position + 46 : name_end])
            if extra:
                extras[i] = directory[name_end : name_end + extra]
            positions.append(position)
            position = name_end + extra + comment
    except struct.error:
        position = -1
    if position != len(directory):
        _refuse("zip_damaged.count", entries=entries)
    central = _gather(directory, np.array(positions, np.int64), _CENTRAL)
    if (central["signature"] != _CENTRAL_SIGNATURE).any():
        _refuse("zip_damaged.directory")
    return names, central, extras


def _gather(data: bytes | memoryview, at: npt.NDArray[np.int64], record: np.dtype) -> npt.NDArray[np.void]:
    """The records that begin at these bytes; each has to lie wholly inside."""
    anywhere = np.ndarray((max(0, len(data) - record.itemsize + 1),), record, data, strides=(1,))
    return anywhere[at]


def _sizes64(extra: bytes, size: int, stored: int, offset: int, name: bytes) -> list[int]:
    """Size, stored size and offset of an entry, each taken from its zip64 field where it is marked so."""
    values = [int(size), int(stored), int(offset)]
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        position += 4
        if kind == 1 and position + length <= len(extra):
            wanted = [i for i, value in enumerate(values) if value == _ASK64]
            if length >= 8 * len(wanted):
                for i, value in zip(
                    wanted, struct.unpack_from(f"<{len(wanted)}Q", extra, position), strict=True
                ):
                    values[i] = min(value, 1 << 60)
                return values
        position += length
    _refuse("zip_damaged.size", name)


def _central_faults(central: npt.NDArray[np.void]) -> dict[int, InvalidMask]:
    """Entries that are not plain files, stored or deflated without a password."""
    faults: dict[int, InvalidMask] = {}
    kind = (central["attributes"] >> 16) & 0o170000
    system = central["made_by_system"]
    special = (
        ((system == _UNIX) | (system == _MACOS))
        & (kind != 0)
        & (kind != stat.S_IFREG)
        & (kind != stat.S_IFDIR)
    )
    for i in np.flatnonzero(special).tolist():
        faults[i] = InvalidMask("not_a_regular_file")
    for i in np.flatnonzero((central["method"] != STORED) & (central["method"] != DEFLATED)).tolist():
        faults[i] = InvalidMask("compression_method", method=str(central["method"][i]))
    faults.update(_encrypted(central["flags"]))
    return faults


def _encrypted(flags: npt.NDArray[np.uint16]) -> dict[int, InvalidMask]:
    secret = flags & (_ENCRYPTED | _STRONG_ENCRYPTION | _MASKED_HEADER)
    return dict.fromkeys(np.flatnonzero(secret).tolist(), InvalidMask("encrypted_file"))


def _check_local(
    data: memoryview,
    limit: int,
    names: list[bytes],
    central: npt.NDArray[np.void],
    stored: npt.NDArray[np.int64],
    full: npt.NDArray[np.int64],
    offset: npt.NDArray[np.int64],
    faults: dict[int, InvalidMask],
) -> npt.NDArray[np.int64]:
    """Where each entry's bytes begin, from the header in front of them, which must not contradict the directory.

    Name and method have to be the same. Checksum and sizes may be left out there (0, or all ones), since some
    archivers write the header before they know them; hints in the flags, versions and times are not compared: none
    changes the bytes that are read, which have to match the directory's checksum in any case.
    `limit` is where the directory starts: all entries end before it, and no two share a byte.
    """
    inside = offset + _LOCAL.itemsize <= limit
    at = np.where(inside, offset, 0)
    if limit < _LOCAL.itemsize:
        at, inside = at[:0], inside[:0]
        if len(names):
            _refuse("zip_damaged.short")
    local = _gather(data, at, _LOCAL)
    begin = at + _LOCAL.itemsize + local["name"] + local["extra"]
    agree = inside & (local["signature"] == _LOCAL_SIGNATURE) & (begin + stored <= limit)
    for field in ("method", "name"):
        agree &= local[field] == central[field]
    for field, value in (("crc", central["crc"]), ("stored", stored), ("size", full)):
        agree &= (local[field] == value) | (local[field] == 0) | (local[field] == _ASK64)
    for length in set(central["name"][agree].tolist()) - {0}:
        which = np.flatnonzero(agree & (central["name"] == length))
        here = _gather(data, at[which] + _LOCAL.itemsize, np.dtype((np.void, length)))
        agree[which] &= here == np.frombuffer(b"".join([names[i] for i in which.tolist()]), here.dtype)
    for i, fault in _encrypted(np.where(agree, local["flags"], 0)).items():
        faults.setdefault(i, fault)
    for i in np.flatnonzero(~agree).tolist():
        faults.setdefault(i, InvalidMask("file_damaged.header"))
    _check_overlap(names, at[agree], (begin + stored)[agree], np.flatnonzero(agree))
    return begin


def _check_overlap(
    names: list[bytes], begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64], which: npt.NDArray[np.int64]
) -> None:
    order = np.argsort(begin, kind="stable")
    clash = np.flatnonzero(end[order][:-1] > begin[order][1:])
    if len(clash):
        first, second = (names[which[order[clash[0] + k]]] for k in (0, 1))
        _refuse("overlapping_entries", second, other=printable(first))
