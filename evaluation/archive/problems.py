"""What can be wrong with an archive: a closed table of codes, and the sentences a participant reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

MOST = 25
"""So many problems are told of one archive; the last of them then counts those left out."""

CODES = {
    # The archive as a whole
    "too_large": "The upload is larger than the phase allows.",
    "empty_file": "The upload has no bytes.",
    "not_a_zip": "The upload is not a ZIP archive.",
    "zip_damaged": "The ZIP archive is cut off, has bytes too many, or contradicts itself.",
    "too_many_entries": "The ZIP archive lists far more than the masks.",
    "overlapping_entries": "Two entries of the ZIP archive share bytes.",
    "folder_in_archive": "The masks lie in a folder inside the ZIP archive.",
    # The files in it
    "missing_file": "A mask of the phase is not in the archive.",
    "unexpected_file": "The archive holds a file that is no mask of the phase.",
    "unsafe_name": "A name in the archive could lead out of a folder or hide another name.",
    "duplicate_file": "A name occurs twice.",
    "not_a_regular_file": "An entry is a symbolic link or another special file.",
    "encrypted_file": "A file is protected by a password.",
    "compression_method": "A file is compressed in another way than deflate.",
    "file_too_large": "A file is larger than any mask can be.",
    "file_damaged": "A file's size, check sum or compressed bytes are not what the archive states.",
    # A mask file
    "not_hdf5": "A file is not an HDF5 file.",
    "hdf5_damaged": "An HDF5 file cannot be read.",
    "dataset_missing": "There is no dataset named mask.",
    "dataset_is_link": "The name mask is a soft or external link.",
    "not_a_dataset": "The name mask is a group or a type.",
    "virtual_dataset": "The mask is assembled from other datasets.",
    "external_storage": "The mask's pixels lie in another file.",
    "unsupported_storage": "The mask's pixels are stored in a way that is not read.",
    "unsupported_filter": "The mask is compressed with another filter than gzip.",
    "wrong_type": "The mask holds no integers.",
    "wrong_shape": "The mask has another shape than the phase's patches.",
    "wrong_values": "The mask holds values other than 0 and 1.",
    # The organiser's labels
    "no_positive_pixel": "A label set has no landslide pixel at all.",
    # The list itself
    "more_problems": "Counts the problems left out of the list.",
    # The server
    "unreadable": "The reader process did not survive the archive or ran into a limit.",
    "evaluation_crashed": "The evaluation failed three times; the fault is the server's.",
    "internal_error": "The server made a mistake; the fault is the server's.",
}
"""Every code and its meaning. Codes are never renamed; README.md shows the same table."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an archive.

    `file` is the entry's name, or empty where the archive as a whole is meant;
    `message` says what was found, what was expected, and the mend.
    """

    code: str
    file: str
    message: str

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code!r} is not in the table of problem codes.")

    def as_dict(self) -> dict[str, str]:
        return {"code": self.code, "file": self.file, "message": self.message}

    def __str__(self) -> str:
        return f"{self.file}: {self.message}" if self.file else self.message


class InvalidArchive(Exception):
    """The archive cannot be scored; `problems` says why (at most MOST of them, at least one)."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = capped(list(problems))
        super().__init__("\n".join(map(str, self.problems)))


def capped(problems: list[Problem]) -> list[Problem]:
    """At most MOST problems in their order, each kind represented, the last counting those left out."""
    if len(problems) <= MOST:
        return problems
    first_of_kind = list({p.code: i for i, p in reversed(list(enumerate(problems)))}.values())
    others = sorted(set(range(len(problems))) - set(first_of_kind))
    room = MOST - 1
    shown = sorted((sorted(first_of_kind) + others)[:room])
    left = Counter(problems[i].code for i in set(range(len(problems))) - set(shown))
    kinds = ", ".join(f"{code} {n}" for code, n in sorted(left.items()))
    total = left.total()
    rest = Problem(
        "more_problems",
        "",
        f"{total} more {'problem is' if total == 1 else 'problems are'} not shown: {kinds}.",
    )
    return [problems[i] for i in shown] + [rest]


def printable(name: str | bytes, longest: int = 80) -> str:
    """A stranger's name as plain ASCII without characters that mean something to a page or a terminal."""
    text = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    text = "".join(c if c.isprintable() and c not in "<>&\"'{}%`" else "?" for c in text)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def too_large(size: int, limit: int) -> Problem:
    """The upload of `size` bytes is over the `limit`."""
    return Problem(
        "too_large",
        "",
        f"The archive has {size:,} bytes, the limit is {limit:,}. "
        "Write the masks as uint8 and compress the ZIP (800 such masks need less than 1 MB).",
    )


def empty_file() -> Problem:
    return Problem("empty_file", "", "The file is empty. Upload the ZIP archive of your masks.")


def unreadable(last_file: str = "") -> Problem:
    """The reader process died, hung or grew too large, while it read `last_file` if that is known."""
    return Problem(
        "unreadable",
        last_file,
        "The archive could not be read safely: reading it failed or went over the limits of time and memory. "
        'Write every mask with h5py\'s defaults, create_dataset("mask", data=mask), zip the files anew, and try again.',
    )


def evaluation_crashed() -> Problem:
    return Problem(
        "evaluation_crashed",
        "",
        "The evaluation failed three times through no fault of yours. Nothing was taken from your quota; "
        "the organisers have been told.",
    )


def internal_error() -> Problem:
    return Problem(
        "internal_error",
        "",
        "The server made a mistake. Nothing was taken from your quota; please try again later.",
    )
