"""Looking at what the detectors found: a note, and nothing else happens."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from leaderboard.models import Phase, Review
from leaderboard.platform.bell import ring_on_commit
from leaderboard.reporting.reviews import work

from .records import log_act, need_reason
from .refusals import check_organiser


def look_at(user: Any, review: Review, reason: str) -> None:
    """Mark a finding as looked at, with a note. The log keeps both; what follows from it is another act."""
    check_organiser(user, review.phase.competition)
    note = need_reason(reason)
    with transaction.atomic():
        Review.objects.filter(pk=review.pk).update(looked_at=timezone.now(), looked_by=user, note=note[:300])
        log_act("review looked at", user, review.phase, str(review), note, {"review": review.pk})
    review.refresh_from_db(fields=["looked_at", "looked_by", "note"])


def look_now(user: Any, phases: Iterable[Phase]) -> None:
    """Have the detectors look at phases as soon as a worker is free, whenever they looked before."""
    phases = list(phases)
    for phase in phases:
        check_organiser(user, phase.competition)
    with transaction.atomic():
        Phase.objects.filter(pk__in=[phase.pk for phase in phases]).update(reviewed_at=None)
        ring_on_commit(work)
