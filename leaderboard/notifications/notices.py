"""Notices: derived from what workers recorded and from deadlines, then collected into mails.

Deriving reads finished evaluations after their transaction, so that a score costs no query more. Everything runs under
one lock, and every notice has a unique key: two beats at once send nothing twice. A mail collects what has happened to
a team since the last mail of its kind, but not before its pause is over.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta

from celery import shared_task
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from leaderboard.models import (
    Evaluation,
    Membership,
    Notice,
    NoticeChoice,
    NoticeKind,
    Phase,
    Standing,
    User,
)
from leaderboard.models.locks import lock_named, lock_rows
from leaderboard.models.notices import BEFORE
from leaderboard.models.visibility import participants_view

from .events import of_notices
from .letters import Letter, post
from .reminders import remind
from .webhooks import call
from .wording import LETTERS

LATE = timedelta(days=1)  # after an import or a long outage, nobody hears of what was scored long ago
BATCH = 500
TEAMS_IN_A_BATCH = 100
PASSED_AT_ONCE = 100  # who is passed by a leap over more teams than this hears nothing of it
PAUSES = {
    NoticeKind.SCORED: timedelta(minutes=10),
    NoticeKind.INVALID: timedelta(minutes=10),
    NoticeKind.OVERTAKEN: timedelta(hours=1),
    **dict.fromkeys(BEFORE, timedelta(0)),
}
"""How long after a mail of a kind to a team the next one waits."""
ENDS = {
    Evaluation.State.SCORED: NoticeKind.SCORED,
    Evaluation.State.INVALID: NoticeKind.INVALID,
    Evaluation.State.FAILED: NoticeKind.INVALID,
}


@shared_task(name="leaderboard.notifications.notices.work")
def work() -> int:
    """Derive what is new, remind of deadlines, mail what is due; returns how many mails were written."""
    now = timezone.now()
    while derive(now) == BATCH:
        pass
    remind(now)
    mails = 0
    for kind in PAUSES:
        while (written := mail(NoticeKind(kind), now)) is not None:
            mails += written
    Notice.objects.outdated(now).delete()
    return mails


def derive(now: datetime) -> int:
    """Turn finished evaluations into notices, in the order of their end; returns how many were looked at."""
    with transaction.atomic():
        lock_named("notices")
        unnoticed = Evaluation.objects.unnoticed()
        unnoticed.filter(finished_at__lt=now - LATE).update(noticed_at=now)
        ended = list(
            unnoticed.exclude(_is_one_of_many())
            .select_related("submission__phase__competition", "submission__team")
            .defer("patch_counts", "problems", "submission__description")
            .order_by("finished_at", "pk")[:BATCH]
        )
        told = [evaluation for evaluation in ended if _concerns_its_team(evaluation)]
        notices = [_notice_of(evaluation) for evaluation in told]
        notices += overtakings(told, now)
        Notice.objects.bulk_create(notices, ignore_conflicts=True)
        call(of_notices(notices, now), now)
        Evaluation.objects.filter(pk__in=[evaluation.pk for evaluation in ended]).update(noticed_at=now)
    return len(ended)


def _is_one_of_many() -> Q:
    """Re-scores wait for the last one of their phase, so that each person gets one mail about all."""
    again = Evaluation.Priority.RESCORE
    busy = Evaluation.objects.unfinished().filter(priority=again).order_by()
    return Q(
        priority=again,
        submission__phase__in=list(busy.values_list("submission__phase", flat=True).distinct()),
    )


def _concerns_its_team(evaluation: Evaluation) -> bool:
    """Not reference entries, not what is out of the ranking, not scores under labels that are not in force."""
    submission = evaluation.submission
    stands = submission.withdrawn_at is None and submission.disqualified_at is None
    if submission.reference or submission.team.is_organisers or not stands:
        return False
    if evaluation.label_set_id != submission.phase.labels_id or submission.evaluation_id != evaluation.pk:
        return False
    return evaluation.state == Evaluation.State.SCORED or _is_fresh(evaluation)


def _is_fresh(evaluation: Evaluation) -> bool:
    return evaluation.priority == Evaluation.Priority.FRESH


def _notice_of(evaluation: Evaluation) -> Notice:
    submission = evaluation.submission
    submission.evaluation = evaluation
    return Notice(
        kind=ENDS[Evaluation.State(evaluation.state)],
        team=submission.team,
        key=f"evaluation {evaluation.pk}",
        phase=submission.phase,
        submission=submission,
        again=not _is_fresh(evaluation),
    )


def overtakings(ended: Iterable[Evaluation], now: datetime) -> list[Notice]:
    """A notice for each team that fell behind another by these fresh scores, on a board that it may see."""
    scored: dict[Phase, Counter[int]] = defaultdict(Counter)
    for evaluation in ended:
        if _is_fresh(evaluation) and evaluation.state == Evaluation.State.SCORED:
            scored[evaluation.submission.phase][evaluation.submission.team_id] += 1
    lock_rows(Phase.objects.filter(pk__in=[phase.pk for phase in scored]))
    return [notice for phase, fresh in scored.items() for notice in _overtakings_in(phase, fresh, now)]


def _overtakings_in(phase: Phase, fresh: Counter[int], now: datetime) -> list[Notice]:
    """``fresh``: how many new scores each team has since the last look."""
    board = Standing.objects.filter(label_set=phase.labels_id, kind=participants_view(phase, now).board)
    rows = list(board.filter(team__in=fresh).select_related("team"))
    before = {row.team_id: _key_before(row, fresh[row.team_id]) for row in rows}
    board.filter(pk__in=[row.pk for row in rows]).update(noticed_key=F("rank_key"))
    found = []
    for row in rows:
        start = before[row.team_id] or 0
        passed = board.filter(rank_key__gte=start, rank_key__lt=row.rank_key).exclude(pk=row.pk)
        for other in passed.select_related("team").order_by("-rank_key")[:PASSED_AT_ONCE]:
            was = before.get(other.team_id, other.rank_key)
            if was is not None and was >= start:
                key = f"overtaken {phase.pk} {row.submission_id} {row.team_id}"
                found.append(
                    Notice(kind=NoticeKind.OVERTAKEN, team=other.team, key=key, phase=phase, rival=row.team)
                )
    return found


def _key_before(row: Standing, fresh: int) -> int | None:
    """The rank key at the last look; None for a team that is new on the board. A row older than notices stays as it is."""
    if row.noticed_key is None and row.entries > fresh:
        return row.rank_key
    return row.noticed_key


def mail(kind: NoticeKind, now: datetime) -> int | None:
    """One mail per person for the waiting notices of some teams; returns how many, None where no team is due."""
    with transaction.atomic():
        lock_named("notices")
        lately = Notice.objects.filter(team=OuterRef("team"), kind=kind, mailed_at__gt=now - PAUSES[kind])
        waiting = Notice.objects.waiting().filter(kind=kind)
        due = waiting.exclude(Exists(lately)).order_by("team").values_list("team", flat=True).distinct()
        teams = list(due[:TEAMS_IN_A_BATCH])
        if not teams:
            return None
        found = list(
            waiting.filter(team__in=teams)
            .select_related("team", "phase__competition", "phase__labels", "rival")
            .select_related("submission__evaluation__label_set", "submission__team")
            .defer("phase__labels__masks", "submission__evaluation__label_set__masks")
            .order_by("pk")
        )
        written = post(_letters(kind, found, now))
        Notice.objects.filter(pk__in=[notice.pk for notice in found]).update(mailed_at=now)
    return written


def _letters(kind: NoticeKind, notices: list[Notice], now: datetime) -> Iterable[tuple[Letter, list[User]]]:
    """The letters about these notices, each with the people who want it."""
    by_team: dict[int, list[Notice]] = defaultdict(list)
    for notice in notices:
        if notice.submission:
            notice.submission.phase = notice.phase
        by_team[notice.team_id].append(notice)
    members = _readers(kind, by_team)
    for team, theirs in by_team.items():
        for people, some in _by_people(kind, members[team], theirs):
            letter = LETTERS[kind](some[0].team, some, now) if people else None
            if letter:
                yield letter, people


def _readers(kind: NoticeKind, teams: Iterable[int]) -> dict[int, list[User]]:
    """The members of each team who want this kind."""
    wanting = NoticeChoice.objects.readers(kind, User.objects.filter(memberships__team__in=list(teams)))
    found: dict[int, list[User]] = defaultdict(list)
    memberships = Membership.objects.filter(team__in=list(teams), user__in=wanting).select_related("user")
    for membership in memberships.order_by("pk"):
        found[membership.team_id].append(membership.user)
    return found


def _by_people(
    kind: NoticeKind, members: list[User], notices: list[Notice]
) -> Iterable[tuple[list[User], list[Notice]]]:
    """Who reads which of a team's notices together: everybody all of them; but reminders come one by one, and an
    invalid archive concerns only who uploaded it."""
    if kind in BEFORE:
        return [(members, [notice]) for notice in notices]
    if kind != NoticeKind.INVALID:
        return [(members, notices)]
    by_uploader: dict[int | None, list[Notice]] = defaultdict(list)
    for notice in notices:
        by_uploader[notice.submission.submitted_by_id if notice.submission else None].append(notice)
    return [([member], by_uploader[member.pk]) for member in members if member.pk in by_uploader]
