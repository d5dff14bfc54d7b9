"""What reader and worker say to each other: fixed structs over a socket, and shared memory for the answer."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from evaluation.task import MaskSpec

TRIAL_SPEC = MaskSpec(2)

PARTS = struct.Struct("<I")
"""In front of each part of the greeting: its bytes. The worker sends head and tail of the official file for
TRIAL_SPEC and two archives of its own making; the reader process answers with its guards as JSON."""
REQUEST = struct.Struct("<7Q2d")
"""A Request; head and tail of the official file follow, the open archive and the shared memory travel beside it."""
ANSWER = struct.Struct("<i?dQ")
"""Wait status of the child, whether it was killed from outside, CPU seconds of child and reader process, peak memory of the child in bytes."""
HEADER = struct.Struct("<3I")
"""In front of the shared memory: state, index of the mask being read, bytes of the problems as JSON."""
UNFINISHED, MASKS, PROBLEMS, UNEXPLAINED, DONE, REFUSED = 0, 1, 2, 3, 4, 5
JOB = struct.Struct("<16s3Q2dI")
"""A job for evaluation.sandbox.files_process: name, bytes of the file, of the answer and of memory, seconds of processor
and wall clock, bytes of the JSON that follows. The file and the memory for the answer travel beside it."""
TOML_TIME = "\0time"
"""The only key of the table that stands for a time of a TOML document in JSON, which has none."""
MASKS_AT = 64 << 10
"""Packed masks begin here in the shared memory, problems lie between HEADER and here."""


class Request(NamedTuple):
    patches: int
    height: int
    width: int
    head_bytes: int
    tail_bytes: int
    archive_bytes: int
    memory_bytes: int
    cpu_s: float
    wall_s: float


def result_bytes(patches: int, row_bytes: int) -> int:
    """Size of the shared memory for an answer."""
    return MASKS_AT + patches * row_bytes


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes. Raises EOFError if the other side closes earlier."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError("the other side ended")
        data += part
    return data


def send_part(connection: socket.socket, part: bytes) -> None:
    connection.sendall(PARTS.pack(len(part)) + part)


def receive_part(connection: socket.socket) -> bytes:
    return receive(connection, *PARTS.unpack(receive(connection, PARTS.size)))


def join(parts: Sequence[bytes]) -> bytes:
    """Parts behind their lengths, for `split`."""
    return b"".join(PARTS.pack(len(part)) + part for part in parts)


def split(joined: bytes) -> list[bytes]:
    """The parts that `join` put together. Raises ValueError for anything else."""
    parts, at = [], 0
    while at + PARTS.size <= len(joined):
        (length,) = PARTS.unpack_from(joined, at)
        at += PARTS.size
        parts.append(joined[at : at + length])
        at += length
    if at != len(joined):
        raise ValueError("a part is cut off")
    return parts
