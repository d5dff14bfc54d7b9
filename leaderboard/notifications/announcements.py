"""Mailing announcements when their time comes."""

from datetime import datetime

from celery import shared_task
from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from leaderboard.models import Announcement, NoticeChoice, NoticeKind, Team, User
from leaderboard.models.locks import lock_rows
from leaderboard.platform.markdown import render_for_mail

from .events import of_announcement
from .letters import Letter, post
from .webhooks import call

AUDIENCE = Announcement.Audience


def teams_of(announcement: Announcement) -> models.QuerySet[Team]:
    """The teams that the announcement is for."""
    teams = Team.objects.competing().filter(competition=announcement.competition_id)
    if announcement.audience == AUDIENCE.NO_SUBMISSION:
        teams = teams.filter(submissions=None)
    elif announcement.audience == AUDIENCE.NO_DESCRIPTION:
        teams = teams.filter(description=None)
    elif announcement.audience == AUDIENCE.TEAM:
        assert announcement.team_id is not None
        teams = teams.filter(pk=announcement.team_id)
    return teams


def readers_of(announcement: Announcement) -> models.QuerySet[User]:
    """The members of these teams who want such mails."""
    teams = teams_of(announcement)
    people = User.objects.filter(memberships__team__in=teams)
    return NoticeChoice.objects.readers(NoticeKind.ANNOUNCEMENT, people).distinct()


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
            recipients = post([(letter_of(announcement), readers_of(announcement).order_by("pk"))])
            call(of_announcement(announcement, teams_of(announcement).exclude(webhook=None)), now)
            Announcement.objects.filter(pk=number).update(sent_at=now, recipients=recipients)
            sent += 1
    return sent


def letter_of(announcement: Announcement) -> Letter:
    """The mail: the Markdown as written and as HTML, and where it stands."""
    competition = announcement.competition
    page = f"{settings.SITE_URL}/c/{competition.slug}/"
    is_public = announcement.audience == AUDIENCE.EVERYONE
    return Letter(
        NoticeKind.ANNOUNCEMENT,
        competition,
        announcement.title,
        ("All announcements", f"{page}announcements/") if is_public else ("The competition", page),
        text=announcement.body.strip(),
        html=render_for_mail(announcement.body, f"{settings.SITE_URL}/"),
        reason=f"The organisers of {competition} write to the members of its teams.",
    )
