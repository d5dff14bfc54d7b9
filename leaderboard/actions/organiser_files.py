"""Labels and images that organisers send: read by a confined process, refused in sentences."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any, BinaryIO

from django.conf import settings

from evaluation.archive.problems import InvalidArchive, Problem
from evaluation.sandbox.files import FileRefused
from evaluation.scoring.counts import Packed
from evaluation.task import TASK, MaskSpec
from leaderboard.scoring.confined import CannotRead, file_reader

from .refusals import InvalidInput

NAMES = f"Name the labels {TASK.mask_name(1)}, {TASK.mask_name(2)} and so on, one for each patch and without a gap"
TO_ORGANISERS = {
    "missing_file": f"There is no label of this name. {NAMES}.",
    "unexpected_file": f"This name is not a label's. {NAMES}, and put nothing else into the ZIP archive.",
}
"""What an organiser reads where the sentence for participants speaks of predictions and of the phase's patches."""


def for_organisers(problem: Problem) -> str:
    """A problem of an archive of labels in words for the person who made them."""
    sentence = TO_ORGANISERS.get(problem.code, problem.message)
    return f"{problem.where}: {sentence}" if problem.file else sentence


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
        raise FileInvalid([for_organisers(problem) for problem in invalid.problems]) from invalid
    except CannotRead as error:
        raise FileInvalid([str(error)]) from error


def images_of(folder: Path, spec: MaskSpec) -> dict[str, list[bytes]]:
    """PNG files of the images in a folder, in order, by kind. Raises FileInvalid and OSError."""
    try:
        with file_reader() as reader:
            return reader.images(folder, spec)
    except (FileRefused, CannotRead) as error:
        raise FileInvalid([str(error)]) from error


def images_in(archive: BinaryIO, spec: MaskSpec) -> dict[str, list[bytes]]:
    """The same of a ZIP archive with the images at its top or in one folder. Raises FileInvalid and OSError."""
    with unpacked(archive) as (_, paths):
        folder = next((path.parent for path in paths if path.name == TASK.image_name(1)), None)
        if folder is None:
            raise FileInvalid([f"The ZIP has no {TASK.image_name(1)}. Name the images {TASK.image_name(1)}, "
                               f"{TASK.image_name(2)} and so on, one for each patch."])  # fmt: skip
        try:
            return images_of(folder, spec)
        except FileInvalid as invalid:
            problems = [problem.replace(f"{folder}/", "") for problem in invalid.problems]
            raise FileInvalid(problems) from invalid


@contextmanager
def unpacked(content: BinaryIO) -> Iterator[tuple[Path, list[Path]]]:
    """A folder with the files of an uploaded ZIP archive, and their paths, until the block ends. Raises FileInvalid and OSError."""
    with TemporaryDirectory(dir=settings.DATA_DIR, prefix="bundle-") as name, TemporaryFile() as copy:
        shutil.copyfileobj(content, copy)
        copy.flush()  # the reader sees the file, not this buffer
        yield Path(name), unpack(copy, Path(name))


def unpack(archive: BinaryIO, folder: Path) -> list[Path]:
    """Write the files of a ZIP archive into an empty folder; returns their paths. Raises FileInvalid and OSError."""
    try:
        with file_reader() as reader:
            return reader.unpack(archive, folder)
    except (FileRefused, CannotRead) as error:
        raise FileInvalid([str(error)]) from error


def document_of(content: bytes) -> dict[str, Any]:
    """The document of a TOML text. Raises FileInvalid."""
    try:
        with file_reader() as reader:
            return reader.toml(content)
    except (FileRefused, CannotRead) as error:
        raise FileInvalid([str(error)]) from error
