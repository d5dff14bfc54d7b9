"""A team's webhook: set, tested, given a new secret, removed. For owners."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from leaderboard.models import Team, Webhook, WebhookEvent
from leaderboard.models.locks import lock_rows
from leaderboard.models.webhooks import OLD_SECRET_HOLDS, TEST, new_secret
from leaderboard.notifications.webhooks import deliver, new_call
from leaderboard.platform.bell import ring_on_commit
from leaderboard.platform.outgoing import AddressRefused, checked

from .refusals import Conflict, InvalidInput, TooMany, check_fields
from .teams import check_owner

BETWEEN_TESTS = timedelta(seconds=10)


def set_webhook(user: Any, team: Team, url: str, events: Iterable[str] | None = None) -> tuple[Webhook, str]:
    """Set the address that is called, and for which events (None: all, or those of before); switches it on.

    Returns the webhook and, when it is new, its secret, which is shown once; otherwise "". Raises InvalidInput for an
    address that is not of the public internet.
    """
    check_owner(user, team)
    chosen = None if events is None else _known(events)
    url = url.strip()
    check_fields(Webhook(url=url), "url")
    try:
        checked(url)
    except AddressRefused as refused:
        raise InvalidInput(f"url: {refused}", fields={"url": [str(refused)]}) from refused
    with transaction.atomic():
        lock_rows(Team.objects.filter(pk=team.pk))
        hook = Webhook.objects.filter(team=team).first()
        secret = "" if hook else new_secret()
        if hook is None:
            hook = Webhook(team=team, created_by=user, secret=secret)
        if hook.url != url:
            hook.created_by = user
            hook.last_at = hook.last_ok = None
            hook.last_result = ""
        hook.url, hook.is_active, hook.failing_since = url, True, None
        hook.events = hook.events if chosen is None else chosen
        hook.save()
    return hook, secret


def _known(events: Iterable[str]) -> list[str]:
    """The chosen events, in their usual order."""
    chosen = set(events)
    if unknown := sorted(chosen - set(WebhookEvent.values)):
        sentence = f"Unknown: {', '.join(unknown)}. Known are {', '.join(WebhookEvent.values)}."
        raise InvalidInput(f"events: {sentence}", fields={"events": [sentence]})
    return [event for event in WebhookEvent.values if event in chosen]


def change_secret(user: Any, team: Team) -> tuple[Webhook, str]:
    """A new secret, shown once. For a day every call carries the signatures of both."""
    check_owner(user, team)
    with transaction.atomic():
        hook = _locked(team)
        hook.old_secret, hook.old_secret_until = hook.secret, timezone.now() + OLD_SECRET_HOLDS
        hook.secret = new_secret()
        hook.save(update_fields=["secret", "old_secret", "old_secret_until"])
    return hook, hook.secret


def send_test(user: Any, team: Team) -> Webhook:
    """Queue a call of type ``webhook.test``; how it ended stands in the webhook a moment later."""
    check_owner(user, team)
    now = timezone.now()
    with transaction.atomic():
        hook = _locked(team)
        if not hook.is_active:
            raise Conflict("The webhook is switched off. Save its address to switch it on.")
        last = hook.calls.filter(type=TEST).order_by("-pk").first()
        if last is not None:
            raise Conflict("A test is on its way already.")
        if hook.last_at is not None and now - hook.last_at < BETWEEN_TESTS:
            raise TooMany("Please wait ten seconds between two tests.", hook.last_at + BETWEEN_TESTS)
        data = {"competition": team.competition.slug, "team": {"id": team.pk, "name": team.name}}
        new_call(hook, TEST, data, now).save()
        ring_on_commit(deliver)
    return hook


def remove_webhook(user: Any, team: Team) -> None:
    """Delete the webhook, its secret and the calls on their way."""
    check_owner(user, team)
    Webhook.objects.filter(team=team).delete()


def _locked(team: Team) -> Webhook:
    found = lock_rows(Webhook.objects.filter(team=team).select_related("team__competition"))
    if not found:
        raise Conflict("Your team has no webhook. Set its address first.")
    return found[0]
