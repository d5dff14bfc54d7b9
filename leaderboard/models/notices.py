"""What people are notified by mail: kinds, each person's choice, and the events of a team that wait for their mail."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .accounts import User
from .competitions import Phase
from .submissions import Submission
from .teams import Team

KEPT = timedelta(days=30)  # longer than any reminder, so that none is sent twice


class NoticeKind(models.TextChoices):
    """Each can be switched on and off by each person."""

    SCORED = "scored", "A submission of your team is scored"
    INVALID = "invalid", "Your archive is invalid or could not be scored"
    OVERTAKEN = "overtaken", "Another team overtakes yours on the board"
    DEADLINE_7D = "deadline_7d", "A phase ends in 7 days"
    DEADLINE_24H = "deadline_24h", "A phase ends in 24 hours"
    DEADLINE_1H = "deadline_1h", "A phase ends in 1 hour"
    ANNOUNCEMENT = "announcement", "The organisers announce something"
    CORRECTION = "correction", "Labels are corrected"


OFF_BY_DEFAULT = frozenset({NoticeKind.SCORED, NoticeKind.DEADLINE_1H})
"""A score appears within seconds on the page of whoever waits for it, and a team of five would get a mail for each
submission of each member. The last hour often falls into the night, and whoever works then sees the countdown."""

BEFORE = {
    NoticeKind.DEADLINE_7D: timedelta(days=7),
    NoticeKind.DEADLINE_24H: timedelta(days=1),
    NoticeKind.DEADLINE_1H: timedelta(hours=1),
}
"""How long before the end of a phase each reminder comes."""

HINTS = {
    NoticeKind.SCORED: "Several within ten minutes come as one mail.",
    NoticeKind.INVALID: "For archives that you uploaded. The attempt is given back.",
    NoticeKind.OVERTAKEN: "At most one mail an hour, and only where the board is public.",
    NoticeKind.DEADLINE_7D: "Only if your team can still submit.",
    NoticeKind.DEADLINE_24H: "Only if your team can still submit.",
    NoticeKind.DEADLINE_1H: "Only if your team can still submit.",
    NoticeKind.ANNOUNCEMENT: "Changes of dates and rules, answers to questions.",
    NoticeKind.CORRECTION: "For phases in which your team has submitted. Scores and ranks may change.",
}


class NoticeChoiceQuerySet(models.QuerySet["NoticeChoice"]):
    def of(self, user: Any) -> dict[str, bool]:
        """For each kind, in order, whether the person wants it by mail."""
        chosen = dict(self.filter(user=user).values_list("kind", "wanted"))
        return {kind.value: chosen.get(kind.value, kind not in OFF_BY_DEFAULT) for kind in NoticeKind}

    def readers(self, kind: str, people: models.QuerySet[User]) -> models.QuerySet[User]:
        """Those of ``people`` who want this kind and can be reached."""
        reachable = people.filter(is_active=True).exclude(email="")
        if kind in OFF_BY_DEFAULT:
            return reachable.filter(pk__in=self.filter(kind=kind, wanted=True).values("user"))
        return reachable.exclude(pk__in=self.filter(kind=kind, wanted=False).values("user"))


class NoticeChoice(models.Model):
    """A person's choice to get, or not to get, one kind of mail. Without a row the default holds."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="notice_choices")
    kind = models.CharField(max_length=20, choices=NoticeKind)
    wanted = models.BooleanField()

    objects = NoticeChoiceQuerySet.as_manager()

    class Meta:
        ordering = ["user", "kind"]
        constraints = [models.UniqueConstraint(fields=["user", "kind"], name="one_choice_of_a_kind")]

    def __str__(self) -> str:
        return f"{self.kind}: {'on' if self.wanted else 'off'}"


class NoticeQuerySet(models.QuerySet["Notice"]):
    def waiting(self) -> "NoticeQuerySet":
        """Not mailed yet."""
        return self.filter(mailed_at=None)

    def outdated(self, now: datetime) -> "NoticeQuerySet":
        return self.filter(created_at__lt=now - KEPT)


class Notice(models.Model):
    """An event that a team hears about: derived once, put into a mail once. ``key`` names it within the team."""

    kind = models.CharField(max_length=20, choices=NoticeKind)
    team = models.ForeignKey(Team, models.CASCADE, related_name="notices")
    key = models.CharField(max_length=80)
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="+")
    submission = models.ForeignKey(
        Submission, models.CASCADE, null=True, related_name="+", help_text="What was scored or invalid."
    )
    again = models.BooleanField(default=False, help_text="It was scored before.")
    rival = models.ForeignKey(
        Team, models.CASCADE, null=True, related_name="+", help_text="The team that overtook this one."
    )
    created_at = models.DateTimeField(default=timezone.now)
    mailed_at = models.DateTimeField(
        null=True, help_text="When its mail was put into the outbox, or dropped."
    )

    objects = NoticeQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="one_notice_of_an_event")]
        indexes = [
            models.Index(fields=["kind", "team"], condition=models.Q(mailed_at=None), name="notices_waiting"),
            models.Index(fields=["team", "kind", "mailed_at"], name="notices_mailed"),
            models.Index(fields=["created_at"], name="notices_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.key} for {self.team}"
