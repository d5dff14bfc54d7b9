"""Mail goes through the outbox: a row in the action's transaction, sent by a worker afterwards.

``Outbox`` is Django's mail backend here, so this includes every mail, also account mails. A slow or unavailable mail
server blocks no request and loses no mail: failed mails are retried for two days, then given up, and the organisers are
notified. If a worker dies right after sending a mail, that mail is sent twice.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from smtplib import (
    SMTPDataError,
    SMTPException,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
)
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.core.mail import EmailMessage, EmailMultiAlternatives, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from leaderboard.models import AuditEntry, Competition, Mail
from leaderboard.models.mails import PAUSES
from leaderboard.platform.bell import ring, ring_on_commit

log = structlog.get_logger(__name__)

SECONDS_AT_A_TIME = 15  # then the worker returns to submissions
NOTICE_EVERY = timedelta(hours=1)


class Outbox(BaseEmailBackend):
    """Stores messages, one row per recipient, so that nobody sees other addresses. Attachments are rejected."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        rows = []
        for message in email_messages:
            if message.attachments:
                raise ValueError("The outbox does not accept attachments: put a link in the text.")
            rows += [
                Mail(
                    competition=getattr(message, "competition", None),
                    to=address,
                    sender=message.from_email,
                    subject=" ".join(message.subject.split())[:300],
                    text=str(message.body),
                    html=_html_of(message),
                    unsubscribe=message.extra_headers.get("List-Unsubscribe", "").strip("<>"),
                )
                for address in message.recipients()
            ]
        with transaction.atomic():
            Mail.objects.bulk_create(rows)
            ring_on_commit(deliver)
        return len(rows)


def _html_of(message: EmailMessage) -> str:
    """The HTML alternative of a message, "" without one."""
    alternatives = getattr(message, "alternatives", None) or []
    return next((str(content) for content, mimetype in alternatives if mimetype == "text/html"), "")


def unsubscribe_headers(url: str) -> dict[str, str]:
    """The headers by which a mail program offers to unsubscribe with one click (RFC 8058); none without an address."""
    if not url:
        return {}
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def send(competition: Competition | None, subject: str, text: str, addresses: Iterable[str]) -> None:
    """Send the same mail to each address on behalf of a competition (None: of the server); its organisers are notified of failures."""
    messages = []
    for address in addresses:
        message = EmailMessage(f"[{settings.SITE_NAME}] {subject}", text, to=[address])
        message.competition = competition  # type: ignore[attr-defined]
        messages.append(message)
    if messages:
        get_connection().send_messages(messages)


@shared_task(name="leaderboard.notifications.mails.deliver")
def deliver() -> int:
    """Send due mails for at most SECONDS_AT_A_TIME; returns how many were sent."""
    sent, begun = 0, time.monotonic()
    connection = get_connection(settings.MAIL_DELIVERY_BACKEND)
    Mail.objects.outdated(timezone.now()).delete()
    try:
        while mail := _claim():
            try:
                connection.open()
                _message(mail, connection).send()
            except Exception as error:
                _postpone(mail, error)
                if _server_is_away(error):
                    break
            else:
                mail.delete()
                sent += 1
            if time.monotonic() - begun > SECONDS_AT_A_TIME:
                ring(deliver)
                break
    finally:
        try:
            connection.close()
        except Exception as error:
            log.info("the mail server closed the connection", error=type(error).__name__)
    return sent


def _claim() -> Mail | None:
    """The mail due longest. Its next try is scheduled first, so that two workers never send the same mail."""
    while mail := Mail.objects.due(now := timezone.now()).first():
        mine = Mail.objects.due(now).filter(pk=mail.pk, tries=mail.tries)
        pause = PAUSES[min(mail.tries, len(PAUSES) - 1)]
        if mine.update(tries=F("tries") + 1, next_try_at=now + pause):
            mail.tries += 1
            return mail
    return None


def _message(mail: Mail, connection: Any) -> EmailMessage:
    headers = {"Auto-Submitted": "auto-generated", **unsubscribe_headers(mail.unsubscribe)}
    message = EmailMultiAlternatives(
        mail.subject, mail.text, mail.sender, [mail.to], connection=connection, headers=headers
    )
    if mail.html:
        message.attach_alternative(mail.html, "text/html")
    return message


def _postpone(mail: Mail, error: Exception) -> None:
    """Keep the mail for its next try, or give up and report it."""
    reason = type(error).__name__
    log.warning("a mail could not be sent", mail=mail.pk, tries=mail.tries, error=reason)
    now = timezone.now()
    if not (_is_final(error) or mail.is_too_old(now)):
        Mail.objects.filter(pk=mail.pk).update(error=reason)
        return
    with transaction.atomic():
        if Mail.objects.waiting().filter(pk=mail.pk).update(failed_at=now, error=reason):
            _tell_organisers(mail, reason)


def _tell_organisers(mail: Mail, reason: str) -> None:
    """Log each mail that was given up, and send at most one notification an hour."""
    competition = mail.competition
    entries = AuditEntry.objects.filter(act="mail given up", competition=competition)
    notified_lately = entries.filter(at__gt=timezone.now() - NOTICE_EVERY).exists()
    AuditEntry.objects.append(
        "mail given up",
        competition=competition,
        subject=f"mail {mail.pk}",
        details={"tries": mail.tries, "error": reason},
    )
    if competition is None or notified_lately or mail.subject.endswith(NOTICE):
        return
    addresses = competition.organisers.exclude(email="").exclude(email__iexact=mail.to)
    text = (
        f"“{mail.subject}” could not be sent to {mail.to} ({reason}, {mail.tries} tries). There may be others.\n\n"
        f"See which mails failed and send them again: {settings.SITE_URL}/admin/leaderboard/mail/\n"
    )
    send(competition, NOTICE, text, addresses.values_list("email", flat=True))


NOTICE = "Mail could not be delivered"


def _is_final(error: Exception) -> bool:
    """Whether a retry would fail the same way: the cause is this address or text, not the server."""
    if isinstance(error, SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    if isinstance(error, SMTPDataError):
        return error.smtp_code >= 500
    return isinstance(error, ValueError | SMTPNotSupportedError)


def _server_is_away(error: Exception) -> bool:
    """Whether other mails would fail too now: then they wait until beat rings."""
    about_one_mail = SMTPRecipientsRefused | SMTPDataError | SMTPNotSupportedError
    return isinstance(error, OSError | SMTPException) and not isinstance(error, about_one_mail)
