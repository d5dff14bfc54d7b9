"""Show the queue: what waits, how long, and which workers score."""

from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Count, Min
from django.utils import timezone

from leaderboard.models import Evaluation


class Command(BaseCommand):
    help = "Show what is waiting to be scored, how long, and which worker scores what."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument(
            "--limit", type=int, default=20, metavar="N", help="how many waiting submissions to list (20)"
        )

    def handle(self, *, limit: int, **_: Any) -> None:
        now = timezone.now()
        waiting = Evaluation.objects.queued()
        summary = (
            waiting.values("priority")
            .annotate(number=Count("pk"), oldest=Min("queued_at"))
            .order_by("priority")
        )
        for kind in summary:
            label = Evaluation.Priority(kind["priority"]).label
            self.stdout.write(
                f"{kind['number']} waiting ({label}), the oldest for {age(now, kind['oldest'])}"
            )
        if not summary:
            self.stdout.write("The queue is empty.")
        scoring = Evaluation.objects.scoring().select_related(
            "submission__team", "submission__phase__competition"
        )
        scoring = scoring.defer("patch_counts", "submission__description").order_by("started_at")
        for evaluation in scoring:
            late = (
                " OVERDUE, the next sweep will take it back"
                if evaluation.lease_until and evaluation.lease_until < now
                else ""
            )
            self.stdout.write(
                f"scoring {name(evaluation)} by {evaluation.worker}, try {evaluation.tries}, "
                f"for {age(now, evaluation.started_at)}{late}"
            )
        next_ones = Evaluation.objects.in_claim_order().select_related(
            "submission__team", "submission__phase__competition"
        )
        for place, evaluation in enumerate(
            next_ones.defer("patch_counts", "submission__description")[:limit], 1
        ):
            self.stdout.write(f"{place:4}. {name(evaluation)}, for {age(now, evaluation.queued_at)}")


def name(evaluation: Evaluation) -> str:
    submission = evaluation.submission
    return f"{submission} in {submission.phase}"


def age(now: datetime, since: datetime | None) -> str:
    """Elapsed time to the second: 1:02:03 or 2 days, 3:04:05."""
    return str(timedelta(seconds=int((now - since).total_seconds()))) if since else "an unknown time"
