"""Reports of wrong labels by participants, with the organisers' decisions."""

from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from .competitions import Phase
from .teams import Team
from .text import plain_text


class LabelReportQuerySet(models.QuerySet["LabelReport"]):
    def open(self) -> "LabelReportQuerySet":
        return self.filter(decided_at=None)

    def of_teams(self, user: Any) -> "LabelReportQuerySet":
        """Reports by the person's teams."""
        return self.filter(team__in=Team.objects.of(user))


class LabelReport(models.Model):
    """A team's report that the label of a patch is wrong. Organisers decide; a correction is a new label set."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="label_reports")
    team = models.ForeignKey(Team, models.CASCADE, related_name="label_reports")
    reported_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    patch = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    text = models.TextField("what is wrong", max_length=2000, validators=[plain_text])
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True, editable=False)
    accepted = models.BooleanField(default=False, editable=False)
    answer = models.CharField(max_length=300, blank=True, editable=False)

    objects = LabelReportQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"report {self.pk} on patch {self.patch} of {self.phase}"

    @property
    def state(self) -> str:
        """One word: open, accepted or declined."""
        if self.decided_at is None:
            return "open"
        return "accepted" if self.accepted else "declined"
