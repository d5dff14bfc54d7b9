"""How much memory an act of this process takes at its peak, as the kernel counts it (Linux)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

_STATUS, _FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Used:
    """`peak`: bytes beyond what was held before."""

    peak: int = 0


@contextmanager
def memory() -> Iterator[Used]:
    """Measure the growth of the peak of resident memory within; without children, which have limits of their own."""
    if sys.platform != "linux":
        pytest.skip("the peak of memory is read from Linux's /proc")
    used = Used()
    _FORGET.write_text("5")
    before = _peak()
    try:
        yield used
    finally:
        used.peak = _peak() - before


def _peak() -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
