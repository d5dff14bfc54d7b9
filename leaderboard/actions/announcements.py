"""Organisers speak to the teams."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from leaderboard.models import Announcement, AuditEntry
from leaderboard.notifications.announcements import readers_of, work
from leaderboard.platform.bell import ring_on_commit

from .refusals import Conflict, InvalidInput, check_fields, check_organiser


def announce(user: Any, announcement: Announcement) -> Announcement:
    """Save a new or still scheduled announcement. It is mailed by a worker at once, or when its time comes."""
    check_organiser(user, announcement.competition)
    team = announcement.team
    if team is not None and team.competition_id != announcement.competition_id:
        raise InvalidInput("This team is in another competition.", fields={"team": ["Choose another team."]})
    check_fields(announcement, "title", "body")
    announcement.author = user
    is_new = announcement.pk is None
    with transaction.atomic():
        if not is_new:
            _check_scheduled(announcement)
        announcement.save()
        _log("announced" if is_new else "announcement changed", user, announcement)
        ring_on_commit(work)
    return announcement


def cancel(user: Any, announcement: Announcement) -> None:
    """Delete an announcement that has not been mailed."""
    check_organiser(user, announcement.competition)
    with transaction.atomic():
        _check_scheduled(announcement)
        _log("announcement cancelled", user, announcement)
        announcement.delete()


def effects(announcement: Announcement) -> list[str]:
    """What saving it does, in sentences."""
    readers = readers_of(announcement).count()
    when = "at once" if announcement.publish_at <= timezone.now() else "at its time"
    found = [f"It goes to {readers} {'person' if readers == 1 else 'people'} by mail {when}."]
    if announcement.audience == Announcement.Audience.EVERYONE:
        found.append(f"It appears on the competition's page and in its feed {when}, for everyone.")
    found.append("Mails cannot be called back.")
    return found


def _check_scheduled(announcement: Announcement) -> None:
    if not Announcement.objects.select_for_update().filter(pk=announcement.pk, sent_at=None).exists():
        raise Conflict("This announcement has been mailed. Write another one to correct it.")


def _log(act: str, user: Any, announcement: Announcement) -> None:
    is_public = announcement.audience == Announcement.Audience.EVERYONE
    AuditEntry.objects.append(
        act,
        competition=announcement.competition,
        actor=user,
        subject=announcement.title,
        details={"audience": announcement.audience, "publish_at": announcement.publish_at.isoformat()},
        public=is_public,
    )
