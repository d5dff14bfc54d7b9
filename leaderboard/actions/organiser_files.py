"""Labels and images that organisers send: read by a confined process, refused in sentences."""

from os import PathLike
from pathlib import Path
from typing import BinaryIO

from evaluation.archive.problems import InvalidArchive
from evaluation.sandbox.files import FileRefused
from evaluation.scoring.counts import Packed
from evaluation.task import MaskSpec
from leaderboard.scoring.confined import CannotRead, file_reader

from .refusals import InvalidInput


class FileInvalid(InvalidInput):
    """A file that cannot be used; `problems` are the sentences that say why."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def labels_of(
    source: str | PathLike[str] | BinaryIO | bytes, spec: MaskSpec | None = None
) -> tuple[Packed, MaskSpec]:
    """Bit-packed masks and what they are, from a folder, an archive's path, open file or bytes; without ``spec`` the files
    say how many and how large. Raises FileInvalid and OSError."""
    try:
        with file_reader() as reader:
            return reader.labels(source, spec)
    except InvalidArchive as invalid:
        raise FileInvalid([str(problem) for problem in invalid.problems]) from invalid
    except CannotRead as error:
        raise FileInvalid([str(error)]) from error


def images_of(folder: Path, spec: MaskSpec) -> dict[str, list[bytes]]:
    """PNG files of the images in a folder, in order, by kind. Raises FileInvalid and OSError."""
    try:
        with file_reader() as reader:
            return reader.images(folder, spec)
    except (FileRefused, CannotRead) as error:
        raise FileInvalid([str(error)]) from error


def unpack(archive: BinaryIO, folder: Path) -> list[Path]:
    """Write the files of a ZIP archive into an empty folder; returns their paths. Raises FileInvalid and OSError."""
    try:
        with file_reader() as reader:
            return reader.unpack(archive, folder)
    except (FileRefused, CannotRead) as error:
        raise FileInvalid([str(error)]) from error
