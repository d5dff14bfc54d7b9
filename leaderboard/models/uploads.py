"""Uploads on their way: what has arrived of an archive that is sent in several requests (tus)."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Phase
from .submissions import Submission, uploads_storage

INCOMING = "incoming"  # the folder of the storage in which the parts are


def part_name(part: "UploadPart", _original: str) -> str:
    """A generated name that no other request uses, even one that sends the same part at the same time."""
    return f"{INCOMING}/{part.upload_id}/{part.start}-{uuid4().hex}"


class UploadQuerySet(models.QuerySet["Upload"]):
    def own(self, user: Any) -> "UploadQuerySet":
        """The person's own: teammates cannot continue them."""
        return self.filter(user=user)

    def unfinished(self) -> "UploadQuerySet":
        """Not submitted yet."""
        return self.filter(submission=None)

    def expired(self, now: datetime) -> "UploadQuerySet":
        return self.filter(expires_at__lte=now)


class Upload(models.Model):
    """An archive that arrives in parts. It counts as received when it began; once submitted, it names its submission.

    ``offset`` is how many bytes have arrived. The parts are files in the storage, so any web host can continue.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="uploads")
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="uploads")
    name = models.CharField("name of the file", max_length=120, blank=True)
    length = models.PositiveBigIntegerField("size in bytes")
    offset = models.PositiveBigIntegerField("bytes that have arrived", default=0)
    sha256 = models.CharField(
        "announced SHA-256", max_length=64, blank=True, help_text="Compared with the bytes that arrived."
    )
    metadata = models.TextField(blank=True, help_text="The Upload-Metadata header, as sent.")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(help_text="It is deleted after this.")
    submission = models.OneToOneField(
        Submission, models.CASCADE, null=True, blank=True, editable=False, related_name="upload"
    )

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(offset__lte=models.F("length")), name="upload_within_its_length"
            )
        ]
        indexes = [models.Index(fields=["expires_at"], name="uploads_by_expiry")]

    def __str__(self) -> str:
        return f"upload {self.pk}: {self.offset} of {self.length} bytes"

    @property
    def is_complete(self) -> bool:
        return self.offset == self.length


class UploadPart(models.Model):
    """What one request added to an upload."""

    upload = models.ForeignKey(Upload, models.CASCADE, related_name="parts")
    start = models.PositiveBigIntegerField()
    size = models.PositiveBigIntegerField()
    file = models.FileField(storage=uploads_storage, upload_to=part_name, max_length=200)

    class Meta:
        ordering = ["start"]
        constraints = [models.UniqueConstraint(fields=["upload", "start"], name="one_part_from_each_byte")]

    def __str__(self) -> str:
        return f"bytes {self.start} to {self.start + self.size} of upload {self.upload_id}"
