"""Acts of organisers on many submissions or teams: a row each, which says how far it is and how it is undone."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Competition, LabelSet

LEASE = timedelta(minutes=1)


class BulkActQuerySet(models.QuerySet["BulkAct"]):
    def due(self, now: datetime) -> "BulkActQuerySet":
        """Not finished, and in no worker's hands."""
        held = models.Q(
            seen_at__range=(now - LEASE, now + LEASE)
        )  # a later time is that of a clock set back since
        return self.filter(models.Q(seen_at=None) | ~held, finished_at=None)


class BulkAct(models.Model):
    """One act on the submissions (or teams) that were chosen for it, in the order of their teams.

    A worker does it in short transactions, each of which moves ``position``: killed anywhere, it goes on where it was.
    """

    class Kind(models.TextChoices):
        RESCORE = "rescore", "re-score"
        DISQUALIFY = "disqualify", "disqualify"
        RESTORE = "restore", "restore"
        GIVE_BACK = "give_back", "give attempts back"
        WITHDRAW = "withdraw", "withdraw"
        EVALUATE = "evaluate", "evaluate on other labels"
        HIDE = "hide", "hide from boards"
        SHOW = "show", "show on boards"

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="bulk_acts")
    kind = models.CharField(max_length=12, choices=Kind)
    undoes = models.OneToOneField("self", models.CASCADE, null=True, blank=True, related_name="undone_by")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    reason = models.CharField(max_length=300)
    withhold = models.CharField(max_length=300, blank=True)
    label_set = models.ForeignKey(LabelSet, models.CASCADE, null=True, related_name="+")
    requested_at = models.DateTimeField(default=timezone.now)
    rows = models.JSONField(help_text="Primary keys of the submissions, by phase and team, or of the teams.")
    total = models.PositiveIntegerField()
    position = models.PositiveIntegerField(default=0, help_text="How many of them are done.")
    changed = models.JSONField(
        default=dict, help_text="What each row that was changed was before, by its primary key."
    )
    number_changed = models.PositiveIntegerField(default=0)
    seen_at = models.DateTimeField(null=True, help_text="When a worker last did a part of it.")
    finished_at = models.DateTimeField(null=True)

    objects = BulkActQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(fields=["seen_at"], condition=models.Q(finished_at=None), name="bulk_acts_to_do")
        ]

    def __str__(self) -> str:
        name = self.get_kind_display()
        return f"undo: {name}" if self.undoes_id else name

    @property
    def state(self) -> str:
        """One word: waiting, running, finished or undone."""
        if self.finished_at is None:
            return "running" if self.position else "waiting"
        return "undone" if self.is_undone else "finished"

    @property
    def is_undone(self) -> bool:
        return hasattr(self, "undone_by")

    @property
    def is_on_teams(self) -> bool:
        return self.kind in (self.Kind.HIDE, self.Kind.SHOW)

    @property
    def noun(self) -> str:
        """What it is done to, in the singular."""
        return "team" if self.is_on_teams else "submission"

    def part(self, most: int) -> list[Any]:
        """The next primary keys, at most so many."""
        return self.rows[self.position : self.position + most]
