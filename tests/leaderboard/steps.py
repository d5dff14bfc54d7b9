"""What SQL costs as SQLite's virtual machine counts it: the same on every machine, where seconds are not."""

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.utils import timezone

from evaluation import __version__
from leaderboard.models import Evaluation, LabelSet, Submission
from tests.leaderboard.factories import Cast


def steps_of(act: Callable[[], Any]) -> int:
    """How many hundreds of steps SQLite takes for all queries of an act."""
    steps: list[None] = []
    connection.connection.set_progress_handler(lambda: steps.append(None), 100)
    try:
        act()
    finally:
        connection.connection.set_progress_handler(None, 0)
    return len(steps)


def many_submissions(cast: Cast, corrected: LabelSet, state: str, number: int) -> None:
    """Submissions that are scored on the labels in force, and scored or still queued on the others."""
    now = timezone.now()
    row = {"phase": cast.phase, "team": cast.team, "method": "U-Net", "size": 1, "received_at": now}
    made = Submission.objects.bulk_create(Submission(**row) for _ in range(number))
    score = {
        "tp": 1,
        "fp": 1,
        "fn": 1,
        "rank_key": 1,
        "state": "scored",
        "finished_at": now,
        "scorer": __version__,
    }
    on_old = Evaluation.objects.bulk_create(
        Evaluation(submission=each, label_set=cast.phase.labels, **score) for each in made
    )
    Evaluation.objects.bulk_create(
        Evaluation(submission=each, label_set=corrected, priority=10, **(score if state == "scored" else {}))
        for each in made
    )
    for each, evaluation in zip(made, on_old, strict=True):
        each.evaluation = evaluation
    Submission.objects.bulk_update(made, ["evaluation"])
