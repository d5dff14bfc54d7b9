"""Many teams with many scored submissions, in a few statements."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from evaluation import __version__
from evaluation.scoring.metrics import rank_key
from leaderboard.models import Attempt, Evaluation, LabelSet, Standing, Submission, Team

NOW = timezone.now()


def many(cast, teams, number, phase=None):
    """So many scored submissions, spread over so many teams, with their attempts: as 2022 left them."""
    phase = phase or cast.phase
    made = [
        Team(competition=cast.competition, name=f"Crew {i}", folded_name=f"crew {i}") for i in range(teams)
    ]
    made = Team.objects.bulk_create(made)
    rows = Submission.objects.bulk_create(
        Submission(
            phase=phase, team=made[i % teams], method="U-Net", size=1, sha256=f"{i:064x}",
            received_at=NOW - timedelta(minutes=number - i),
        )
        for i in range(number)
    )  # fmt: skip
    scores = Evaluation.objects.bulk_create(
        Evaluation(
            submission=row, label_set=phase.labels, state="scored", tp=i % 97, fp=3, fn=4,
            rank_key=rank_key(i % 97, 3, 4), finished_at=NOW, scorer="1",
        )
        for i, row in enumerate(rows)
    )  # fmt: skip
    for row, score in zip(rows, scores, strict=True):
        row.evaluation = score
    Submission.objects.bulk_update(rows, ["evaluation"], batch_size=500)
    Attempt.objects.bulk_create(
        Attempt(
            submission=row, team=row.team, phase=phase, state="spent", reserved_at=NOW, settled_at=NOW, day=NOW.date(),
            reason="scored", total_slot=i // teams, day_slot=i // teams, board_slot=i // teams,
        )
        for i, row in enumerate(rows)
    )  # fmt: skip
    with transaction.atomic():
        Standing.objects.rebuild(phase)
    return rows


def scored_on(label_set: LabelSet) -> None:
    """Every submission of the phase scored on another version of the labels, which is not in force yet."""
    rows = label_set.phase.submissions.order_by("pk")
    Evaluation.objects.bulk_create(
        Evaluation(
            submission=row, label_set=label_set, state="scored", tp=i * 7 % 97, fp=3, fn=4, priority=Evaluation.Priority.RESCORE,
            rank_key=rank_key(i * 7 % 97, 3, 4), finished_at=NOW, scorer=__version__,
        )
        for i, row in enumerate(rows)
    )  # fmt: skip
