"""Write a competition into one file."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

import evaluation
from evaluation.archive import mask_zip
from evaluation.scoring import labels
from evaluation.scoring.counts import unpack
from evaluation.task import MaskSpec
from evaluation.trust.site_files import write_sites
from leaderboard.models import AuditEntry, Competition, LabelSet, Prediction, Submission
from leaderboard.models.locks import snapshot

from .package import CHUNK, Package
from .site import add_site
from .tables import TABLES, USER_COLUMNS, Numbers, later_lines, lines, users_of

README = """This is one competition of a leaderboard evaluation server, complete.

  manifest.json   what this is, when it was made, and the SHA-256 of every file
  SHA256SUMS      the same for `sha256sum -c SHA256SUMS`
  data/           every row as one JSON object a line; rows name each other by "number"
  archives/       the uploaded archives, named by their SHA-256
  predictions/    each submission's masks, bit-packed (the format is in docs/export.md of the server)
  labels/         the hidden masks as ZIP archives of mask_N.h5, where they were exported
  site/           the boards and texts as the public saw them, as static pages, CSV and JSON

It holds personal data (names and addresses of the teams' members). With labels/ it holds the competition's secret.
`manage.py import_competition FILE` brings it back on another server.
"""


class ArchiveMissing(Exception):
    """A submission's archive is not where the database says."""


@dataclass(frozen=True)
class Written:
    """What an export holds: rows of each table, files, and the SHA-256 of the contents."""

    rows: dict[str, int]
    files: int
    contents_sha256: str


def export_competition(
    competition: Competition, path: Path, *, with_labels: bool, tell: Callable[[str], None] = lambda _: None
) -> Written:
    """Write everything of the competition to a new file at ``path``; a failed export leaves no file.

    The rows are read in one snapshot; the archives, which never change, after it. Raises FileExistsError, OSError
    and ArchiveMissing.
    """
    now = timezone.now()
    with Package(path) as package:
        package.add("README.txt", README)
        with snapshot():
            numbers = Numbers()
            rows = add_rows(package, competition, numbers)
            tell(f"{sum(rows.values())} rows")
            add_predictions(package, competition, numbers)
            if with_labels:
                add_labels(package, competition, numbers)
            add_site(package, competition, now)
            uploads = list(
                Submission.objects.filter(phase__competition=competition)
                .exclude(archive="")
                .only("pk", "archive", "sha256", "phase", "team")
                .order_by("pk")
            )
        tell(f"{len(uploads)} archives")
        add_archives(package, uploads)
        contents = package.finish(
            {
                "competition": competition.slug,
                "name": competition.name,
                "exported_at": now.isoformat(),
                "with_labels": with_labels,
                "scorer": evaluation.__version__,
                "rows": rows,
            }
        )
    with transaction.atomic():
        AuditEntry.objects.append(
            "competition exported",
            subject=competition.slug,
            details={"contents_sha256": contents, "with_labels": with_labels},
        )
    return Written(rows, len(package.files), contents)


def add_rows(package: Package, competition: Competition, numbers: Numbers) -> dict[str, int]:
    """data/*.jsonl; returns how many rows each table has."""
    rows = {"users": package.add_lines("data/users.jsonl", user_lines(competition, numbers))}
    package.add_lines("data/competition.jsonl", [competition_line(competition, numbers)])
    for table in TABLES:
        rows[table.name] = package.add_lines(table.file, lines(table, competition, numbers))
    for table in TABLES:
        if table.later:
            package.add_lines(f"data/{table.name}.later.jsonl", later_lines(table, competition, numbers))
    return rows


def user_lines(competition: Competition, numbers: Numbers) -> Iterator[dict[str, Any]]:
    for user in users_of(competition):
        line = {name: getattr(user, name) for name in USER_COLUMNS}
        yield {
            **line,
            "date_joined": user.date_joined.astimezone(UTC).isoformat(),
            "number": numbers.add(user),
        }


def competition_line(competition: Competition, numbers: Numbers) -> dict[str, Any]:
    line: dict[str, Any] = {"number": 1}
    for column in competition._meta.concrete_fields:
        value = getattr(competition, column.attname)
        if not column.primary_key:
            line[column.name] = value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
    organisers = competition.organisers.order_by("username")
    return {**line, "organisers": [numbers.add(user) for user in organisers]}


def add_predictions(package: Package, competition: Competition, numbers: Numbers) -> None:
    """predictions/N.bin: the stored masks of submission N as they are."""
    rows = Prediction.objects.filter(submission__phase__competition=competition).order_by("pk")
    for prediction in rows.iterator(chunk_size=50):
        number = numbers.find(Submission, prediction.submission_id)
        package.add(f"predictions/{number}.bin", bytes(prediction.masks), compressed=False)


def add_labels(package: Package, competition: Competition, numbers: Numbers) -> None:
    """labels/N.zip: the hidden masks of label set N in the format of a submission; labels/N.sites.csv: their sites."""
    for label_set in LabelSet.objects.filter(phase__competition=competition).order_by("pk"):
        number = numbers.find(LabelSet, label_set.pk)
        if label_set.sites:
            package.add(f"labels/{number}.sites.csv", write_sites(label_set.sites))
        if not label_set.masks:
            continue
        spec = MaskSpec(label_set.patches, label_set.height, label_set.width)
        content = io.BytesIO()
        mask_zip.write(content, unpack(labels.decompress(bytes(label_set.masks), spec), spec))
        package.add(f"labels/{number}.zip", content.getvalue(), compressed=False)


def add_archives(package: Package, uploads: list[Submission]) -> None:
    """archives/SHA256.zip, each once however often it was uploaded."""
    for submission in uploads:
        name = f"archives/{submission.sha256}.zip"
        if name in package.files:
            continue
        try:
            with submission.archive.open("rb") as file:
                package.add(name, file.chunks(CHUNK), compressed=False)
        except FileNotFoundError as error:
            raise ArchiveMissing(
                f"The archive of submission {submission.pk} is missing from the storage ({submission.archive.name}). "
                "Bring it back from a backup, then export again."
            ) from error
        if package.files[name]["sha256"] != submission.sha256:
            raise ArchiveMissing(
                f"The archive of submission {submission.pk} does not match its SHA-256: {submission.archive.name} was "
                "damaged or changed. Bring it back from a backup, then export again."
            )
