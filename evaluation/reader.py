"""The reader of strangers' archives."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import BinaryIO

from evaluation import archive
from evaluation.counts import Packed
from evaluation.spec import MaskSpec


class Reader:
    """Reads archives; safe to keep for the life of a worker."""

    def read(self, file: BinaryIO | str | PathLike[str] | bytes, spec: MaskSpec) -> Packed:
        """Packed masks of an archive (an open binary file, a path or bytes). Raises InvalidArchive."""
        if isinstance(file, bytes):
            data = file
        elif isinstance(file, str | PathLike):
            data = Path(file).read_bytes()
        else:
            data = file.read()
        return archive.read(data, spec)

    def close(self) -> None:
        """End the process; `read` starts another."""

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
