"""How long a submission will wait: its place in the queue and the expected seconds."""

from collections.abc import Iterable
from datetime import datetime

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from leaderboard.models import Evaluation

QUEUE = "queue"
Places = dict[int, tuple[int, datetime | None]]
RECENT = 20  # newest finished evaluations, averaged for the usual time


def expected_wait(evaluation: Evaluation) -> tuple[int, float] | None:
    """Place in the queue (1 is next) and expected seconds until scored; None if it is not waiting."""
    return expected_waits([evaluation]).get(evaluation.pk)


def expected_waits(evaluations: Iterable[Evaluation | None]) -> dict[int, tuple[int, float]]:
    """The same for all that are waiting, by primary key: two queries, or none if nothing waits."""
    waiting = {each.pk for each in evaluations if each and each.state == Evaluation.State.QUEUED}
    if not waiting:
        return {}
    queue, seconds = cache.get(QUEUE) or _look()
    if not waiting <= queue.keys():  # they came since
        queue, seconds = _look()
    now = timezone.now()
    found = {pk: queue[pk] for pk in waiting if pk in queue}
    return {
        pk: (place, max(place * seconds, (not_before - now).total_seconds() if not_before else 0))
        for pk, (place, not_before) in found.items()
    }


def _look() -> tuple[Places, float]:
    """Everybody's place in the queue, and the usual seconds; kept for a moment, because many pages ask."""
    order = Evaluation.objects.in_claim_order().values_list("pk", "not_before")
    queue = {pk: (place, not_before) for place, (pk, not_before) in enumerate(order, start=1)}
    found = queue, usual_seconds()
    cache.set(QUEUE, found, settings.SHARED_LOOK_SECONDS)
    return found


def usual_seconds() -> float:
    """The average duration of recent evaluations; 1 if there are none.

    Of the newest ends alone: an import may have left any number of old ones without a beginning.
    """
    finished = Evaluation.objects.filter(finished_at__isnull=False).order_by("-finished_at")
    recent = finished.values_list("started_at", "finished_at")[:RECENT]
    spans = [(end - start).total_seconds() for start, end in recent if start and end]
    return sum(spans) / len(spans) if spans else 1.0
