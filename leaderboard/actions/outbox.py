"""Mails that could not be delivered: sent again, or discarded."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from leaderboard.models import AuditEntry, Mail
from leaderboard.notifications import mails
from leaderboard.platform.bell import ring_on_commit

from .refusals import Conflict, NotAllowed


def send_again(user: Any, mail: Mail, reason: str) -> None:
    """Try from the beginning; only what was given up."""
    with transaction.atomic():
        _judge(user, mail, "mail sent again", reason)
        now = timezone.now()
        given_up = Mail.objects.failed().filter(pk=mail.pk)
        if not given_up.update(failed_at=None, tries=0, queued_at=now, next_try_at=now, error=""):
            raise Conflict("This mail was not given up: it is sent without your help.")
        ring_on_commit(mails.deliver)


def discard(user: Any, mail: Mail, reason: str) -> None:
    """Delete a mail that waits or was given up."""
    with transaction.atomic():
        _judge(user, mail, "mail discarded", reason)
        Mail.objects.filter(pk=mail.pk).delete()


def _judge(user: Any, mail: Mail, act: str, reason: str) -> None:
    """Organisers of its competition may; mail of no competition (of accounts) is the administrators' business."""
    may = mail.competition.is_organised_by(user) if mail.competition else user.is_superuser
    if not may:
        raise NotAllowed("Only organisers can do that.")
    AuditEntry.objects.append(
        act, competition=mail.competition, actor=user, subject=f"mail {mail.pk}", reason=reason
    )
