"""How long a submission will wait: its place in the queue and the expected seconds."""

from collections.abc import Iterable

from django.utils import timezone

from leaderboard.models import Evaluation

RECENT = 20  # the newest ends from which the usual time is taken


def expected_wait(evaluation: Evaluation) -> tuple[int, float] | None:
    """Place in the queue (1 is next) and expected seconds until scored; None when it no longer waits."""
    return expected_waits([evaluation]).get(evaluation.pk)


def expected_waits(evaluations: Iterable[Evaluation | None]) -> dict[int, tuple[int, float]]:
    """The same for those among several that wait, by primary key: two queries, none when nothing waits."""
    waiting = {each.pk for each in evaluations if each and each.state == Evaluation.State.QUEUED}
    if not waiting:
        return {}
    queue = Evaluation.objects.in_claim_order().values_list("pk", "not_before")
    seconds, now = usual_seconds(), timezone.now()
    return {
        pk: (place, max(place * seconds, (not_before - now).total_seconds() if not_before else 0))
        for place, (pk, not_before) in enumerate(queue, start=1)
        if pk in waiting
    }


def usual_seconds() -> float:
    """What one evaluation took lately, on average; 1 while nothing is known.

    Of the newest ends alone: an import may have left any number of old ones without a beginning.
    """
    finished = Evaluation.objects.filter(finished_at__isnull=False).order_by("-finished_at")
    recent = finished.values_list("started_at", "finished_at")[:RECENT]
    spans = [(end - start).total_seconds() for start, end in recent if start and end]
    return sum(spans) / len(spans) if spans else 1.0
