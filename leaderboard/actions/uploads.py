"""Uploads in parts: begin, append, submit, give up, sweep. The REST API speaks tus on top of it."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import structlog
from celery import shared_task
from django.core.files.storage import Storage
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.db import transaction
from django.utils import timezone

from leaderboard.models import Extension, Phase, RefusedUpload, Submission, Team, Upload, UploadPart
from leaderboard.models.submissions import uploads_storage
from leaderboard.models.uploads import INCOMING

from . import submissions
from .refusals import (
    ChecksumMismatch,
    InvalidInput,
    StorageUnavailable,
    UploadGone,
    UploadIncomplete,
    WrongOffset,
)

log = structlog.get_logger(__name__)

LIFETIME = timedelta(hours=24)
MOST_UNFINISHED = 5  # per person; beginning another one gives up the oldest
MOST_PARTS = 10_000
ORPHAN_AGE = timedelta(days=1)
MOST_ORPHANS = 20
BLOCK = 256 * 1024  # bytes in memory at a time
ALGORITHMS = ("sha1", "sha256")
UUID_AT_END = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/?")
SHA256 = re.compile(r"[0-9a-f]{64}")


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Checksum:
    """What the bytes of one request must add up to."""

    algorithm: str
    digest: bytes

    @classmethod
    def parse(cls, header: str) -> "Checksum":
        """From ``Upload-Checksum``: the algorithm's name and the digest in base64. Raises InvalidInput."""
        algorithm, _, encoded = header.strip().partition(" ")
        if algorithm not in ALGORITHMS:
            raise InvalidInput(f"Upload-Checksum: use {' or '.join(ALGORITHMS)}, then the digest in base64.")
        try:
            return cls(algorithm, base64.b64decode(encoded.strip(), validate=True))
        except binascii.Error as error:
            raise InvalidInput("Upload-Checksum: the digest is not valid base64.") from error


@submissions.counts_refusals
def begin(
    user: Any, phase: Phase, *, length: int, name: str = "", sha256: str = "", metadata: str = ""
) -> Upload:
    """Begin an upload of ``length`` bytes, if its team may submit them now: this is the moment that will count.

    Organisers upload reference entries. Raises the refusals of ``submissions.check_may_submit`` and of the file's size.
    """
    now = timezone.now()
    reference = phase.competition.is_organised_by(user)
    team = submissions.team_that_submits(user, phase, reference=reference)
    submissions.check_size(length)
    if sha256 and not SHA256.fullmatch(sha256):
        raise InvalidInput("sha256: write it as 64 hexadecimal digits.")
    submissions.check_may_submit(user, team, phase, now, reference=reference)
    for old in Upload.objects.own(user).unfinished().order_by("-created_at")[MOST_UNFINISHED - 1 :]:
        give_up(old)
    return Upload.objects.create(
        user=user,
        phase=phase,
        name=submissions.harmless_name(name),
        length=length,
        sha256=sha256,
        metadata=metadata,
        created_at=now,
        expires_at=now + LIFETIME,
    )


def find(user: Any, reference: str) -> Upload:
    """The person's upload with this address or id. Raises UploadGone if there is none, or if it has expired."""
    found = UUID_AT_END.search(reference.lower()[-37:])
    mine = Upload.objects.own(user).select_related("phase__competition", "submission")
    upload = mine.filter(pk=UUID(found[1])).first() if found else None
    if upload is None or upload.expires_at <= timezone.now():
        raise UploadGone(
            "This upload does not exist, has expired or is not yours. Please upload the archive again."
        )
    return upload


def append(upload: Upload, offset: int, stream: Stream, checksum: Checksum | None = None) -> Upload:
    """Add the bytes of one request; what arrived of a request that broke off is kept, unless it has a checksum.

    No lock is held while bytes arrive. Whoever moves the offset first wins; another request for the same bytes is
    refused with WrongOffset, and so is one for bytes that do not come next. Also raises ChecksumMismatch, InvalidInput,
    StorageUnavailable and, when the phase's grace is over, PhaseNotOpen.
    """
    if offset != upload.offset:
        raise WrongOffset(f"{upload.offset} bytes of this upload have arrived; continue from there.")
    if refusal := submissions.why_too_late(phase_for(upload), upload.created_at, timezone.now()):
        raise refusal
    if upload.parts.count() >= MOST_PARTS:
        raise InvalidInput(f"This upload has {MOST_PARTS:,} parts already. Upload again, in larger parts.")
    part = UploadPart(upload=upload, start=offset)
    with _received(stream, upload.length - offset, checksum) as received:
        part.size = received.size or 0
        if not part.size:
            return upload
        _store(part, received)
    try:
        with transaction.atomic():
            moved = Upload.objects.filter(pk=upload.pk, offset=offset).update(offset=offset + part.size)
            if moved:
                part.save()
    except Exception:
        part.file.delete(save=False)
        raise
    if not moved:
        part.file.delete(save=False)
        raise WrongOffset("These bytes arrived in another request at the same time.")
    upload.offset = offset + part.size
    return upload


def phase_for(upload: Upload) -> Phase:
    """The upload's phase as its team has it; the plain one where the person has left the team."""
    team = Team.objects.of(upload.user).filter(competition=upload.phase.competition_id).first()
    return Extension.objects.phase_of(team, upload.phase) if team else upload.phase


@contextmanager
def _received(stream: Stream, most: int, checksum: Checksum | None) -> Iterator[TemporaryUploadedFile]:
    """The request's bytes as a file on disk that the storage can move to its place."""
    digest = hashlib.new(checksum.algorithm) if checksum else None
    with TemporaryUploadedFile("part", "application/octet-stream", 0, None) as file:
        size = 0
        while block := _next_block(stream):
            size += len(block)
            if size > most:
                raise InvalidInput(f"The upload was announced with fewer bytes: at most {most} are missing.")
            file.write(block)
            if digest:
                digest.update(block)
        if checksum and digest and digest.digest() != checksum.digest:
            raise ChecksumMismatch(
                "The bytes that arrived do not have this checksum. Please send them again."
            )
        file.size = size
        file.seek(0)
        yield file


def _next_block(stream: Stream) -> bytes:
    try:
        return stream.read(BLOCK)
    except OSError:  # the client is gone
        return b""


def _store(part: UploadPart, content: TemporaryUploadedFile) -> None:
    try:
        part.file.save("part", content, save=False)
    except OSError as error:
        log.exception("a part of an upload could not be stored")
        raise StorageUnavailable(
            "The server cannot store files at the moment. Nothing that has arrived is lost; please go on in a few minutes."
        ) from error


def submit(
    user: Any, upload: Upload, phase: Phase, *, idempotency_key: str | None = None, **fields: Any
) -> tuple[Submission, bool]:
    """Submit an upload that is complete; the same action as for a form, with the moment at which the upload began.

    One upload makes one submission: submitting it again returns that one. After a refusal the upload is kept, so that
    it can be submitted again. Raises UploadIncomplete, InvalidInput and the refusals of ``submissions.submit``.
    """
    if upload.submission:
        return upload.submission, False
    if phase != upload.phase:
        sentence = (
            f"This upload began for {upload.phase.name}. Choose this phase, or upload the archive again."
        )
        raise InvalidInput(sentence, fields={"phase": [sentence]})
    if not upload.is_complete:
        raise UploadIncomplete(
            f"{upload.offset} of {upload.length} bytes have arrived. Upload the rest first."
        )
    key = idempotency_key or f"upload {upload.pk}"
    try:
        with _whole(upload) as (archive, digest):
            if upload.sha256 not in ("", digest):
                give_up(upload)
                raise InvalidInput(
                    "The bytes that arrived do not have the announced SHA-256. Please upload again."
                )
            submission, is_new = submissions.submit(
                user, phase, archive, digest=digest, begun_at=upload.created_at, idempotency_key=key, **fields
            )
    except UploadGone:  # another request may just have submitted it
        upload.refresh_from_db()
        if upload.submission:
            return upload.submission, False
        raise
    if Upload.objects.filter(submission=submission).exclude(pk=upload.pk).exists():
        give_up(upload)  # an earlier upload under the same key made this submission
    else:
        Upload.objects.filter(pk=upload.pk).update(submission=submission)
        discard(upload)
    return submission, is_new


@contextmanager
def _whole(upload: Upload) -> Iterator[tuple[TemporaryUploadedFile, str]]:
    """All parts as one file, and its SHA-256, computed on the way."""
    digest = hashlib.sha256()
    with TemporaryUploadedFile(upload.name, "application/zip", upload.length, None) as whole:
        try:
            for part in upload.parts.all():
                with part.file.open("rb") as source:
                    while block := source.read(BLOCK):
                        digest.update(block)
                        whole.write(block)
        except FileNotFoundError as error:
            raise UploadGone(
                "The server has lost parts of this upload. Please upload the archive again."
            ) from error
        except OSError as error:
            log.exception("an upload could not be put together", upload=str(upload.pk))
            raise StorageUnavailable(
                "The server cannot read files at the moment. Your upload is safe; please try again in a few minutes."
            ) from error
        if whole.tell() != upload.length:
            raise UploadGone("The server has lost parts of this upload. Please upload the archive again.")
        whole.seek(0)
        yield whole, digest.hexdigest()


def give_up(upload: Upload) -> None:
    """Delete an upload and what has arrived of it."""
    discard(upload)
    Upload.objects.filter(pk=upload.pk).delete()


def discard(upload: Upload) -> None:
    """Delete the parts of an upload."""
    UploadPart.objects.filter(upload=upload.pk).delete()
    _empty(str(upload.pk))


def _empty(folder: str) -> None:
    """Delete a folder of parts; what cannot be deleted now, the next sweep deletes."""
    storage = uploads_storage()
    try:
        _, files = storage.listdir(f"{INCOMING}/{folder}")
        for name in files:
            storage.delete(f"{INCOMING}/{folder}/{name}")
        storage.delete(f"{INCOMING}/{folder}")
    except FileNotFoundError:  # nothing has arrived yet
        return
    except OSError:
        log.warning("parts of an upload could not be deleted", upload=folder, exc_info=True)


@shared_task(name="leaderboard.actions.uploads.sweep")
def sweep() -> str:
    """Delete uploads that have expired, parts whose upload no longer exists or has been submitted, and old refusals."""
    now = timezone.now()
    RefusedUpload.objects.outdated(now).delete()
    expired = list(Upload.objects.expired(now))
    for upload in expired:
        give_up(upload)
    try:
        folders, _ = uploads_storage().listdir(INCOMING)
    except FileNotFoundError:
        folders = []
    arriving = {str(pk) for pk in Upload.objects.unfinished().values_list("pk", flat=True)}
    left = [folder for folder in folders if folder not in arriving]
    for folder in left:
        _empty(folder)
    orphans = remove_orphans(now - ORPHAN_AGE)
    return f"{len(expired)} expired uploads, {len(left)} left folders and {orphans} archives without a submission removed"


def remove_orphans(before: datetime) -> int:
    """Delete archives, last written before then, that no submission names: their process ended between file and commit.

    Returns their number. An archive is written seconds before its submission, never a day. Where there are more than crashes
    leave behind, the database may be an older one than the files: then none is deleted, and the log says so.
    """
    storage, found = uploads_storage(), []
    for phase in Phase.objects.values_list("pk", flat=True):
        made = Submission.objects.filter(phase=phase).exclude(archive="")
        known = set(made.values_list("archive", flat=True))
        for team in _listed(storage, str(phase))[0]:
            paths = (f"{phase}/{team}/{name}" for name in _listed(storage, f"{phase}/{team}")[1])
            found += [p for p in paths if p not in known and storage.get_modified_time(p) < before]
    if len(found) > MOST_ORPHANS:
        log.critical("many archives have no submission: was the database restored?", archives=len(found))
        return 0
    for path in found:
        storage.delete(path)
        log.warning("an archive without a submission was deleted", archive=path)
    return len(found)


def _listed(storage: Storage, path: str) -> tuple[list[str], list[str]]:
    """Folders and files at a path; none where it does not exist."""
    try:
        return storage.listdir(path)
    except FileNotFoundError:
        return [], []
