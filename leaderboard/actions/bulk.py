"""Acts on many submissions or teams: asked for with a reason, done by a worker in short transactions, undone by their inverse.

No transaction takes more than a part of one team's submissions, so that SQLite's one writer is never held for long; the
standing of a team is refreshed with its last part.
"""

import time
from datetime import datetime
from itertools import takewhile
from typing import Any

import structlog
from celery import shared_task
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from leaderboard.models import (
    BulkAct,
    Competition,
    LabelSet,
    Phase,
    PhaseFigures,
    Standing,
    Submission,
    Team,
    User,
)
from leaderboard.platform.bell import ring, ring_on_commit

from .bulk_kinds import HIDES, KINDS, Before, hide_or_show
from .records import log_act, need_reason, public_entry
from .refusals import Conflict, InvalidInput, check_organiser

log = structlog.get_logger(__name__)

PART = 50  # submissions in a transaction: `make bench-locks`
SLICE_SECONDS = 5.0  # then other tasks of the worker have their turn
AT_ONCE = 50  # so many are done while the organiser waits


def begin(
    user: Any,
    kind: str,
    chosen: Any,
    reason: str,
    withhold: str = "",
    *,
    label_set: LabelSet | None = None,
) -> BulkAct:
    """Have the act done to each of the submissions, or teams (of one competition); a few of them at once.

    ``label_set``: on which submissions are evaluated, where that is the act. Raises InvalidInput and NotAllowed.
    """
    reason = need_reason(reason)
    found = list(_in_order(kind, chosen).values_list("pk", _path(kind)))
    if not found:
        raise InvalidInput("Nothing is chosen.")
    if len({competition for _, competition in found}) > 1:
        raise InvalidInput("Choose rows of one competition: each has its own log and organisers.")
    competition = Competition.objects.get(pk=found[0][1])
    check_organiser(user, competition)
    if kind == BulkAct.Kind.RESCORE:
        without = Phase.objects.filter(labels=None, submissions__in=chosen.order_by()).first()
        if without is not None:
            raise InvalidInput(f"{without} has no labels yet.")
    with transaction.atomic():
        act = BulkAct.objects.create(
            competition=competition,
            kind=kind,
            requested_by=user if isinstance(user, User) else None,
            reason=reason,
            withhold=withhold.strip(),
            label_set=label_set,
            rows=[pk for pk, _ in found],
            total=len(found),
        )
        ring_on_commit(work)
    return _at_once(act)


def _in_order(kind: str, chosen: Any) -> Any:
    return chosen.order_by("pk") if kind in HIDES else chosen.order_by("phase", "team", "pk")


def _path(kind: str) -> str:
    return "competition" if kind in HIDES else "phase__competition"


def disqualify(user: Any, submission: Submission, reason: str, withhold: str = "") -> None:
    """Take a submission out of the ranking, with a reason; nothing is deleted."""
    _to_one(user, BulkAct.Kind.DISQUALIFY, submission, reason, withhold)


def restore(user: Any, submission: Submission, reason: str, withhold: str = "") -> None:
    """Reverse a disqualification, with a reason."""
    _to_one(user, BulkAct.Kind.RESTORE, submission, reason, withhold)


def _to_one(user: Any, kind: str, submission: Submission, reason: str, withhold: str) -> None:
    begin(user, kind, Submission.objects.filter(pk=submission.pk), reason, withhold)
    submission.refresh_from_db()


def rescore(user: Any, submissions: Any, reason: str) -> BulkAct:
    """Score submissions again on the labels in force, behind all fresh ones."""
    return begin(user, BulkAct.Kind.RESCORE, submissions, reason)


def undo(user: Any, act: BulkAct, reason: str) -> BulkAct:
    """Take back what an act changed, and nothing else. Raises Conflict where that is not possible."""
    check_organiser(user, act.competition)
    reason = need_reason(reason)
    with transaction.atomic():
        act = BulkAct.objects.select_for_update(of=("self",)).get(pk=act.pk)
        if act.finished_at is None:
            raise Conflict("It is still being done. Undo it when it is finished.")
        if act.undoes_id:
            raise Conflict("This took back another act. Do that one again instead.")
        if act.is_undone:
            raise Conflict("It was undone already.")
        if not act.changed:
            raise Conflict("It changed nothing, so there is nothing to undo.")
        model = Team if act.is_on_teams else Submission
        chosen = _in_order(act.kind, model._default_manager.filter(pk__in=act.changed))
        inverse = BulkAct.objects.create(
            competition=act.competition,
            kind=act.kind,
            undoes=act,
            requested_by=user if isinstance(user, User) else None,
            reason=reason,
            withhold=act.withhold,
            label_set_id=act.label_set_id,
            rows=list(chosen.values_list("pk", flat=True)),
            total=chosen.count(),
        )
        ring_on_commit(work)
    return _at_once(inverse)


def _at_once(act: BulkAct) -> BulkAct:
    while act.total <= AT_ONCE and step(act):
        pass
    act.refresh_from_db()
    return act


@shared_task(name="leaderboard.actions.bulk.work")
def work() -> str:
    """Go on with the oldest act that waits, for a while; ring again while there is more."""
    act = BulkAct.objects.due(timezone.now()).order_by("pk").first()
    if act is None:
        return "nothing waits"
    began = part_began = time.monotonic()
    while going := step(act):
        let_others_write(time.monotonic() - part_began)
        part_began = time.monotonic()
        if part_began > began + SLICE_SECONDS:
            BulkAct.objects.filter(pk=act.pk).update(seen_at=None)  # for whoever is free
            break
    log.info("bulk act", act=act.pk, kind=act.kind, position=act.position, total=act.total)
    if going or BulkAct.objects.due(timezone.now()).exists():
        ring(work)
    return "continues" if going else "finished"


def let_others_write(held: float) -> None:
    """Pause after a part that took so many seconds. Who waits for SQLite's writer lock only looks now and then whether it is
    free (every 0.1 s in the end), so it has to be free most of the time."""
    if connection.vendor == "sqlite":
        time.sleep(min(2.0, max(0.05, 3 * held)))


def step(act: BulkAct) -> bool:
    """Do the next part, in one transaction; False when nothing is left, or another worker has taken over."""
    now = timezone.now()
    part, last_of_team = next_part(act)
    if not part:
        _finish(act, now)
        return False
    with transaction.atomic():
        taken = BulkAct.objects.filter(pk=act.pk, position=act.position, finished_at=None)
        if not taken.update(position=F("position") + len(part), seen_at=now):
            return False
        act.position += len(part)
        if act.is_on_teams:
            _do_team(act, part)
        elif locked := Submission.objects.filter(pk__in=part).order_by("pk").lock():
            _do_part(act, locked, last_of_team=last_of_team)
    if act.position >= act.total:
        _finish(act, now)
        return False
    return True


def next_part(act: BulkAct) -> tuple[list[int], bool]:
    """What one transaction takes: one team, or submissions of one team in one phase; and whether they are its last."""
    if act.is_on_teams:
        return act.part(1), True
    ahead = act.part(PART + 1)
    found = Submission.objects.filter(pk__in=ahead).values_list("pk", "phase", "team")
    place = {pk: (phase, team) for pk, phase, team in found}
    mine = list(takewhile(lambda pk: place.get(pk) == place.get(ahead[0]), ahead))[:PART]
    last = len(mine) == len(ahead) or place.get(ahead[len(mine)]) != place.get(mine[0])
    return mine, last


def _do_team(act: BulkAct, part: list[int]) -> None:
    team = Team.objects.select_related("competition").filter(pk__in=part).first()
    if team is not None and hide_or_show(act, team):
        _remember(act, {team.pk: None})


def _do_part(act: BulkAct, rows: list[Submission], *, last_of_team: bool) -> None:
    """Change these submissions of one team, and remember what they were."""
    before = _perform(act, rows)
    _remember(act, before)
    kind = KINDS[act.kind]
    phase, team = rows[0].phase, rows[0].team
    if last_of_team and kind.moves_standings:
        Standing.objects.refresh_locked(phase, team)
        PhaseFigures.objects.forget(phase)
    if before and kind.done:
        subject = f"{len(before)} submissions of {team}" if len(before) > 1 else str(rows[0])
        _log(act, phase, subject, before)


def _remember(act: BulkAct, before: Before) -> None:
    act.changed |= {str(pk): value for pk, value in before.items()}
    BulkAct.objects.filter(pk=act.pk).update(changed=act.changed, number_changed=len(act.changed))


def _perform(act: BulkAct, rows: list[Submission]) -> Before:
    kind = KINDS[act.kind]
    if act.undoes is None:
        return kind.do(rows, act)
    former = {row.pk: act.undoes.changed[str(row.pk)] for row in rows if str(row.pk) in act.undoes.changed}
    return kind.undo(rows, former)


def _finish(act: BulkAct, now: datetime) -> None:
    BulkAct.objects.filter(pk=act.pk, finished_at=None).update(finished_at=now, position=F("total"))


def _log(act: BulkAct, phase: Phase, subject: str, before: Before) -> None:
    kind = KINDS[act.kind]
    entry = public_entry(act.reason, act.withhold)
    details = {"submissions": sorted(before), "bulk_act": act.pk, **entry["details"]}
    word = kind.undone if act.undoes_id else kind.done
    log_act(
        word, act.requested_by, phase, subject, act.reason, details, public=kind.public and entry["public"]
    )
