"""The queue of record: rows of ``Evaluation``. Claim, lease, record, sweep; no Celery in here.

Every write is one short transaction. ``Evaluation.tries`` is a fencing number: if a worker has lost its lease, the
number has changed and its result is discarded.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Subquery
from django.utils import timezone

from evaluation import __version__
from evaluation.archive.problems import Problem, evaluation_crashed
from evaluation.scoring.counts import Counts
from evaluation.scoring.metrics import rank_key
from leaderboard.models import Attempt, Evaluation, Prediction, RefusedUpload, Standing, Submission, Team
from leaderboard.models.locks import lock_named

log = logging.getLogger(__name__)

# While the archive storage does not answer
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
PATIENCE = timedelta(days=1)
SKEW = timedelta(seconds=30)  # by which the clocks of two hosts may differ


@dataclass(frozen=True)
class Claim:
    """The right to write an evaluation's result while the row still has this ``tries``."""

    evaluation: Evaluation
    tries: int

    @property
    def row(self) -> dict[str, object]:
        """The fence: matches the row only while this claim is valid."""
        return {"pk": self.evaluation.pk, "tries": self.tries, "state": Evaluation.State.SCORING}


def lease_end(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.EVALUATION_LEASE_SECONDS)


def claim(worker: str) -> Claim | None:
    """Claim the next evaluation in fair order, or None. One claim at a time, so that each sees the previous one."""
    with transaction.atomic():
        lock_named("claim")
        now = timezone.now()
        evaluation = _next_evaluation(now)
        if evaluation is None:
            return None
        taken = {
            "state": Evaluation.State.SCORING,
            "tries": evaluation.tries + 1,
            "worker": worker,
            "started_at": now,
            "lease_until": lease_end(now),
        }
        row = Evaluation.objects.queued().filter(pk=evaluation.pk, tries=evaluation.tries)
        if not row.update(**taken):
            return None
    for name, value in taken.items():
        setattr(evaluation, name, value)
    return Claim(evaluation, evaluation.tries)


def _next_evaluation(now: datetime) -> Evaluation | None:
    """The first in the fair order, with all that a worker needs; only keys are sorted."""
    first = Evaluation.objects.due(now).in_claim_order().values("pk")[:1]
    return (
        Evaluation.objects.filter(pk=Subquery(first))
        .select_related("submission__team", "submission__phase", "submission__prediction", "label_set")
        .defer("label_set__masks", "submission__description", "patch_counts", "problems")
        .first()
    )


def prolong(held: Claim) -> bool:
    """Extend the lease; False if the claim was lost."""
    return Evaluation.objects.filter(**held.row).update(lease_until=lease_end(timezone.now())) == 1


def record_score(held: Claim, counts: Counts, prediction: bytes, prediction_sha256: str) -> bool:
    """Write counts, standing, attempt and board version in one transaction; False if the claim was lost.

    If the labels were superseded meanwhile, the score is stored but no board changes.
    """
    tp, fp, fn = counts.total
    now = timezone.now()
    with transaction.atomic():
        submission = _lock_submission(held.evaluation.submission, now)
        written = Evaluation.objects.filter(**held.row).update(
            state=Evaluation.State.SCORED,
            scorer=__version__,
            tp=tp,
            fp=fp,
            fn=fn,
            rank_key=rank_key(tp, fp, fn),
            patch_counts=counts.to_bytes(),
            problems=[],
            finished_at=now,
            lease_until=None,
        )
        if not written:
            return False
        Prediction.objects.bulk_create(
            [Prediction(submission=submission, masks=prediction, sha256=prediction_sha256)],
            update_conflicts=True,
            unique_fields=["submission"],
            update_fields=["masks", "sha256"],
        )
        if not submission.reference:
            Attempt.objects.spend(submission.pk, now)
        if held.evaluation.label_set_id == submission.phase.labels_id:
            submission.phase.labels = held.evaluation.label_set
            if submission.evaluation_id != held.evaluation.pk:
                Submission.objects.filter(pk=submission.pk).update(evaluation=held.evaluation)
            Standing.objects.refresh_locked(submission.phase, submission.team)
    return True


def _lock_submission(submission: Submission, now: datetime) -> Submission:
    """The submission as it is once its team, then its phase are locked; the team counts as served.

    ``Submission.objects.lock`` in two statements, because every score takes them.
    """
    team = submission.team_id
    while True:
        Team.objects.filter(pk=team).update(served_at=now)
        rows = Submission.objects.filter(pk=submission.pk, team=team).select_related("team", "phase")
        found = rows.defer("description").select_for_update(of=("phase",), no_key=True).first()
        if found is not None:
            return found
        team = Submission.objects.values_list("team_id", flat=True).get(
            pk=submission.pk
        )  # a merger came first


def record_invalid(held: Claim, problems: list[Problem]) -> bool:
    """The archive is invalid (the participant's mistake): the attempt is given back."""
    return _record_end(
        held.evaluation, held.row, Evaluation.State.INVALID, problems, "the archive was invalid"
    )


def record_failure(held: Claim, problem: Problem, incident: str) -> bool:
    """The server failed: the attempt is given back, and organisers can look up the incident."""
    return _record_end(
        held.evaluation, held.row, Evaluation.State.FAILED, [problem], "a server error", incident
    )


def release(held: Claim, pause: timedelta = timedelta()) -> bool:
    """Return an evaluation to the queue, e.g. when the worker must stop; the try still counts."""
    later = timezone.now() + pause
    return (
        Evaluation.objects.filter(**held.row).update(
            state=Evaluation.State.QUEUED,
            lease_until=None,
            worker="",
            rung_at=later,
            not_before=later if pause else None,
        )
        == 1
    )


def postpone(held: Claim) -> bool:
    """Postpone an evaluation while the storage does not answer, which is not the archive's fault.

    Each pause doubles the previous one. False if the claim was lost, or if this has lasted too long.
    """
    now, evaluation = timezone.now(), held.evaluation
    if now - evaluation.queued_at > PATIENCE:
        return False
    later = now + min(FIRST_PAUSE * 2 ** min(evaluation.postponed, 16), LONGEST_PAUSE)
    return (
        Evaluation.objects.filter(**held.row).update(
            state=Evaluation.State.QUEUED,
            lease_until=None,
            worker="",
            postponed=evaluation.postponed + 1,
            not_before=later,
            rung_at=later,
        )
        == 1
    )


def _record_end(
    evaluation: Evaluation,
    row: dict[str, object],
    state: str,
    problems: list[Problem],
    reason: str,
    incident: str = "",
) -> bool:
    now = timezone.now()
    with transaction.atomic():
        Team.objects.filter(submissions=evaluation.submission_id).update(served_at=now)
        written = Evaluation.objects.filter(**row).update(
            state=state,
            scorer=__version__,
            problems=[problem.as_dict() for problem in problems],
            incident=incident,
            finished_at=now,
            lease_until=None,
        )
        if not written:
            return False
        if evaluation.priority == Evaluation.Priority.FRESH:
            Attempt.objects.give_back(evaluation.submission_id, reason, now)
            if state == Evaluation.State.INVALID:
                _note_refusal(evaluation, problems[0])
    return True


def _note_refusal(evaluation: Evaluation, problem: Problem) -> None:
    """For the organisers, an archive that cannot be scored is one more refused upload."""
    submission = evaluation.submission
    if submission.submitted_by is not None:
        RefusedUpload.objects.note(submission.submitted_by, submission.phase, problem.code, problem.message)


@dataclass(frozen=True)
class Swept:
    """The result of a sweep: evaluations taken back, given up, and waiting without notice."""

    taken_back: int
    given_up: list[Evaluation]
    waiting: int


def sweep() -> Swept:
    """Take back the work of dead workers, give up after too many tries, count what waits. Always safe to run."""
    now = timezone.now()
    cut_to_the_clock(now)
    taken_back, given_up = 0, []
    overdue = Evaluation.objects.scoring().filter(lease_until__lt=now).order_by("lease_until")
    overdue = overdue.select_related("submission")
    for evaluation in overdue:
        row = {
            "pk": evaluation.pk,
            "tries": evaluation.tries,
            "state": Evaluation.State.SCORING,
            "lease_until__lt": now,
        }
        if evaluation.counted_tries < settings.EVALUATION_TRIES:
            taken_back += Evaluation.objects.filter(**row).update(
                state=Evaluation.State.QUEUED, lease_until=None, worker="", rung_at=now
            )
            continue
        incident = new_incident()
        if _record_end(
            evaluation,
            row,
            Evaluation.State.FAILED,
            [evaluation_crashed()],
            "a server error",
            incident,
        ):
            evaluation.refresh_from_db()
            given_up.append(evaluation)
    unheard = now - timedelta(seconds=settings.EVALUATION_SWEEP_SECONDS)
    waiting = Evaluation.objects.queued().filter(rung_at__lt=unheard).update(rung_at=now)
    return Swept(taken_back, given_up, waiting + taken_back)


def cut_to_the_clock(now: datetime) -> int:
    """Shorten leases and end pauses that a clock since set back wrote too far into the future; returns their number.

    A worker that lives extends its lease again at its next heartbeat; of one that does not, the work is taken back as usual.
    """
    lease = lease_end(now)
    leases = Evaluation.objects.scoring().filter(lease_until__gt=lease + SKEW).update(lease_until=lease)
    too_far = now + LONGEST_PAUSE + SKEW
    paused = Evaluation.objects.queued().filter(not_before__gt=too_far).update(not_before=None)
    rung = Evaluation.objects.queued().filter(rung_at__gt=too_far).update(rung_at=now)
    if leases or paused or rung:
        log.warning("the clock was set back: %d leases shortened, %d pauses ended", leases, paused)
    return leases + paused + rung


def new_incident() -> str:
    """A short id that the participant sees and the organiser finds in the log."""
    return uuid4().hex[:12]
