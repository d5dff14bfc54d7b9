"""How much of a file is taken: the one home of the bounds on count, pixels, bytes and time.

They hold for every file that a process with secrets lets a confined child read. Bounds on a submission follow from its
phase's labels (evaluation.task.MaskSpec), and so from these.
"""

from __future__ import annotations

MIB = 1 << 20

CPU_S, WALL_S = 20.0, 60.0
"""Seconds for one file: of processor time, and in all."""
MEMORY_BYTES = 256 * MIB
"""What a child may take beyond the file and its answer."""

# Labels
MASKS = 20_000
MASK_PIXELS = 1 << 24
"""Of one mask: 4096 × 4096."""
PIXELS = 1 << 28
"""Of all masks together: 32 MiB packed. 800 masks of 512 × 512 are within it."""
LABEL_BYTES = 512 * MIB

# Public images of patches, each a file
IMAGE_BYTES_A_VALUE = 8
IMAGE_OVERHEAD = 1 * MIB

# ZIP archives of files: exports of competitions, files of a set-up
ENTRIES = 50_000
NAME_CHARACTERS = 200
MEMBER_BYTES = 1024 * MIB
INFLATED_BYTES = 8 * 1024 * MIB
"""Of all compressed members together."""

# Texts: competition files, sites
TEXT_BYTES = 1 * MIB
LINE_DOTS = 1_000
"""Of one line of TOML: tomllib keeps each beginning of a dotted key, so that a key with 130,000 dots takes 16 GB."""

# JSON of an export
LINES = 2_000_000
"""Of one table."""
LINE_BYTES = 32 * MIB
"""Of one document."""
LINE_VALUES = 300_000
"""Of one document; each may become a Python object."""


def json_values(text: bytes) -> int:
    """At least as many as the values that JSON holds."""
    return 1 + text.count(b",") + text.count(b"[") + text.count(b"{")
