"""What can be wrong with an archive: a closed table of codes. The sentences are in evaluation.archive.sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from evaluation.archive.sentences import code_of, sentence
from evaluation.task import TASK

MOST = 25
"""At most this many problems are listed; the last of them then counts those left out."""
MOST_NAMED = 20
"""A problem of many files names at most this many of them."""
_IN_A_LINE = 3

CODES = {
    # The archive as a whole
    "too_large": "The upload is larger than the phase allows.",
    "empty_file": "The upload has no bytes.",
    "not_a_zip": "The upload is not a ZIP archive.",
    "zip_damaged": "The ZIP archive is cut off, has extra bytes, or contradicts itself.",
    "too_many_entries": "The ZIP archive lists far more entries than the masks.",
    "overlapping_entries": "Two entries of the ZIP archive share bytes.",
    "folder_in_archive": "The masks lie in a folder inside the ZIP archive.",
    # The files in it
    "missing_file": "A mask of the phase is not in the archive.",
    "unexpected_file": "The archive holds a file that is not a mask of the phase.",
    "unsafe_name": "A name in the archive could lead out of a folder or hide another name.",
    "duplicate_file": "A name occurs twice.",
    "not_a_regular_file": "An entry is a symbolic link or another special file.",
    "encrypted_file": "A file is protected by a password.",
    "compression_method": "A file is compressed by a method other than deflate.",
    "file_too_large": "A file is larger than any mask can be.",
    "file_damaged": "A file's size, checksum or compressed bytes are not what the archive states.",
    # A mask file
    "not_hdf5": "A file is not an HDF5 file.",
    "user_block": "An HDF5 file begins with a user block.",
    "hdf5_damaged": "An HDF5 file cannot be read.",
    "dataset_missing": f"There is no dataset named {TASK.mask_dataset}.",
    "dataset_is_link": f"The name {TASK.mask_dataset} is a soft or external link.",
    "not_a_dataset": f"The name {TASK.mask_dataset} is a group or a type.",
    "virtual_dataset": "The mask is assembled from other datasets.",
    "external_storage": "The mask's pixels lie in another file.",
    "unsupported_storage": "The mask's pixels are stored in an unsupported way.",
    "unsupported_filter": "The mask is compressed by a filter other than gzip.",
    "wrong_type": "The mask does not hold integers.",
    "wrong_shape": "The mask's shape is not that of the phase's patches.",
    "wrong_values": "The mask holds values other than 0 and 1.",
    # The organiser's labels
    "no_positive_pixel": f"A label set has no {TASK.positive} pixel at all.",
    "labels_too_large": "A label set has more masks, pixels or bytes than the server takes.",
    # The list itself
    "more_problems": "The number of problems left out of the list.",
    # The server
    "unreadable": "The reader process did not survive the archive or ran into a limit.",
    "archive_lost": "The server no longer has the archive as it was received; the fault is the server's.",
    "evaluation_crashed": "The evaluation failed three times; the fault is the server's.",
    "internal_error": "An error occurred on the server; the fault is the server's.",
}
"""Every code and its meaning. Codes are never renamed; README.md shows the same table."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an archive, in one file or in many.

    `file` is the first entry's name, or empty where the archive as a whole is meant; `message` says what was
    found, what was expected, and the fix. `count` files have the problem, `files` names at most MOST_NAMED of them.
    """

    code: str
    file: str
    message: str
    count: int = 1
    files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code!r} is not in the table of problem codes.")
        if not self.files and self.file:
            object.__setattr__(self, "files", (self.file,))

    @classmethod
    def of(cls, key: str, file: str | bytes = "", **values: object) -> Problem:
        """The problem with the sentence `key` of evaluation.archive.sentences, in `file`, a stranger's name."""
        return cls(code_of(key), printable(file), sentence(key, values))

    @property
    def where(self) -> str:
        """The files for people: "mask_1.h5", or "245 files (mask_1.h5, mask_2.h5, mask_3.h5 …)"; "" for the archive."""
        return self.file if self.count == 1 else f"{self.count:,} files ({self.shown_files})"

    @property
    def shown_files(self) -> str:
        """The first names: "mask_1.h5, mask_2.h5, mask_3.h5 …"."""
        return ", ".join(self.files[:_IN_A_LINE]) + (" …" if self.count > _IN_A_LINE else "")

    @property
    def heading(self) -> str:
        """ "dataset_missing in 245 files: mask_1.h5, mask_2.h5, mask_3.h5 …", or "dataset_missing: mask_1.h5"."""
        if self.count > 1:
            return f"{self.code} in {self.count:,} files: {self.shown_files}"
        return f"{self.code}: {self.file}" if self.file else self.code

    def as_dict(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "file": self.file,
            "message": self.message,
            "count": self.count,
            "files": list(self.files),
        }

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.file else self.message


class InvalidArchive(Exception):
    """The archive cannot be scored; `problems` says why: grouped, at most MOST of them, at least one."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = capped(grouped(problems))
        super().__init__("\n".join(map(str, self.problems)))


def grouped(problems: Iterable[Problem]) -> list[Problem]:
    """One problem for all files with the same code and message, in order of first appearance."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        groups.setdefault((problem.code, problem.message), []).append(problem)
    return [_together(group) if len(group) > 1 else group[0] for group in groups.values()]


def _together(group: list[Problem]) -> Problem:
    names = tuple(name for problem in group for name in problem.files)[:MOST_NAMED]
    return replace(group[0], count=sum(problem.count for problem in group), files=names)


def from_dicts(stored: Iterable[Mapping[str, Any]] | None) -> list[Problem]:
    """Problems as `as_dict` gave them, for page, API and command: grouped, even if stored before grouping existed.

    Raises ValueError, KeyError or TypeError for anything else.
    """
    return grouped(
        Problem(
            each["code"], each["file"], each["message"], each.get("count", 1), tuple(each.get("files", ()))
        )
        for each in stored or ()
    )


def capped(problems: list[Problem]) -> list[Problem]:
    """At most MOST problems in their order, each kind represented, the last counting those left out."""
    if len(problems) <= MOST:
        return problems
    first_of_kind = list({p.code: i for i, p in reversed(list(enumerate(problems)))}.values())
    others = sorted(set(range(len(problems))) - set(first_of_kind))
    room = MOST - 1
    shown = sorted((sorted(first_of_kind) + others)[:room])
    left: Counter[str] = Counter()
    for i in set(range(len(problems))) - set(shown):
        left[problems[i].code] += problems[i].count
    kinds = ", ".join(f"{code} {n}" for code, n in sorted(left.items()))
    total = left.total()
    rest = Problem.of("more_problems.one" if total == 1 else "more_problems", total=total, kinds=kinds)
    return [problems[i] for i in shown] + [rest]


def printable(name: str | bytes, longest: int = 80) -> str:
    """An untrusted name as plain ASCII, without characters that are special to a page or a terminal."""
    text = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
    text = text.encode("ascii", "backslashreplace").decode("ascii")
    text = "".join(c if c.isprintable() and c not in "<>&\"'{}%`" else "?" for c in text)
    return text if len(text) <= longest else text[: longest - 3] + "..."


def too_large(size: int, limit: int) -> Problem:
    """The upload has more bytes than the `limit`."""
    return Problem.of("too_large", size=size, limit=limit)


def empty_file() -> Problem:
    return Problem.of("empty_file")


def unreadable(last_file: str = "") -> Problem:
    """The reader process died, hung or used too much memory, while reading `last_file` if that is known."""
    return Problem.of("unreadable", last_file)


def evaluation_crashed() -> Problem:
    return Problem.of("evaluation_crashed")


def internal_error() -> Problem:
    return Problem.of("internal_error")
