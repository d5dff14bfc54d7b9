"""Mailing announcements when their time comes."""

from datetime import datetime

from celery import shared_task
from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from leaderboard.models import Announcement, Team, User
from leaderboard.models.locks import lock_rows

from . import mails

AUDIENCE = Announcement.Audience


def readers_of(announcement: Announcement) -> models.QuerySet[User]:
    """The members, with a mail address, of the teams that the announcement is for."""
    teams = Team.objects.competing().filter(competition=announcement.competition_id)
    if announcement.audience == AUDIENCE.NO_SUBMISSION:
        teams = teams.filter(submissions=None)
    elif announcement.audience == AUDIENCE.NO_DESCRIPTION:
        teams = teams.filter(description=None)
    elif announcement.audience == AUDIENCE.TEAM:
        assert announcement.team_id is not None
        teams = teams.filter(pk=announcement.team_id)
    people = User.objects.filter(memberships__team__in=teams, is_active=True).exclude(email="")
    return people.distinct()


@shared_task(name="leaderboard.notifications.announcements.work")
def work() -> int:
    return send_due(timezone.now())


def send_due(now: datetime) -> int:
    """Put the mails of every announcement whose time has come into the outbox; returns how many announcements."""
    sent = 0
    for number in list(Announcement.objects.due(now).values_list("pk", flat=True)):
        with transaction.atomic():
            found = lock_rows(Announcement.objects.due(now).filter(pk=number))
            if not found:
                continue  # another worker was faster
            announcement = found[0]
            addresses = sorted(set(readers_of(announcement).values_list("email", flat=True)))
            mails.send(announcement.competition, announcement.title, text_of(announcement), addresses)
            Announcement.objects.filter(pk=number).update(sent_at=now, recipients=len(addresses))
            sent += 1
    return sent


def text_of(announcement: Announcement) -> str:
    """The mail: the Markdown as written, and where it stands."""
    competition = announcement.competition
    page = f"{settings.SITE_URL}/c/{competition.slug}/"
    if announcement.audience == AUDIENCE.EVERYONE:
        page += "announcements/"
    return f"{announcement.body.strip()}\n\n--\nThe organisers of {competition}\n{page}\n"
