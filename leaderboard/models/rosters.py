"""How a roster changes and what a team hands in: requests to join, mergers, method descriptions, awards."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .text import plain_text


class OpenQuerySet(models.QuerySet[Any]):
    """Rows that wait for a decision."""

    def open(self) -> "OpenQuerySet":
        return self.filter(decided_at=None)


class JoinRequest(models.Model):
    """A person asks to join a team; an owner of it decides."""

    team = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="join_requests")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="join_requests")
    message = models.CharField(max_length=300, blank=True, validators=[plain_text])
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True)
    accepted = models.BooleanField(default=False)

    objects = OpenQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "user"], condition=models.Q(decided_at=None), name="one_open_request_to_join"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} asks to join {self.team}"


class Merger(models.Model):
    """A team proposes to take another one in; an owner of the other decides."""

    team = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="proposed_mergers")
    other = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="offered_mergers")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True)
    accepted = models.BooleanField(default=False)

    objects = OpenQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "other"], condition=models.Q(decided_at=None), name="one_open_merger"
            ),
            models.CheckConstraint(condition=~models.Q(team=models.F("other")), name="merger_of_two_teams"),
        ]

    def __str__(self) -> str:
        return f"{self.team} takes in {self.other}"


class MethodDescription(models.Model):
    """A team's description of its method (PDF, naming every member). The newest before the due date counts."""

    team = models.OneToOneField(
        "leaderboard.Team", models.CASCADE, related_name="description", primary_key=True
    )
    pdf = models.BinaryField(editable=False)  # in the row: small, and so in every backup and on every host
    sha256 = models.CharField(max_length=64)
    members = models.JSONField(default=list, help_text="Who was in the team when it was handed in.")
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    uploaded_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"description of {self.team}"


class Award(models.Model):
    """What a team has won: by its rank, or given by the committee."""

    competition = models.ForeignKey("leaderboard.Competition", models.CASCADE, related_name="awards")
    team = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="awards")
    title = models.CharField(max_length=80, validators=[plain_text], help_text="1st place, special prize, …")
    citation = models.CharField(max_length=500, blank=True, validators=[plain_text])
    position = models.PositiveSmallIntegerField(default=0)
    given_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["competition", "title"], name="one_award_of_a_title")]

    def __str__(self) -> str:
        return f"{self.title}: {self.team}"
