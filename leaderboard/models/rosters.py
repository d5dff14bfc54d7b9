"""Join requests, mergers, method descriptions, prizes and awards."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.utils import timezone

from .teams import Team
from .text import plain_text


def award_title(value: str) -> None:
    """Titles are part of the certificate's URL."""
    plain_text(value)
    if "/" in value:
        raise ValidationError("A title cannot contain a slash. Please remove it.")


class OpenQuerySet(models.QuerySet[Any]):
    """Rows awaiting a decision."""

    def open(self) -> "OpenQuerySet":
        return self.filter(decided_at=None)


class JoinRequestQuerySet(OpenQuerySet):
    def visible_to(self, user: Any) -> "JoinRequestQuerySet":
        """Requests by this person, and requests to teams that this person owns."""
        return self.filter(models.Q(user=user) | models.Q(team__in=Team.objects.owned_by(user)))


class MergerQuerySet(OpenQuerySet):
    def visible_to(self, user: Any) -> "MergerQuerySet":
        """Mergers proposed by or to the teams that this person owns."""
        mine = Team.objects.owned_by(user)
        return self.filter(models.Q(team__in=mine) | models.Q(other__in=mine))

    def about(self, team: Any) -> "MergerQuerySet":
        return self.filter(models.Q(team=team) | models.Q(other=team))


class Proposal(models.Model):
    """A request to a team that stays open until an owner decides or the person who made it withdraws it."""

    decided_at = models.DateTimeField(null=True, blank=True)
    accepted = models.BooleanField(default=False)
    withdrawn = models.BooleanField(default=False, db_default=False, help_text="By whoever asked.")

    class Meta:
        abstract = True

    @property
    def state(self) -> str:
        if self.decided_at is None:
            return "open"
        return "accepted" if self.accepted else "withdrawn" if self.withdrawn else "declined"


class JoinRequest(Proposal):
    """A person asks to join a team; one of its owners decides."""

    team = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="join_requests")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="join_requests")
    message = models.CharField(max_length=300, blank=True, validators=[plain_text])
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = JoinRequestQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "user"], condition=models.Q(decided_at=None), name="one_open_request_to_join"
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} asks to join {self.team}"


class Merger(Proposal):
    """A team offers to take another one in; an owner of the other team decides."""

    team = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="proposed_mergers")
    other = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="offered_mergers")
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    moved = models.JSONField(
        null=True, editable=False, help_text="Once merged: what came from the other team, by primary key."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MergerQuerySet.as_manager()

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
    """A team's description of its method (a PDF that names every member). The newest before the due date counts.

    With it, the team is eligible unless an organiser has ruled it out.
    """

    class Verdict(models.TextChoices):
        OPEN = "open", "not reviewed yet"
        ACCEPTED = "accepted", "accepted"
        INELIGIBLE = "ineligible", "ineligible"

    team = models.OneToOneField(
        "leaderboard.Team", models.CASCADE, related_name="description", primary_key=True
    )
    pdf = models.BinaryField(editable=False)  # small, so every backup and host has it
    sha256 = models.CharField(max_length=64)
    members = models.JSONField(default=list, help_text="The members of the team when it was handed in.")
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    uploaded_at = models.DateTimeField()
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.OPEN)
    verdict_reason = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"description of {self.team}"

    def unnamed_members(self) -> list[str]:
        """Members who joined after it was handed in, so it does not name them."""
        names = self.team.members.order_by("username").values_list("username", flat=True)
        return [name for name in names if name not in self.members]


class Prize(models.Model):
    """A prize for a rank among the eligible teams of a phase or, without a rank, by the committee's choice."""

    competition = models.ForeignKey("leaderboard.Competition", models.CASCADE, related_name="prizes")
    title = models.CharField(max_length=80, validators=[award_title])
    phase = models.ForeignKey(
        "leaderboard.Phase", models.CASCADE, null=True, blank=True, related_name="prizes"
    )
    rank = models.PositiveSmallIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1)], help_text="Empty: the committee chooses."
    )
    note = models.CharField(max_length=300, blank=True, help_text="What the prize is for.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["competition", "title"],
                name="one_prize_of_a_title",
                violation_error_message="Two awards have this title.",
            ),
            models.CheckConstraint(
                condition=models.Q(phase=None, rank=None) | models.Q(phase__isnull=False, rank__isnull=False),
                name="prize_by_rank_names_its_phase",
                violation_error_message="A prize by rank needs a phase and a rank; a prize by the committee needs neither.",
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Award(models.Model):
    """A prize won by a team: by its rank, or given by the committee."""

    competition = models.ForeignKey("leaderboard.Competition", models.CASCADE, related_name="awards")
    team = models.ForeignKey("leaderboard.Team", models.CASCADE, related_name="awards")
    title = models.CharField(max_length=80, validators=[award_title], help_text="1st place, special prize, …")
    citation = models.CharField(max_length=500, blank=True, validators=[plain_text])
    position = models.PositiveSmallIntegerField(default=0)
    given_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["competition", "title"], name="one_award_of_a_title")]

    def __str__(self) -> str:
        return f"{self.title}: {self.team}"
