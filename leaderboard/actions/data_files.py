"""Public data files of a competition: compared with what is stored, and stored."""

import hashlib
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.files import File
from django.core.validators import RegexValidator
from django.db import transaction

from leaderboard.models import AuditEntry, DataFile

from .refusals import InvalidInput, check_fields, check_organiser

file_name = RegexValidator(
    r"\A[A-Za-z0-9][A-Za-z0-9._-]*\Z", "A file name has letters, digits, dots, dashes and underscores only."
)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def store(row: DataFile, path: Path) -> None:
    """Copy the file into the storage and save the row; what was stored before is removed."""
    with path.open("rb") as content:
        store_content(row, File(content))


def store_content(row: DataFile, content: File) -> None:
    """``store`` of a file that is open."""
    before = row.file.name
    row.file.save(row.name, content, save=False)
    row.save()
    if before and before != row.file.name:
        row.file.storage.delete(before)


def keep_data_file(user: Any, row: DataFile, upload: File | None) -> None:
    """Save a data file from the desk: uploaded now, uploaded before, or a link."""
    check_organiser(user, row.competition)
    if row.phase is not None and row.phase.competition_id != row.competition_id:
        raise InvalidInput(
            "This phase is in another competition.", fields={"phase": ["Choose another phase."]}
        )
    if upload is not None and not row.name:
        row.name = Path(upload.name or "").name
    try:
        file_name(row.name)
    except ValidationError as error:
        raise InvalidInput(error.messages[0], fields={"name": error.messages}) from error
    check_fields(row, "name", "note", "url")
    if bool(row.url) == bool(upload or row.file):
        raise InvalidInput("Upload a file or name a link: one of them.")
    act = "data file changed" if row.pk else "data file added"
    with transaction.atomic():
        if upload is None:
            row.save()
        else:
            digest = hashlib.sha256()
            for chunk in upload.chunks():
                digest.update(chunk)
            upload.seek(0)
            row.size, row.sha256 = upload.size, digest.hexdigest()
            store_content(row, upload)
        AuditEntry.objects.append(
            act,
            competition=row.competition,
            actor=user,
            subject=row.name,
            details={"sha256": row.sha256} if row.sha256 else {"url": row.url},
            public=True,
        )
