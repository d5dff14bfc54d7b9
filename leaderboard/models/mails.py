"""The outbox: every mail is a row until it is sent."""

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from .competitions import Competition

PAUSES = tuple(timedelta(minutes=minutes) for minutes in (2, 10, 30, 120, 360))
"""The pause after each failed try; the last pause repeats."""
GIVEN_UP_AFTER = timedelta(days=2)
KEPT = timedelta(days=14)
"""How long a failed mail can be sent again: as long as an invitation in it is valid."""


class MailQuerySet(models.QuerySet["Mail"]):
    def waiting(self) -> "MailQuerySet":
        return self.filter(failed_at=None)

    def failed(self) -> "MailQuerySet":
        return self.exclude(failed_at=None)

    def due(self, now: datetime) -> "MailQuerySet":
        return self.waiting().filter(next_try_at__lte=now).order_by("next_try_at", "pk")

    def outdated(self, now: datetime) -> "MailQuerySet":
        return self.filter(failed_at__lt=now - KEPT)


class Mail(models.Model):
    """One message to one address; deleted once sent. Its text may contain a secret code or link: never show it."""

    competition = models.ForeignKey(
        Competition, models.CASCADE, null=True, related_name="mails", help_text="Its organisers see it."
    )
    to = models.EmailField(max_length=320)
    sender = models.CharField(max_length=320)
    subject = models.CharField(max_length=300)
    text = models.TextField()
    html = models.TextField(blank=True, db_default="", help_text="The same, for readers that show HTML.")
    unsubscribe = models.CharField(
        max_length=500,
        blank=True,
        db_default="",
        help_text="One POST there ends mails of its kind (RFC 8058).",
    )
    queued_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveSmallIntegerField(default=0)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=200, blank=True)

    objects = MailQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["next_try_at"], condition=models.Q(failed_at__isnull=True), name="mails_waiting"
            )
        ]

    def __str__(self) -> str:
        return f"mail {self.pk}: {self.subject}"

    def is_too_old(self, now: datetime) -> bool:
        return now - self.queued_at > GIVEN_UP_AFTER

    @property
    def state(self) -> str:
        return "given up" if self.failed_at else "waiting"
