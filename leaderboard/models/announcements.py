"""What organisers say to the teams: on the competition's page, in a feed and by mail."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Competition
from .text import plain_text


class AnnouncementQuerySet(models.QuerySet["Announcement"]):
    def public(self, now: datetime) -> "AnnouncementQuerySet":
        """Shown on the competition's page: addressed to everyone, and their time has come."""
        return self.filter(audience=Announcement.Audience.EVERYONE, publish_at__lte=now)

    def due(self, now: datetime) -> "AnnouncementQuerySet":
        """To be mailed now."""
        return self.filter(sent_at=None, publish_at__lte=now)


class Announcement(models.Model):
    """A message to everyone (also public) or, by mail alone, to some teams. It is mailed once, when its time comes."""

    class Audience(models.TextChoices):
        EVERYONE = "everyone", "everyone: all members by mail, and on the competition's page"
        NO_SUBMISSION = "no_submission", "members of teams without a submission"
        NO_DESCRIPTION = "no_description", "members of teams without a method description"
        TEAM = "team", "members of one team"

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="announcements")
    title = models.CharField(max_length=120, validators=[plain_text])
    body = models.TextField(max_length=20_000, help_text="Markdown.")
    audience = models.CharField(max_length=20, choices=Audience, default=Audience.EVERYONE)
    team = models.ForeignKey(
        "leaderboard.Team", models.CASCADE, null=True, blank=True, related_name="announcements"
    )
    publish_at = models.DateTimeField(
        default=timezone.now, help_text="UTC. A later time schedules it; until then it can be changed."
    )
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    sent_at = models.DateTimeField(null=True, editable=False)
    recipients = models.PositiveIntegerField(default=0, editable=False, help_text="Mails that were sent.")

    objects = AnnouncementQuerySet.as_manager()

    class Meta:
        ordering = ["-publish_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(audience="team", team__isnull=False)
                | (~models.Q(audience="team") & models.Q(team=None)),
                name="a_team_for_one_team",
                violation_error_message="Choose a team exactly if the announcement is for one team.",
            )
        ]
        indexes = [
            models.Index(
                fields=["publish_at"], condition=models.Q(sent_at=None), name="announcements_to_send"
            )
        ]

    def __str__(self) -> str:
        return self.title
