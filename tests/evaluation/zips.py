"""ZIP archives byte by byte, so that each field can lie."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field


def deflate(data: bytes, level: int = 6) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush()


@dataclass
class Entry:
    """A file of an archive; what is None is told truthfully."""

    name: bytes
    content: bytes = b""
    method: int = 8
    stored: bytes | None = None  # the bytes in the archive
    crc: int | None = None
    size: int | None = None
    stored_size: int | None = None
    flags: int = 0
    attributes: int = 0
    system: int = 3
    extra: bytes = b""
    comment: bytes = b""
    offset: int | None = None  # where the directory says that it lies
    local_name: bytes | None = None
    local: dict[str, int] = field(default_factory=dict)
    follow: bytes = b""  # after the stored bytes: a data descriptor
    written: bool = True  # False: in the directory only

    def __post_init__(self) -> None:
        if self.stored is None:
            self.stored = deflate(self.content) if self.method == 8 else self.content
        self.crc = zlib.crc32(self.content) if self.crc is None else self.crc
        self.size = len(self.content) if self.size is None else self.size
        self.stored_size = len(self.stored) if self.stored_size is None else self.stored_size


def build(
    entries: list[Entry],
    *,
    before: bytes = b"",
    after: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    disk: int = 0,
    shift: int = 0,
    zip64: bool = False,
    signature: bytes = b"PK\x01\x02",
) -> bytes:
    """The archive; `shift` is added to where the directory is said to begin."""
    out = bytearray(before)
    directory = bytearray()
    for e in entries:
        start = len(out) - len(before)
        name = e.name if e.local_name is None else e.local_name
        if e.written:
            crc, stored, size = (
                e.local.get(key, true)
                for key, true in (("crc", e.crc), ("stored", e.stored_size), ("size", e.size))
            )
            method, flags = e.local.get("method", e.method), e.local.get("flags", e.flags)
            head = (b"PK\x03\x04", 20, flags, method, 0, crc, stored, size, len(name), len(e.extra))
            out += struct.pack("<4s3H4L2H", *head) + name + e.extra + e.stored + e.follow
        offset = start if e.offset is None else e.offset
        stored, size, extra = e.stored_size, e.size, e.extra
        if zip64:
            extra = struct.pack("<2H3Q", 1, 24, size, stored, offset) + extra
            stored = size = offset = 0xFFFFFFFF
        directory += _central(signature, e, stored, size, len(extra), offset)
        directory += e.name + extra + e.comment
    begin = len(out) - len(before) + shift
    count = len(entries) if count is None else count
    out += directory
    if zip64:
        at = len(out) - len(before)
        out += struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), begin)
        out += struct.pack("<4sLQL", b"PK\x06\x07", 0, at, 1)
        count, size, begin = 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
    else:
        size = len(directory)
    out += struct.pack("<4s4H2LH", b"PK\x05\x06", disk, disk, count, count, size, begin, len(comment))
    return bytes(out) + comment + after


def _central(signature: bytes, e: Entry, stored: int, size: int, extra: int, offset: int) -> bytes:
    first = struct.pack("<4s2B5HL", signature, 45, e.system, 20, e.flags, e.method, 0, 0, e.crc)
    sizes = struct.pack("<2L3H", stored, size, len(e.name), extra, len(e.comment))
    return first + sizes + struct.pack("<2H2L", 0, 0, e.attributes, offset)
