"""Signed receipts of scored submissions."""

from datetime import datetime
from typing import Any

from django.conf import settings

from evaluation.trust import receipts
from leaderboard.models import Evaluation, Submission
from leaderboard.models.visibility import view_of, visible_scores

from .refusals import Conflict


def receipt_of(submission: Submission, viewer: Any, now: datetime) -> dict[str, Any]:
    """The receipt of a submission's evaluation in force, with the scores that the viewer may see now.

    Raises Conflict while there is no score.
    """
    evaluation, phase = submission.evaluation, submission.phase
    if evaluation is None or evaluation.state != Evaluation.State.SCORED or evaluation.finished_at is None:
        raise Conflict("There is a receipt for every score, and this submission has none yet.")
    scores = visible_scores(evaluation, view_of(phase, viewer, now))
    shown = {name: str(ratio) for name in ("precision", "recall", "f1") if (ratio := getattr(scores, name))}
    statement = {
        "format": receipts.FORMAT,
        "server": settings.SITE_URL,
        "competition": phase.competition.slug,
        "phase": phase.slug,
        "team": submission.team.name,
        "submission": submission.pk,
        "archive_sha256": submission.sha256,
        "archive_bytes": submission.size,
        "received_at": submission.received_at.isoformat(),
        "completed_at": (submission.completed_at or submission.received_at).isoformat(),
        "labels_version": evaluation.label_set.version,
        "labels_commitment": evaluation.label_set.commitment,
        "scorer": evaluation.scorer,
        "scored_at": evaluation.finished_at.isoformat(),
        "scores_percent": shown,
        "issued_at": now.isoformat(timespec="seconds"),
    }
    if scores.counts is not None:
        statement["counts"] = dict(zip(("tp", "fp", "fn"), scores.counts, strict=True))
    return receipts.sign(statement, settings.RECEIPT_KEY)


def public_key() -> str:
    """The key with which anyone checks this server's receipts, as PEM."""
    return receipts.public_key(settings.RECEIPT_KEY)
