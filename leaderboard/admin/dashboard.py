"""The admin's first page: how each phase stands, what waits, and what failed."""

from typing import Any

from django.db.models import Count, Min
from django.http import HttpRequest
from django.utils import timezone

from leaderboard.models import Evaluation, Mail, Phase, PhaseFigures, Review, Standing

from .scope import within, without_masks

FAILURES = 10


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds ``overview`` (a row per phase), ``failures`` (the newest evaluations that failed by our fault) and
    ``mails_given_up`` and ``to_review`` (how many)."""
    now = timezone.now()
    rows = without_masks(Phase.objects.select_related("competition", "labels"), "labels__")
    in_order = within(rows, request.user).order_by("competition__name", "competition", "position", "opens_at")
    phases = list(in_order)
    # Who waits is counted here; the history, by a worker now and then.
    numbers: dict[int, dict[str, int]] = {
        figures.phase_id: {**figures.states, "queued": 0, "scoring": 0}
        for figures in PhaseFigures.objects.filter(phase__in=phases)
    }
    oldest: dict[int, Any] = {}
    waiting = within(Evaluation.objects.unfinished(), request.user).order_by()
    by_phase = waiting.values_list("submission__phase", "state")
    for phase, state, number, since in by_phase.annotate(number=Count("pk"), oldest=Min("queued_at")):
        numbers.setdefault(phase, {})[state] = number
        oldest[phase] = min(since, oldest.get(phase, since))
    in_force = [phase.labels_id for phase in phases if phase.labels_id]
    ranked = Standing.objects.filter(label_set__in=in_force, kind=Standing.Kind.EXACT).order_by()
    teams = dict(ranked.values_list("label_set").annotate(number=Count("pk")))
    context["overview"] = [
        {
            "phase": phase,
            "is_open": phase.is_open(now),
            "has_closed": phase.has_closed(now),
            "teams": teams.get(phase.labels_id or 0, 0),
            "numbers": [numbers.get(phase.pk, {}).get(state, 0) for state in Evaluation.State.values],
            "oldest": oldest.get(phase.pk),
        }
        for phase in phases
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
