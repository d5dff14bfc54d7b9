"""Addresses of teams that are called when something happens, and the calls on their way."""

import base64
import secrets
from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from .teams import Team

PAUSES = tuple(timedelta(seconds=seconds) for seconds in (15, 60, 300, 1800, 7200, 21600))
"""The pause after each failed try; the last pause repeats."""
SWITCHED_OFF_AFTER = timedelta(days=3)
OLD_SECRET_HOLDS = timedelta(days=1)
PREFIX = "whsec_"


class WebhookEvent(models.TextChoices):
    """What a webhook is called for; the owners choose. The values stand as ``type`` in the body."""

    SCORED = "submission.scored", "a submission is scored"
    INVALID = "submission.invalid", "an archive is invalid"
    FAILED = "submission.failed", "a submission could not be scored by the server"
    OVERTAKEN = "team.overtaken", "another team overtakes yours"
    CLOSING = "phase.closing", "a phase ends in 7 days, 24 hours, 1 hour"
    ANNOUNCED = "announcement.published", "the organisers announce something"
    CORRECTED = "labels.corrected", "labels are corrected"


TEST = "webhook.test"


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def all_events() -> list[str]:
    return list(WebhookEvent.values)


class Webhook(models.Model):
    """The one address of a team. Its secret signs the calls; it is shown once and never exported."""

    team = models.OneToOneField(Team, models.CASCADE, related_name="webhook", primary_key=True)
    url = models.CharField("address", max_length=500)
    events = models.JSONField(default=all_events)
    secret = models.CharField(max_length=80, editable=False)
    old_secret = models.CharField(max_length=80, blank=True, editable=False)
    old_secret_until = models.DateTimeField(null=True, editable=False)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="webhooks")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    is_active = models.BooleanField(default=True)
    failing_since = models.DateTimeField(null=True, editable=False)
    last_at = models.DateTimeField(null=True, editable=False, help_text="The last call, answered or not.")
    last_ok = models.BooleanField(null=True, editable=False)
    last_result = models.CharField(max_length=200, blank=True, editable=False)

    def __str__(self) -> str:
        return f"webhook of {self.team}"

    def secrets_at(self, now: datetime) -> list[str]:
        """The secrets that sign now: for a day after a change also the old one."""
        old = self.old_secret and self.old_secret_until and now < self.old_secret_until
        return [self.secret, *([self.old_secret] if old else [])]


class WebhookCallQuerySet(models.QuerySet["WebhookCall"]):
    def due(self, now: datetime) -> "WebhookCallQuerySet":
        return self.filter(next_try_at__lte=now, webhook__is_active=True).order_by("next_try_at", "pk")


class WebhookCall(models.Model):
    """One message to a webhook; deleted once it was accepted. ``body`` is sent as it stands: it is what is signed."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="calls")
    message = models.CharField(max_length=40, unique=True)
    type = models.CharField(max_length=40)
    body = models.TextField()
    queued_at = models.DateTimeField(default=timezone.now)
    next_try_at = models.DateTimeField(default=timezone.now)
    tries = models.PositiveSmallIntegerField(default=0)

    objects = WebhookCallQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["next_try_at"], name="webhook_calls_due")]

    def __str__(self) -> str:
        return f"{self.type} {self.message}"
