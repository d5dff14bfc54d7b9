"""Who competes."""

import hashlib
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .emails import NormalEmailField
from .names import LONGEST_FOLDED, folded, plain_name, tidy
from .text import plain_text

SUGGESTED = 20


class TeamQuerySet(models.QuerySet["Team"]):
    def competing(self) -> "TeamQuerySet":
        """Participants' teams: not the organisers' own, not merged into another."""
        return self.filter(is_organisers=False, merged_into=None)

    def mergeable_into(self, team: "Team") -> "TeamQuerySet":
        """Those that can become part of a team."""
        return self.competing().filter(competition=team.competition_id).exclude(pk=team.pk)

    def with_eligibility(self) -> "TeamQuerySet":
        """Adds ``not_eligible``: the first rule by which the team may not receive awards, "" where it may.

        ``actions.descriptions.why_not_eligible`` says it in words.
        """
        due = models.F("competition__descriptions_due_at")
        in_time = models.Q(competition__descriptions_due_at=None) | models.Q(
            description__uploaded_at__lte=due
        )
        rules = (
            models.When(is_organisers=True, then=models.Value("organisers")),
            models.When(merged_into__isnull=False, then=models.Value("merged")),
            models.When(hidden_at__isnull=False, then=models.Value("hidden")),
            models.When(description__verdict="ineligible", then=models.Value("ruled out")),
            models.When(in_time, then=models.Value("")),
        )
        return self.annotate(not_eligible=models.Case(*rules, default=models.Value("no description")))

    def named_like(self, text: str) -> "TeamQuerySet":
        """A few of these whose names contain the text, to be offered: nobody looks through thousands."""
        chosen = self.filter(folded_name__contains=folded(text)) if text else self
        return chosen.order_by("folded_name")[:SUGGESTED]

    def eligible(self, competition: Any) -> "TeamQuerySet":
        """The competition's teams that may receive awards."""
        return self.filter(competition=competition).with_eligibility().filter(not_eligible="")  # type: ignore[misc]  # an annotation

    def of(self, user: Any) -> "TeamQuerySet":
        return self.filter(memberships__user=user, merged_into=None)

    def owned_by(self, user: Any) -> "TeamQuerySet":
        mine = Membership.objects.filter(user=user, role=Membership.Role.OWNER)
        return self.filter(pk__in=mine.values("team"), merged_into=None)

    def with_members(self) -> "TeamQuerySet":
        return self.select_related("competition").prefetch_related("memberships__user")


class Team(models.Model):
    """A team in one competition. Owners invite and remove members; every member may submit."""

    class Approval(models.TextChoices):
        WAITING = "waiting", "waiting for approval"
        APPROVED = "approved", "approved"
        REFUSED = "refused", "refused"

    competition = models.ForeignKey("leaderboard.Competition", models.CASCADE, related_name="teams")
    name = models.CharField(max_length=60, validators=[plain_text, plain_name])
    folded_name = models.CharField(max_length=LONGEST_FOLDED, editable=False)
    affiliation = models.CharField(max_length=120, blank=True, validators=[plain_text, plain_name])
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="teams")
    is_organisers = models.BooleanField(
        "the organisers' own",
        default=False,
        help_text="Its submissions are reference entries: shown, marked, unranked.",
    )
    merged_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="merged_teams"
    )
    approval = models.CharField(
        max_length=10,
        choices=Approval,
        default=Approval.WAITING,
        db_default=Approval.WAITING.value,
        editable=False,
        help_text="Means something only where the competition approves teams.",
    )
    approval_reason = models.CharField(max_length=300, blank=True, db_default="", editable=False)
    hidden_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="Since then it is on no board, by the organisers' act.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    served_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When one of its submissions last left the queue for good.",
    )

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["name", "-id"], name="teams_by_name")]
        constraints = [
            models.UniqueConstraint(
                fields=["competition", "folded_name"],
                name="one_team_of_a_name",
                violation_error_message="A team with this name already exists. Please choose another name.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name = tidy(self.name)
        self.folded_name = folded(self.name)
        if "name" in (kwargs.get("update_fields") or ()):
            kwargs["update_fields"] = {*kwargs["update_fields"], "folded_name"}
        super().save(*args, **kwargs)

    def clean_fields(self, exclude: Any = None) -> None:
        self.name = tidy(self.name)
        super().clean_fields(exclude)

    @property
    def needs_approval(self) -> bool:
        """Whether the organisers decide if this team may submit."""
        since = self.competition.approval_needed_from
        return since is not None and self.created_at >= since and not self.is_organisers

    @property
    def is_ranked(self) -> bool:
        """Whether boards may show it: not the organisers' own, not merged into another, not hidden."""
        return not (self.is_organisers or self.merged_into_id or self.hidden_at)

    def has_member(self, user: Any) -> bool:
        return user.is_authenticated and self.memberships.filter(user=user).exists()

    def is_owned_by(self, user: Any) -> bool:
        return (
            user.is_authenticated and self.memberships.filter(user=user, role=Membership.Role.OWNER).exists()
        )


class Membership(models.Model):
    """A person in a team. The database enforces one team per person and competition."""

    class Role(models.TextChoices):
        OWNER = "owner", "owner"
        MEMBER = "member", "member"

    team = models.ForeignKey(Team, models.CASCADE, related_name="memberships")
    competition = models.ForeignKey(
        "leaderboard.Competition", models.CASCADE, related_name="+", editable=False
    )
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    joined_at = models.DateTimeField(default=timezone.now, editable=False)
    is_named = models.BooleanField(
        "named in public",
        default=False,
        db_default=False,
        help_text="The person agreed to be named on the team's public page.",
    )

    class Meta:
        ordering = ["joined_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["competition", "user"],
                name="one_team_per_person",
                violation_error_message="This person is already in a team of this competition.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.competition_id = self.team.competition_id
        super().save(*args, **kwargs)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> "InvitationQuerySet":
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())

    def with_token(self, token: str) -> "InvitationQuerySet":
        return self.filter(token_digest=Invitation.digest(token))


class Invitation(models.Model):
    """A link that lets one person join a team. Only the digest of its token is stored."""

    team = models.ForeignKey(Team, models.CASCADE, related_name="invitations")
    email = NormalEmailField(blank=True)
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"invitation to {self.team}"

    @staticmethod
    def digest(token: str) -> str:
        return hashlib.sha256(token.encode()).hexdigest()
