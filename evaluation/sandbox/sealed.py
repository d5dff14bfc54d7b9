"""Files without a name in memory: sealed, so that neither their size nor what was written can change."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from typing import BinaryIO

CHUNK = 1 << 20


class Sealed:
    """A copy of a file in memory that nobody can change, its size in bytes and its SHA-256. Close it after use."""

    def __init__(self, fd: int, size: int, sha256: str) -> None:
        self.fd, self.size, self.sha256 = fd, size, sha256

    def __enter__(self) -> Sealed:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.fd)


def seal(file: BinaryIO) -> Sealed:
    """Copy an open file from its start, hashed on the way. Raises OSError."""
    fd = _unnamed()
    try:
        digest, size = hashlib.sha256(), 0
        file.seek(0)
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            _write(fd, chunk)
            size += len(chunk)
        _fix(fd, content=True)
    except BaseException:
        os.close(fd)
        raise
    return Sealed(fd, size, digest.hexdigest())


def room(size: int) -> int:
    """A descriptor of so many bytes, zeros at first, that keep their number but can be written."""
    fd = _unnamed()
    os.ftruncate(fd, size)
    _fix(fd, content=False)
    return fd


def holding(content: bytes) -> int:
    """A descriptor of a file with this content."""
    fd = _unnamed()
    _write(fd, content)
    _fix(fd, content=True)
    return fd


def _unnamed() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("evaluation", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:  # other systems than Linux
        return os.dup(file.fileno())


def _write(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def _fix(fd: int, *, content: bool) -> None:
    if hasattr(os, "memfd_create"):
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals | (fcntl.F_SEAL_WRITE if content else 0))
