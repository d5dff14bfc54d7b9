"""The admin's first page: how each phase stands, what waits, and what failed."""

from typing import Any

from django.db.models import Count, Min
from django.http import HttpRequest
from django.utils import timezone

from leaderboard.models import Evaluation, Mail, Phase, Review, Standing, Submission

from .scope import within, without_masks

FAILURES = 10


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds ``overview`` (a row per phase), ``failures`` (the newest evaluations that failed by our fault) and
    ``mails_given_up`` and ``to_review`` (how many)."""
    now = timezone.now()
    phases = within(
        without_masks(Phase.objects.select_related("competition", "labels"), "labels__"), request.user
    )
    numbers: dict[int, dict[str, int]] = {}
    states = (
        within(Submission.objects.all(), request.user).order_by().values_list("phase", "evaluation__state")
    )
    for phase, state, number in states.annotate(number=Count("pk")):
        numbers.setdefault(phase, {})[state] = number
    oldest: dict[int, Any] = {}
    for rows in (Evaluation.objects.queued(), Evaluation.objects.scoring()):  # each has an index of its own
        waiting = within(rows, request.user).order_by().values_list("submission__phase")
        for phase, since in waiting.annotate(oldest=Min("queued_at")):
            oldest[phase] = min(since, oldest.get(phase, since))
    ranked = within(Standing.objects.filter(kind=Standing.Kind.EXACT), request.user).order_by()
    teams = {
        (phase, labels): number
        for phase, labels, number in ranked.values_list("phase", "label_set").annotate(number=Count("pk"))
    }
    context["overview"] = [
        {
            "phase": phase,
            "is_open": phase.is_open(now),
            "has_closed": phase.has_closed(now),
            "teams": teams.get((phase.pk, phase.labels_id), 0),
            "numbers": [numbers.get(phase.pk, {}).get(state, 0) for state in Evaluation.State.values],
            "oldest": oldest.get(phase.pk),
        }
        for phase in phases.order_by("competition__name", "competition", "position", "opens_at")
    ]
    context["states"] = Evaluation.State.labels
    failed = within(Evaluation.objects.failed_last(), request.user)
    context["failures"] = (
        failed.select_related("submission__team", "submission__phase__competition")
        .defer("patch_counts", "submission__description")
        .order_by("-finished_at")[:FAILURES]
    )
    context["to_review"] = within(Review.objects.to_look_at(), request.user).count()
    context["mails_given_up"] = within(Mail.objects.failed(), request.user).count()
    return context
