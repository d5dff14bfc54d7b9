"""The Celery tasks around the queue: wake up, claim, read, count, record, sweep.

They know neither the archive format nor the metric. Messages are empty: the row says what to do.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from typing import Any

import structlog
from celery import shared_task
from celery.signals import worker_ready, worker_shutdown
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone
from numpy import ndarray

from evaluation.archive.problems import InvalidArchive, Problem, internal_error, unreadable
from evaluation.sandbox.guards import hide_memory
from evaluation.sandbox.reader import Reader, ReaderKilled
from evaluation.scoring import labels
from evaluation.scoring.counts import count, sha256
from evaluation.task import MaskSpec
from leaderboard.models import AuditEntry, Evaluation, LabelSet, Worker
from leaderboard.platform.bell import ring, ring_again
from leaderboard.scoring import queue
from leaderboard.scoring.archives import ArchiveLost, StorageSilent, received_archive
from leaderboard.scoring.confinement import confinement, turn
from leaderboard.scoring.failures import report_failures

log = structlog.get_logger(__name__)

reader = Reader(confined=not settings.SCORE_WITHOUT_FILTER, user=settings.READER_UID)


_stopping = threading.Event()


def worker_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@worker_ready.connect
def _sign_on(sender: Any = None, **_: Any) -> None:
    if sender is not None and "celery" not in sender.app.amqp.queues.consume_from:
        return  # it only sends mail
    hide_memory()
    state = confinement()
    if state != Worker.Confinement.FILTERED:
        log.critical(f"this worker {state.label}", hint="see docs/security.md")
    threading.Thread(target=_sign, name="presence", daemon=True).start()


def _sign() -> None:
    """Send heartbeats from a thread, so that a worker with a long evaluation does not look dead."""
    while not _stopping.is_set():
        try:
            Worker.objects.sign(worker_name(), timezone.now(), confinement())
        except Exception as error:
            log.warning("this worker could not send its heartbeat", error=type(error).__name__)
        connection.close()
        _stopping.wait(settings.EVALUATION_SWEEP_SECONDS)


@worker_shutdown.connect
def _sign_off(**_: Any) -> None:
    _stopping.set()
    reader.close()
    try:
        Worker.objects.filter(name=worker_name()).delete()
    except Exception as error:
        log.warning("this worker could not sign off", error=type(error).__name__)


@shared_task(name="leaderboard.scoring.tasks.work")
def work() -> str:
    """Score the next evaluation in the queue, if any, and ring again while others wait."""
    if confinement() == Worker.Confinement.REFUSES:
        return "refused: there is no system-call filter"
    held = queue.claim(worker_name())
    if held is None:
        return "nothing waits"
    with structlog.contextvars.bound_contextvars(
        submission=held.evaluation.submission_id, evaluation=held.evaluation.pk, attempt=held.tries
    ):
        spent: dict[str, float] = {}
        outcome = evaluate(held, spent)
        log.info("evaluated", outcome=outcome, **spent)
    if Evaluation.objects.queued().exists():
        ring_again(work)
    return outcome


@shared_task(name="leaderboard.scoring.tasks.sweep")
def sweep() -> None:
    """Take back the work of dead workers, and ring for everything that waits without notice."""
    swept = queue.sweep()
    Worker.objects.forgotten(timezone.now()).delete()
    for evaluation in swept.given_up:
        log_failure(evaluation)
    if swept.taken_back or swept.given_up:
        log.warning("swept", taken_back=swept.taken_back, given_up=[e.pk for e in swept.given_up])
    for _ in range(min(swept.waiting, settings.WORKER_CONCURRENCY)):
        ring(work)
    report_failures(timezone.now())


def evaluate(held: queue.Claim, spent: dict[str, float]) -> str:
    """Score a claimed evaluation and record the outcome; returns the new state, or "lost".

    The milliseconds that its parts took are added to `spent`.
    """
    with heartbeat(held):
        try:
            with lap(spent, "read_ms"):
                prediction = read_masks(held.evaluation)
        except StorageSilent as silence:
            log.error("the archive storage does not answer", error=str(silence.__cause__))
            return "postponed" if queue.postpone(held) else give_up_or_retry(held)
        except InvalidArchive as refusal:
            if held.evaluation.counted_tries == 1 and refusal.problems[0].code == "unreadable":
                # The fault may be this machine's; if it is the archive's, it will fail again.
                return "queued again" if queue.release(held) else "lost"
            return "invalid" if queue.record_invalid(held, refusal.problems) else "lost"
        except ArchiveLost as lost:
            return give_up_or_retry(held, lost.problem, pause=queue.FIRST_PAUSE)
        except Exception:
            return give_up_or_retry(held)
        try:
            written = count_and_record(held, prediction, spent)
        except Exception:
            return give_up_or_retry(held)
    return "scored" if written else "lost"


def count_and_record(held: queue.Claim, prediction: ndarray, spent: dict[str, float]) -> bool:
    """As below; where the database's connection has ended meanwhile, once more on another one."""
    try:
        return _count_and_record(held, prediction, spent)
    except (OperationalError, InterfaceError) as error:
        log.warning("the database's connection ended: recording on another one", error=str(error))
        connection.close()
        return _count_and_record(held, prediction, spent)


def _count_and_record(held: queue.Claim, prediction: ndarray, spent: dict[str, float]) -> bool:
    """Compare with the labels and write the score, in one transaction; False if the claim was lost."""
    label_set = held.evaluation.label_set
    with lap(spent, "count_ms"):
        counts = count(prediction, truth(label_set.pk, label_set.sha256))
        packed, digest = labels.compress(prediction), sha256(prediction, spec_of(held.evaluation))
    with lap(spent, "record_ms"):
        return queue.record_score(held, counts, packed, digest)


@contextmanager
def lap(spent: dict[str, float], part: str) -> Iterator[None]:
    """Note how many milliseconds a part takes."""
    began = time.perf_counter()
    try:
        yield
    finally:
        spent[part] = round(1000 * (time.perf_counter() - began), 1)


def read_masks(evaluation: Evaluation) -> ndarray:
    """The submission's masks, bit-packed: from the stored prediction if there is one, else from the archive."""
    submission = evaluation.submission
    if hasattr(submission, "prediction"):
        return labels.decompress(bytes(submission.prediction.masks), spec_of(evaluation))
    with received_archive(submission) as archive:
        try:
            with turn():
                return reader.read(archive, spec_of(evaluation), submission.team_id)
        except ReaderKilled as first:
            log.warning("the reader was killed from outside: reading again, alone", error=str(first))
        with turn(alone=True):
            try:
                return reader.read(archive, spec_of(evaluation), submission.team_id)
            except ReaderKilled as second:
                raise InvalidArchive([unreadable()]) from second


def spec_of(evaluation: Evaluation) -> MaskSpec:
    return MaskSpec(evaluation.label_set.patches, evaluation.label_set.height, evaluation.label_set.width)


@lru_cache(maxsize=8)
def truth(label_set_id: int, digest: str) -> ndarray:
    """The hidden masks of a label set, bit-packed and read-only: loaded once per worker process."""
    label_set = LabelSet.objects.get(pk=label_set_id)
    spec = MaskSpec(label_set.patches, label_set.height, label_set.width)
    masks = labels.decompress(bytes(label_set.masks), spec)
    if sha256(masks, spec) != digest:
        raise ValueError(f"the masks of label set {label_set_id} do not match their SHA-256")
    masks.flags.writeable = False
    return masks


def give_up_or_retry(
    held: queue.Claim, problem: Problem | None = None, pause: timedelta = timedelta()
) -> str:
    """After a server error: return to the queue, after a pause, or, after the last try, fail with an incident id."""
    incident = queue.new_incident()
    log.exception("evaluation failed", incident=incident)
    if held.evaluation.counted_tries < settings.EVALUATION_TRIES:
        return "queued again" if queue.release(held, pause) else "lost"
    if not queue.record_failure(held, problem or internal_error(), incident):
        return "lost"
    held.evaluation.refresh_from_db()
    log_failure(held.evaluation)
    return "failed"


def log_failure(evaluation: Evaluation) -> None:
    """Log a failure of the server; ``failures.report_failures`` mails it. The participant never sees the cause."""
    AuditEntry.objects.append(
        "evaluation failed",
        competition=evaluation.submission.phase.competition,
        subject=str(evaluation.submission),
        details={"incident": evaluation.incident, "problem": evaluation.problems[0]["code"]},
    )


@contextmanager
def heartbeat(held: queue.Claim) -> Iterator[None]:
    """Extend the lease from a thread during the work; kill the process if it never finishes."""
    done = threading.Event()
    deadline = time.monotonic() + settings.EVALUATION_TIME_LIMIT_SECONDS

    def beat() -> None:
        try:
            while not done.wait(settings.EVALUATION_HEARTBEAT_SECONDS):
                if time.monotonic() > deadline:
                    log.critical(
                        "an evaluation does not finish: killing this worker", evaluation=held.evaluation.pk
                    )
                    os._exit(1)
                try:
                    if not queue.prolong(held):
                        return
                except Exception as error:
                    log.warning("the lease could not be extended", error=type(error).__name__)
                    connection.close()
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
