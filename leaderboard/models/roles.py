"""Who helps to run a competition without organising it, and the jury's votes on the prizes that it chooses."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Competition
from .rosters import Prize
from .teams import Team
from .text import plain_text


class Role(models.Model):
    """A person's role in one competition. Neither role shows labels or hidden scores: ``visibility.view_of`` knows none."""

    class Kind(models.TextChoices):
        HELPER = "helper", "helper: answers questions, edits pages, sees teams; no labels, no hidden scores"
        JURY = "jury", "jury: reads method descriptions and votes on the prizes that the committee gives"

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="roles")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="roles")
    kind = models.CharField(max_length=10, choices=Kind)
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    granted_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["competition", "kind", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["competition", "user", "kind"], name="one_role_of_a_kind")
        ]

    def __str__(self) -> str:
        return f"{self.user}, {self.kind} of {self.competition}"


class JuryVote(models.Model):
    """A juror's choice for a prize, with the reason; it can be changed until the prize is given."""

    prize = models.ForeignKey(Prize, models.CASCADE, related_name="votes")
    juror = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="jury_votes")
    team = models.ForeignKey(Team, models.CASCADE, related_name="jury_votes")
    reason = models.CharField(max_length=1000, validators=[plain_text])
    voted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["prize", "voted_at"]
        constraints = [models.UniqueConstraint(fields=["prize", "juror"], name="one_vote_of_a_juror")]

    def __str__(self) -> str:
        return f"{self.juror} for {self.team}: {self.prize}"


def is_juror(competition: Competition, user: Any) -> bool:
    return jury_roles(competition, user).exists()


def jury_roles(competition: Competition, user: Any) -> models.QuerySet[Role]:
    """The person's seat in the jury, if any."""
    return competition.roles.filter(user_id=user.pk, kind=Role.Kind.JURY)
