"""What a team writes about its own submissions, for itself."""

from typing import Any

from django.conf import settings
from django.core.validators import MaxLengthValidator
from django.db import models

from .submissions import Submission
from .text import plain_text

MOST_TAGS, LONGEST_TAG = 10, 30


class SubmissionNoteQuerySet(models.QuerySet["SubmissionNote"]):
    def with_tag(self, tag: str) -> "SubmissionNoteQuerySet":
        return self.filter(tags__contains=f",{tag},")


class SubmissionNote(models.Model):
    """A team's note on a submission and its tags: for the team's members only, not for organisers."""

    submission = models.OneToOneField(Submission, models.CASCADE, related_name="note", primary_key=True)
    text = models.TextField(blank=True, validators=[MaxLengthValidator(2000), plain_text])
    tags = models.CharField(max_length=400, blank=True, help_text="Between commas: ,baseline,fold 1,")
    edited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", editable=False
    )
    edited_at = models.DateTimeField()

    objects = SubmissionNoteQuerySet.as_manager()

    def __str__(self) -> str:
        return f"note on submission {self.submission_id}"

    @property
    def tag_list(self) -> list[str]:
        return [tag for tag in self.tags.split(",") if tag]

    @staticmethod
    def joined(tags: Any) -> str:
        """The stored form of tags."""
        return f",{','.join(tags)}," if tags else ""
