"""Calls to the teams' webhooks, through an outbox of their own; signed as the Standard Webhooks specification says.

A call is a row in the transaction of its event. It is tried again with growing pauses; a webhook that has only failed
for three days is switched off, and its owners get a mail.
"""

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

import structlog
from celery import shared_task
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from evaluation import __version__
from leaderboard.models import Membership, User, Webhook, WebhookCall
from leaderboard.models.text import moment
from leaderboard.models.webhooks import PAUSES, PREFIX, SWITCHED_OFF_AFTER
from leaderboard.platform import outgoing
from leaderboard.platform.bell import ring, ring_on_commit

from . import mails

log = structlog.get_logger(__name__)

SECONDS_AT_A_TIME = 15
GONE = 410


@dataclass(frozen=True)
class Event:
    """What a team's webhook is called for. ``data`` holds what its members may see."""

    team: int
    type: str
    data: dict[str, Any]


def hooks_of(teams: Iterable[int]) -> dict[int, Webhook]:
    """The active webhooks of these teams, by team."""
    return {hook.pk: hook for hook in Webhook.objects.filter(team__in=set(teams), is_active=True)}


def call(events: Iterable[Event], now: datetime) -> int:
    """Queue a call for each event that a team's webhook is for; returns how many."""
    events = list(events)
    hooks = hooks_of(event.team for event in events)
    calls = [
        new_call(hooks[event.team], event.type, event.data, now)
        for event in events
        if event.team in hooks and event.type in hooks[event.team].events
    ]
    with transaction.atomic():
        WebhookCall.objects.bulk_create(calls)
        if calls:
            ring_on_commit(deliver)
    return len(calls)


def new_call(hook: Webhook, kind: str, data: dict[str, Any], now: datetime) -> WebhookCall:
    body = {"type": kind, "timestamp": now, "data": data}
    text = json.dumps(body, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"))
    return WebhookCall(webhook=hook, message=f"msg_{uuid4().hex}", type=kind, body=text, queued_at=now)


@shared_task(name="leaderboard.notifications.webhooks.deliver")
def deliver() -> int:
    """Make due calls for at most SECONDS_AT_A_TIME; returns how many were accepted."""
    accepted, begun = 0, time.monotonic()
    while found := _claim():
        accepted += attempt(found)
        if time.monotonic() - begun > SECONDS_AT_A_TIME:
            ring(deliver)
            break
    return accepted


def _claim() -> WebhookCall | None:
    """The call due longest. Its next try is scheduled first, so that two workers never make the same call."""
    while found := WebhookCall.objects.due(now := timezone.now()).select_related("webhook__team").first():
        mine = WebhookCall.objects.due(now).filter(pk=found.pk, tries=found.tries)
        pause = PAUSES[min(found.tries, len(PAUSES) - 1)]
        if mine.order_by().update(tries=F("tries") + 1, next_try_at=now + pause):
            found.tries += 1
            return found
    return None


def attempt(found: WebhookCall) -> bool:
    """Make one call and record what came of it; True if it was accepted."""
    hook, body = found.webhook, found.body.encode()
    try:
        status = outgoing.post(hook.url, body, headers_of(found, timezone.now()))
        is_accepted, result = 200 <= status < 300, f"answered {status}"
    except outgoing.AddressRefused as refused:
        status, is_accepted, result = 0, False, str(refused)
    except (OSError, http.client.HTTPException) as error:
        status, is_accepted, result = 0, False, _reason(error)
    now = timezone.now()
    with transaction.atomic():
        state = {"last_at": now, "last_ok": is_accepted, "last_result": result[:200]}
        since = None if is_accepted else Coalesce(F("failing_since"), Value(now))
        Webhook.objects.filter(pk=hook.pk).update(**state, failing_since=since)
        if is_accepted:
            found.delete()
        else:
            log.info("a webhook did not accept a call", webhook=hook.pk, tries=found.tries, result=result)
            _put_off(hook, found, status, now)
    return is_accepted


def _put_off(hook: Webhook, found: WebhookCall, status: int, now: datetime) -> None:
    """Its other calls wait as long as this one; a webhook that is gone, or fails for days, is switched off."""
    pause = PAUSES[min(found.tries - 1, len(PAUSES) - 1)]
    hook.calls.filter(next_try_at__lt=now + pause).update(next_try_at=now + pause)
    hook.refresh_from_db()
    assert hook.failing_since is not None, "it has just failed"
    if status != GONE and now - hook.failing_since < SWITCHED_OFF_AFTER:
        return
    if Webhook.objects.filter(pk=hook.pk, is_active=True).update(is_active=False):
        hook.calls.all().delete()
        _tell_owners(hook)


def _tell_owners(hook: Webhook) -> None:
    assert hook.failing_since is not None, "it has failed"
    team = hook.team
    owners = Membership.objects.filter(team=team, role=Membership.Role.OWNER).values("user")
    people = User.objects.filter(pk__in=owners, is_active=True).exclude(email="")
    page = f"{settings.SITE_URL}/c/{team.competition.slug}/team/webhook/"
    text = (
        f"The webhook of {team} ({hook.url}) has not accepted a call since {moment(hook.failing_since)}; "
        f"the last result: {hook.last_result}. It was switched off, and the waiting events are dropped.\n\n"
        f"Switch it on again: {page}\n"
    )
    addresses = people.values_list("email", flat=True)
    mails.send(team.competition, f"The webhook of {team} was switched off", text, addresses)


def _reason(error: Exception) -> str:
    """For the owners: the kind of error, with the sentence of TLS and the system."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}"[:200]


def headers_of(found: WebhookCall, now: datetime) -> dict[str, str]:
    timestamp = str(int(now.timestamp()))
    signatures = [
        sign(secret, found.message, timestamp, found.body) for secret in found.webhook.secrets_at(now)
    ]
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": f"leaderboard-webhooks/{__version__}",
        "webhook-id": found.message,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }


def sign(secret: str, message: str, timestamp: str, body: str) -> str:
    """HMAC-SHA256 over "id.timestamp.body", version v1 of Standard Webhooks."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{message}.{timestamp}.{body}".encode(), hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
