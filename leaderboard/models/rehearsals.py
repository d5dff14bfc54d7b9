"""A rehearsal of a competition that an organiser asked for at the desk; a worker plays it."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Competition

LONGEST = timedelta(minutes=30)
TRIES = 2


class RehearsalQuerySet(models.QuerySet["Rehearsal"]):
    def waiting(self, now: datetime) -> "RehearsalQuerySet":
        """Not ended, and without a live worker: not begun, or begun longer ago than one may take."""
        begun = models.Q(started_at=None) | models.Q(started_at__lt=now - LONGEST)
        return self.filter(begun, finished_at=None, tries__lt=TRIES).order_by("requested_at", "pk")


class Rehearsal(models.Model):
    """The competition's file as it stood, and what became of playing it: never edited."""

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="rehearsals")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    document = models.TextField("competition file", editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    all_held = models.BooleanField("all rules held", null=True, editable=False)
    report = models.TextField(blank=True, editable=False)

    objects = RehearsalQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"rehearsal {self.pk} of {self.competition}"

    @property
    def state(self) -> str:
        if self.finished_at is None:
            return "waiting" if self.started_at is None else "playing"
        if self.all_held is None:
            return "not played"
        return "all rules held" if self.all_held else "rules broken"
