"""How long a submission will wait: its place in the queue and the expected seconds."""

from leaderboard.models import Evaluation


def expected_wait(evaluation: Evaluation) -> tuple[int, float] | None:
    """Place in the queue (1 is next) and expected seconds until scored; None when it no longer waits."""
    if evaluation.state != Evaluation.State.QUEUED:
        return None
    ahead = list(Evaluation.objects.in_claim_order().values_list("pk", flat=True))
    place = ahead.index(evaluation.pk) + 1 if evaluation.pk in ahead else 1
    recent = Evaluation.objects.filter(state=Evaluation.State.SCORED).order_by("-finished_at")[:20]
    spans = [(e.finished_at - e.started_at).total_seconds() for e in recent if e.finished_at and e.started_at]
    return place, place * (sum(spans) / len(spans) if spans else 1.0)
