"""What each kind of bulk act does to some rows and how it is undone; ``bulk`` says when, in parts."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from django.utils import timezone

from evaluation import __version__
from leaderboard.models import Attempt, BulkAct, Evaluation, LabelSet, Submission, Team
from leaderboard.platform.bell import ring_on_commit
from leaderboard.scoring import tasks

from .single_teams import set_hidden

Before = dict[int, Any]
"""What was changed: by the row's primary key, what it was before (as JSON)."""


class Kind(NamedTuple):
    """How an act is done and undone, on locked submissions of one team, and what the log calls both; no words: not logged."""

    do: Callable[[list[Submission], BulkAct], Before]
    undo: Callable[[list[Submission], Before], Before]
    done: str = ""
    undone: str = ""
    public: bool = True
    moves_standings: bool = True


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


def _evaluate(rows: list[Submission], act: BulkAct) -> Before:
    assert act.label_set is not None
    chosen = lacking(Submission.objects.filter(pk__in=[row.pk for row in rows]), act.label_set)
    return {each.submission_id: each.pk for each in queue_evaluations(chosen, act.label_set)}


def lacking(submissions: Any, label_set: LabelSet) -> Any:
    """Those without a score by this scorer on the label set.

    Not what is invalid under any labels, nor what still waits: that is scored on the labels in force by then.
    """
    done = Evaluation.objects.filter(label_set=label_set, state=Evaluation.State.SCORED, scorer=__version__)
    pending = Evaluation.objects.queued().filter(priority=Evaluation.Priority.FRESH)
    rest = submissions.exclude(evaluation__state=Evaluation.State.INVALID)
    return rest.exclude(pk__in=done.values("submission")).exclude(pk__in=pending.values("submission"))


def queue_evaluations(submissions: Any, label_set: LabelSet) -> list[Evaluation]:
    """Queue one low-priority evaluation for each submission that has none waiting on this label set; returns them."""
    waiting = Evaluation.objects.unfinished().filter(label_set=label_set)
    fresh = list(submissions.exclude(pk__in=waiting.values("submission")).values_list("pk", flat=True))
    made = Evaluation.objects.bulk_create(
        Evaluation(submission_id=pk, label_set=label_set, priority=Evaluation.Priority.RESCORE)
        for pk in fresh
    )
    ring_on_commit(tasks.work)
    return made


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
    BulkAct.Kind.RESCORE: Kind(
        _rescore, _unqueue, "re-scored", "re-score taken back", public=False, moves_standings=False
    ),
    BulkAct.Kind.EVALUATE: Kind(_evaluate, _unqueue, moves_standings=False),  # the log has the loading
}


HIDES = {BulkAct.Kind.HIDE: True, BulkAct.Kind.SHOW: False}
"""The acts on teams, and whether they hide."""


def hide_or_show(act: BulkAct, team: Team) -> bool:
    """Do the act, or undo it, to one team; False if the team is so already. Logs it and tells the team."""
    hidden = HIDES[BulkAct.Kind(act.kind)] is (act.undoes_id is None)
    if hidden is (team.hidden_at is not None):
        return False
    set_hidden(act.requested_by, team, hidden, act.reason, act.withhold)
    return True
