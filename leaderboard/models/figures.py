"""Figures that workers keep, so that no visitor has to wait until a million rows are counted."""

from datetime import datetime, timedelta
from typing import Any

from django.db import models

from .competitions import Competition, Phase

REST = 100  # counting may take one hundredth of the time


class FiguresQuerySet(models.QuerySet[Any]):
    def forget(self, phase: Phase | int) -> None:
        """What was submitted has changed in a way that cannot be added: shown again once it is counted from the start."""
        self.filter(phase=phase).update(rules="")

    def number_on_board(self, phase: Phase, kind: str) -> int | None:
        """How many standings of this kind the phase's board has now; None where they have to be counted."""
        kept = self.filter(phase=phase).values_list("on_board", flat=True).first() or {}
        return kept.get(kind, 0) if kept.get("version") == phase.board_version else None


class Kept(models.Model):
    """When it was counted, and how long that took: the longer, the rarer."""

    counted_at = models.DateTimeField()
    counting_seconds = models.FloatField(default=0)

    class Meta:
        abstract = True

    def may_be_counted(self, now: datetime) -> bool:
        return now - self.counted_at >= timedelta(seconds=REST * self.counting_seconds)


class CompetitionFigures(Kept):
    """The people in competing teams: ``by_country`` has a number for each code, "" where none is named."""

    competition = models.OneToOneField(
        Competition, models.CASCADE, related_name="figures", primary_key=True, serialize=False
    )
    teams = models.PositiveIntegerField()
    by_country = models.JSONField()

    def __str__(self) -> str:
        return f"figures of {self.competition}"


class PhaseFigures(Kept):
    """The submissions of a phase by UTC day, and the steps of its best F1: added to as they arrive.

    ``steps`` has a list of [moment, rank key] for each kind of standing. They hold under ``rules`` alone
    (``reporting.counting.rules_of``); under others nothing of them may be shown.
    """

    phase = models.OneToOneField(
        Phase, models.CASCADE, related_name="figures", primary_key=True, serialize=False
    )
    rules = models.CharField(max_length=300)
    begun_at = models.DateTimeField(help_text="When it was last counted from the start.")
    board_version = models.PositiveBigIntegerField(default=0)
    newest = models.BigIntegerField(default=0, help_text="The newest submission that is counted.")
    scored_until = models.DateTimeField(null=True)
    teams = models.PositiveIntegerField(default=0)
    days = models.JSONField(default=dict)
    steps = models.JSONField(default=dict)
    states = models.JSONField(default=dict, help_text="Submissions in each state, for organisers.")
    states_are_old = models.BooleanField(default=False)
    ranks_of = models.DateField(
        null=True, help_text="The UTC day whose first ranks are ``Standing.earlier_rank``."
    )
    ranked = models.PositiveIntegerField(default=0, help_text="How many teams had a rank then.")
    on_board = models.JSONField(
        default=dict,
        db_default={},
        help_text="Teams with each kind of standing, and as `version` the board's version that has them.",
    )
    revision = models.PositiveBigIntegerField(default=0, help_text="Two workers never overwrite each other.")

    objects = FiguresQuerySet.as_manager()

    def __str__(self) -> str:
        return f"figures of {self.phase}"

    @property
    def submissions(self) -> int:
        return sum(self.states.values())
