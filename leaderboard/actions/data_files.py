"""Public data files of a competition: compared with what is stored, and stored."""

import hashlib
from pathlib import Path

from django.core.files import File
from django.core.validators import RegexValidator

from leaderboard.models import DataFile

file_name = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", "A file name has letters, digits, dots, dashes and underscores only."
)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def store(row: DataFile, path: Path) -> None:
    """Copy the file into the storage and save the row; what was stored before is removed."""
    before = row.file.name
    with path.open("rb") as content:
        row.file.save(row.name, File(content), save=False)
    row.save()
    if before and before != row.file.name:
        row.file.storage.delete(before)
