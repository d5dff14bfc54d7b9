"""Uploads that were refused, counted by reason: what keeps teams from submitting, for the organisers."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from .attempts import utc_day
from .competitions import Phase
from .teams import Team

KEPT = timedelta(days=30)
SHOWN = timedelta(days=6)  # before today: the desk counts seven days

WORDS = {
    "quota_used_up": "daily quota used up",
    "total_used_up": "total quota used up",
    "board_full": "no place left on the board",
    "phase_not_open": "phase not open yet",
    "phase_ended": "phase has ended",
    "no_labels": "phase without labels",
    "no_team": "person without a team",
    "same_archive": "same archive again",
    "too_large": "file too large",
    "empty_file": "empty file",
    "idempotency_key_reused": "same key, other content",
    "storage_unavailable": "server storage unavailable",
}


class RefusedUploadQuerySet(models.QuerySet["RefusedUpload"]):
    def note(self, user: Any, phase: Phase, code: str, sentence: str) -> None:
        """Count one more refusal; a person's refusals of a day for one reason share a row, so scripts do not fill it."""
        now = timezone.now()
        place = {"user": user, "phase": phase, "code": code, "day": utc_day(now).date()}
        again = {"last_at": now, "sentence": sentence[:500], "number": models.F("number") + 1}
        if self.filter(**place).update(**again):
            return
        team = Team.objects.of(user).filter(competition=phase.competition_id).first()
        try:
            with transaction.atomic():
                self.create(**place, team=team, last_at=now, sentence=sentence[:500])
        except IntegrityError:  # another request has just made the row
            self.filter(**place).update(**again)

    def recent(self, now: datetime) -> "RefusedUploadQuerySet":
        """Of the last seven days, today included (UTC)."""
        return self.filter(day__gte=(utc_day(now) - SHOWN).date())

    def outdated(self, now: datetime) -> "RefusedUploadQuerySet":
        return self.filter(day__lt=(utc_day(now) - KEPT).date())


class RefusedUpload(models.Model):
    """How often a person's uploads to a phase were refused on a day (UTC) for one reason.

    ``code``: the code of the refusal or, of an archive that was accepted and could not be scored, of its first problem.
    """

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="refused_uploads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="refused_uploads")
    team = models.ForeignKey(Team, models.CASCADE, null=True, related_name="refused_uploads")
    code = models.CharField("reason", max_length=40)
    day = models.DateField(help_text="UTC")
    number = models.PositiveIntegerField("times", default=1)
    last_at = models.DateTimeField("last time")
    sentence = models.CharField("what the person read last", max_length=500)

    objects = RefusedUploadQuerySet.as_manager()

    class Meta:
        ordering = ["-day", "-last_at"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "user", "code", "day"], name="one_row_of_refusals_a_day")
        ]
        indexes = [models.Index(fields=["day"], name="refusals_by_day")]

    def __str__(self) -> str:
        return f"{self.user}: {words_of(self.code)}"


def words_of(code: str) -> str:
    """The reason in a few words."""
    return WORDS.get(code, code.replace("_", " "))
