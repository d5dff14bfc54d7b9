"""Reminders before a phase ends: one for each team and date, for teams that can still submit."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from leaderboard.models import Attempt, Notice, NoticeKind, Phase, Team
from leaderboard.models.locks import lock_named
from leaderboard.models.notices import BEFORE

from .events import of_notices
from .webhooks import call

LATEST = timedelta(hours=6)
"""After an outage of less than this, reminders are sent late; after a longer one, or when an organiser moves the end
into the near future, the next one follows."""
BATCH = 200


def remind(now: datetime) -> int:
    """Write the reminders that are due; returns how many."""
    written = 0
    for phase, kind in due_reminders(now):
        while some := _remind(phase, kind, now):
            written += some
    return written


def due_reminders(now: datetime) -> Iterator[tuple[Phase, NoticeKind]]:
    """Phases that end soon, with the reminder that is due. A phase shorter than the time before its end has none."""
    ending = (
        Phase.objects.with_labels()
        .open_at(now)
        .filter(
            competition__is_published=True, labels__isnull=False, closes_at__lte=now + max(BEFORE.values())
        )
    )
    for phase in ending:
        assert phase.closes_at is not None
        for kind, before in BEFORE.items():
            due_at = phase.closes_at - before
            if phase.opens_at < due_at <= now < due_at + LATEST:
                yield phase, kind


def _remind(phase: Phase, kind: NoticeKind, now: datetime) -> int:
    """Some of the notices still missing. The date is part of their key: a moved end is another deadline."""
    key = f"{kind} {phase.pk} {phase.closes_at:%Y%m%dT%H%M%S}"
    with transaction.atomic():
        lock_named("notices")
        teams = list(_teams_that_may_submit(phase, kind, now).exclude(
            Exists(Notice.objects.filter(team=OuterRef("pk"), key=key))
        )[:BATCH])  # fmt: skip
        notices = [Notice(kind=kind, team=team, key=key, phase=phase) for team in teams]
        Notice.objects.bulk_create(notices, ignore_conflicts=True)
        call(of_notices(notices, now), now)
    return len(notices)


def _teams_that_may_submit(phase: Phase, kind: NoticeKind, now: datetime) -> QuerySet[Team]:
    """Teams that existed when the reminder became due and that can submit before the end, as far as quotas go."""
    assert phase.closes_at is not None
    made_before = phase.closes_at - BEFORE[kind]
    teams = Team.objects.competing().filter(competition=phase.competition_id, created_at__lt=made_before)
    return teams.exclude(pk__in=Attempt.objects.used_up(phase, now).values("team")).order_by("pk")
