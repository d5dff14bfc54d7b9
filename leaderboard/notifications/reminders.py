"""Reminders before a phase ends: one for each team and date, for teams that can still submit."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

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
    for phase, kind, teams in due_reminders(now):
        while some := _remind(phase, kind, teams, now):
            written += some
    return written


def due_reminders(now: datetime) -> Iterator[tuple[Phase, NoticeKind, QuerySet[Team]]]:
    """Phases that end soon, with the reminder that is due, and the teams for which they end then."""
    ending = (
        Phase.objects.with_labels()
        .filter(Q(closes_at__gt=now) | Q(extended_until__gt=now), closes_at__lte=now + max(BEFORE.values()))
        .filter(opens_at__lte=now, competition__is_published=True, labels__isnull=False)
    )
    for phase in ending:
        teams = Team.objects.competing().filter(competition=phase.competition_id)
        of_phase = phase.extensions.all()
        for kind in _due(phase, now):
            yield phase, kind, teams.exclude(pk__in=of_phase.values("team"))
        for extension in of_phase:
            own = extension.on(phase)
            for kind in _due(own, now):
                yield own, kind, teams.filter(pk=extension.team_id)


def _due(phase: Phase, now: datetime) -> Iterator[NoticeKind]:
    """A phase shorter than the time before its end has no reminder."""
    assert phase.closes_at is not None
    for kind, before in BEFORE.items():
        due_at = phase.closes_at - before
        if phase.opens_at < due_at <= now < min(due_at + LATEST, phase.closes_at):
            yield kind


def _remind(phase: Phase, kind: NoticeKind, teams: QuerySet[Team], now: datetime) -> int:
    """Some of the notices still missing. The date is part of their key: a moved end is another deadline."""
    key = f"{kind} {phase.pk} {phase.closes_at:%Y%m%dT%H%M%S}"
    with transaction.atomic():
        lock_named("notices")
        some = list(_that_may_submit(teams, phase, kind, now).exclude(
            Exists(Notice.objects.filter(team=OuterRef("pk"), key=key))
        )[:BATCH])  # fmt: skip
        notices = [Notice(kind=kind, team=team, key=key, phase=phase) for team in some]
        Notice.objects.bulk_create(notices, ignore_conflicts=True)
        call(of_notices(notices, now), now)
    return len(notices)


def _that_may_submit(teams: QuerySet[Team], phase: Phase, kind: NoticeKind, now: datetime) -> QuerySet[Team]:
    """Those that existed when the reminder became due and that can submit before the end, as far as quotas go."""
    assert phase.closes_at is not None
    there = teams.filter(created_at__lt=phase.closes_at - BEFORE[kind])
    return there.exclude(pk__in=Attempt.objects.used_up(phase, now).values("team")).order_by("pk")
