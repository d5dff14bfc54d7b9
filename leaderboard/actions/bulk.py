"""Acts on many submissions: asked for with a reason, done by a worker in short transactions, undone by their inverse.

No transaction takes more than a part of one team's submissions, so that SQLite's one writer is never held for long; the
standing of a team is refreshed with its last part.
"""

import time
from collections.abc import Callable
from datetime import datetime
from itertools import takewhile
from typing import Any, NamedTuple

import structlog
from celery import shared_task
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from leaderboard.models import Attempt, BulkAct, Evaluation, Phase, PhaseFigures, Standing, Submission, User
from leaderboard.platform.bell import ring, ring_on_commit

from .judging import log_act, need_reason, public_entry, queue_evaluations
from .refusals import Conflict, InvalidInput, check_organiser

log = structlog.get_logger(__name__)

PART = 100  # submissions in a transaction
SLICE_SECONDS = 5.0  # then other tasks of the worker have their turn
AT_ONCE = 50  # so many are done while the organiser waits

Before = dict[int, Any]
"""What was changed: by the submission's primary key, what it was before (as JSON)."""


class Kind(NamedTuple):
    """How an act is done and undone, on submissions of one team that are locked; and what the log calls both."""

    do: Callable[[list[Submission], BulkAct], Before]
    undo: Callable[[list[Submission], Before], Before]
    done: str
    undone: str
    public: bool = True


def begin(user: Any, kind: str, submissions: Any, reason: str, withhold: str = "") -> BulkAct:
    """Have the act done to each of the submissions (of one competition); a few of them at once. Raises InvalidInput and NotAllowed."""
    reason = need_reason(reason)
    rows = submissions.order_by("phase", "team", "pk").values_list("pk", "phase__competition")
    found = list(rows)
    if not found:
        raise InvalidInput("No submission is chosen.")
    if len({competition for _, competition in found}) > 1:
        raise InvalidInput("Choose submissions of one competition: each has its own log and organisers.")
    phases = Phase.objects.filter(submissions__in=[found[0][0]]).select_related("competition")
    competition = phases.get().competition
    check_organiser(user, competition)
    if kind == BulkAct.Kind.RESCORE:
        without = Phase.objects.filter(labels=None, submissions__in=submissions.order_by()).first()
        if without is not None:
            raise InvalidInput(f"{without} has no labels yet.")
    with transaction.atomic():
        act = BulkAct.objects.create(
            competition=competition,
            kind=kind,
            requested_by=user if isinstance(user, User) else None,
            reason=reason,
            withhold=withhold.strip(),
            submissions=[pk for pk, _ in found],
            total=len(found),
        )
        ring_on_commit(work)
    return _at_once(act)


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
        chosen = Submission.objects.filter(pk__in=act.changed).order_by("phase", "team", "pk")
        inverse = BulkAct.objects.create(
            competition=act.competition,
            kind=act.kind,
            undoes=act,
            requested_by=user if isinstance(user, User) else None,
            reason=reason,
            withhold=act.withhold,
            submissions=list(chosen.values_list("pk", flat=True)),
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
    part = act.part(PART + 1)
    rows = Submission.objects.filter(pk__in=part).values_list("pk", "phase", "team")
    place = {pk: (phase, team) for pk, phase, team in rows}
    mine = list(takewhile(lambda pk: place.get(pk) == place.get(part[0]), part))[:PART]
    if not mine:
        _finish(act, now)
        return False
    last_of_team = len(mine) == len(part) or place.get(part[len(mine)]) != place.get(mine[0])
    with transaction.atomic():
        taken = BulkAct.objects.filter(pk=act.pk, position=act.position, finished_at=None)
        if not taken.update(position=F("position") + len(mine), seen_at=now):
            return False
        act.position += len(mine)
        if locked := Submission.objects.filter(pk__in=mine).order_by("pk").lock():
            _do_part(act, locked, last_of_team=last_of_team)
    if act.position >= act.total:
        _finish(act, now)
        return False
    return True


def _do_part(act: BulkAct, rows: list[Submission], *, last_of_team: bool) -> None:
    """Change these submissions of one team, and remember what they were."""
    before = _perform(act, rows)
    act.changed |= {str(pk): value for pk, value in before.items()}
    BulkAct.objects.filter(pk=act.pk).update(changed=act.changed, number_changed=len(act.changed))
    phase, team = rows[0].phase, rows[0].team
    if last_of_team and act.kind != BulkAct.Kind.RESCORE:
        Standing.objects.refresh_locked(phase, team)
        PhaseFigures.objects.forget(phase)
    if before:
        subject = f"{len(before)} submissions of {team}" if len(before) > 1 else str(rows[0])
        _log(act, phase, subject, before)


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


def _disqualify(rows: list[Submission], act: BulkAct) -> Before:
    chosen = [row.pk for row in rows if row.disqualified_at is None]
    new = {"disqualified_at": timezone.now(), "disqualified_reason": act.reason}
    Submission.objects.filter(pk__in=chosen).update(**new)
    return dict.fromkeys(chosen)


def _qualify(rows: list[Submission], former: Before) -> Before:
    """Take a disqualification back, unless somebody else has since."""
    chosen = [row.pk for row in rows if row.pk in former and row.disqualified_at is not None]
    Submission.objects.filter(pk__in=chosen).update(disqualified_at=None, disqualified_reason="")
    return dict.fromkeys(chosen)


def _restore(rows: list[Submission], act: BulkAct) -> Before:
    former = {
        row.pk: [row.disqualified_at.isoformat(), row.disqualified_reason]
        for row in rows
        if row.disqualified_at is not None
    }
    Submission.objects.filter(pk__in=former).update(disqualified_at=None, disqualified_reason="")
    return former


def _disqualify_again(rows: list[Submission], former: Before) -> Before:
    chosen = [row for row in rows if row.pk in former and row.disqualified_at is None]
    for row in chosen:
        at, row.disqualified_reason = former[row.pk]
        row.disqualified_at = datetime.fromisoformat(at)
    Submission.objects.bulk_update(chosen, ["disqualified_at", "disqualified_reason"])
    return {row.pk: None for row in chosen}


def _withdraw(rows: list[Submission], act: BulkAct) -> Before:
    chosen = [row.pk for row in rows if row.withdrawn_at is None]
    Submission.objects.filter(pk__in=chosen).update(withdrawn_at=timezone.now())
    Attempt.objects.filter(submission__in=chosen).update(board_slot=None)
    return dict.fromkeys(chosen)


def _put_back(rows: list[Submission], former: Before) -> Before:
    """Take a withdrawal back: the submission takes a place on the board again."""
    chosen = [row.pk for row in rows if row.pk in former and row.withdrawn_at is not None]
    Submission.objects.filter(pk__in=chosen).update(withdrawn_at=None)
    Attempt.objects.filter(submission__in=chosen).exclude(state=Attempt.State.GIVEN_BACK).take_places()
    return dict.fromkeys(chosen)


def _give_back(rows: list[Submission], act: BulkAct) -> Before:
    held = Attempt.objects.filter(submission__in=rows).exclude(state=Attempt.State.GIVEN_BACK)
    former = {
        each.pk: [each.state, each.reason, each.settled_at and each.settled_at.isoformat()] for each in held
    }
    for pk in former:
        Attempt.objects.give_back(pk, f"by the organisers: {act.reason}"[:120], timezone.now())
    return former


def _take_again(rows: list[Submission], former: Before) -> Before:
    """Attempts are taken again, even where the team has used the free place since: it is above its quota then."""
    attempts = Attempt.objects.filter(submission__in=former, state=Attempt.State.GIVEN_BACK)
    taken: dict[int, None] = {}
    for attempt in attempts:
        attempt.state, attempt.reason, at = former[attempt.pk]
        attempt.settled_at = at and datetime.fromisoformat(at)
        attempt.save(update_fields=["state", "reason", "settled_at"])
        taken[attempt.pk] = None
    standing = {row.pk for row in rows if row.withdrawn_at is None}
    Attempt.objects.filter(submission__in=taken).take_places(on_board=standing, quota=True)
    return taken


def _rescore(rows: list[Submission], act: BulkAct) -> Before:
    labels = rows[0].phase.labels
    if labels is None:
        return {}
    queued = queue_evaluations(Submission.objects.filter(pk__in=[row.pk for row in rows]), labels)
    return {each.submission_id: each.pk for each in queued}


def _unqueue(rows: list[Submission], former: Before) -> Before:
    """What no worker has begun yet leaves the queue; a score that is there stays."""
    waiting = Evaluation.objects.queued().filter(pk__in=former.values())
    found = dict(waiting.values_list("submission", "pk"))
    waiting.delete()
    return found


KINDS: dict[str, Kind] = {
    BulkAct.Kind.DISQUALIFY: Kind(_disqualify, _qualify, "disqualified", "restored"),
    BulkAct.Kind.RESTORE: Kind(_restore, _disqualify_again, "restored", "disqualified"),
    BulkAct.Kind.WITHDRAW: Kind(
        _withdraw, _put_back, "withdrawn by the organisers", "put back by the organisers"
    ),
    BulkAct.Kind.GIVE_BACK: Kind(_give_back, _take_again, "attempts given back", "attempts taken again"),
    BulkAct.Kind.RESCORE: Kind(_rescore, _unqueue, "re-scored", "re-score taken back", public=False),
}
