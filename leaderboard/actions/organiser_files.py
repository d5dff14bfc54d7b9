"""Labels and images that organisers send: read by a confined process, refused in sentences."""

from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

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
    """A problem of an archive of labels in words for whoever made them."""
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
