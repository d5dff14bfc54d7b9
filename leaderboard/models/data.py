"""Public data of a competition: files on this server, or links to where they lie."""

from datetime import datetime
from functools import partial
from typing import Any

from django.core.files.storage import Storage, storages
from django.db import models, transaction

from .competitions import Competition, Phase


def data_storage() -> Storage:
    return storages["uploads"]


def data_name(row: "DataFile", original: str) -> str:
    return f"data/{row.competition_id}/{original}"


class DataFileQuerySet(models.QuerySet["DataFile"]):
    def released(self, now: datetime) -> "DataFileQuerySet":
        """Files of no phase, and of phases that have opened."""
        return self.filter(models.Q(phase=None) | models.Q(phase__opens_at__lte=now))

    def for_viewer(self, viewer: Any, competition: Competition, now: datetime) -> "DataFileQuerySet":
        """The competition's files that the viewer may have: released ones, for organisers all."""
        files = self.filter(competition=competition).select_related("phase")
        return files if competition.is_organised_by(viewer) else files.released(now)


class DataFile(models.Model):
    """A download on the data page. It comes out when its phase opens, or at once if it belongs to none."""

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="data_files")
    phase = models.ForeignKey(Phase, models.SET_NULL, null=True, blank=True, related_name="data_files")
    name = models.CharField(max_length=120, help_text="File name, such as ValidData.zip.")
    note = models.CharField(max_length=300, blank=True, help_text="What is in it.")
    url = models.URLField(blank=True, help_text="Where it lies, if not on this server.")
    file = models.FileField(storage=data_storage, upload_to=data_name, max_length=300, blank=True)
    size = models.PositiveBigIntegerField("size in bytes", null=True, blank=True)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    position = models.PositiveSmallIntegerField(default=0)

    objects = DataFileQuerySet.as_manager()

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["competition", "name"], name="one_data_file_of_a_name"),
            models.CheckConstraint(
                condition=(models.Q(url="") & ~models.Q(file="")) | (~models.Q(url="") & models.Q(file="")),
                name="data_file_or_link",
                violation_error_message="Name a file or a link, one of them.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        """With the stored file, once the row is gone for good."""
        if self.file.name:
            transaction.on_commit(partial(self.file.storage.delete, self.file.name))
        return super().delete(*args, **kwargs)
