"""What reader and worker say to each other: fixed structs over a socket, and shared memory for the answer."""

from __future__ import annotations

import struct
from typing import NamedTuple

REQUEST = struct.Struct("<5Q2d")
"""A Request; the open archive and the shared memory travel beside it."""
ANSWER = struct.Struct("<idQ")
"""Wait status of the child, CPU seconds of child and reader process, peak memory of the child in bytes."""
HEADER = struct.Struct("<3I")
"""In front of the shared memory: state, index of the mask being read, bytes of the problems as JSON."""
UNFINISHED, MASKS, PROBLEMS = 0, 1, 2
MASKS_AT = 64 << 10
"""Packed masks begin here in the shared memory, problems lie between HEADER and here."""


class Request(NamedTuple):
    patches: int
    height: int
    width: int
    archive_bytes: int
    memory_bytes: int
    cpu_s: float
    wall_s: float


def result_bytes(patches: int, row_bytes: int) -> int:
    """Size of the shared memory for an answer."""
    return MASKS_AT + patches * row_bytes
