"""A phase's labels for participants: versions, boards under earlier versions, reports of wrong labels."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.cache import never_cache

from evaluation.scoring.metrics import KEY_SCALE
from leaderboard.actions import corrections
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition, LabelReport, LabelSet, Phase, Standing
from leaderboard.models.boards import with_ranks
from leaderboard.models.visibility import Ratio, view_of
from leaderboard.reporting.boards import window

from .boards import ROWS, page_number, page_numbers
from .forms import LabelReportForm
from .page_context import find_competition, my_team, phases_of, render_in


@never_cache
def labels(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Versions and reports; team members may report a wrong label."""
    competition, phase = _find(request, slug, phase_slug)
    if request.method == "POST" and not request.user.is_authenticated:
        return redirect_to_login(request.path)
    team = my_team(request, competition)
    form = LabelReportForm(request.POST or None) if team else None
    refusal = None
    if request.method == "POST" and form is None:
        try:
            corrections.report_label(request.user, phase, 0, "")
        except Refusal as refused:
            refusal = refused
            refused.count()
    elif request.method == "POST" and form is not None and form.is_valid():
        try:
            corrections.report_label(request.user, phase, **form.cleaned_data)
        except Refusal as refused:
            form.refuse(refused)
            refusal = refused
        else:
            messages.success(request, "Thank you. The organisers will review this and answer here.")
            return redirect("pages:labels", slug, phase_slug)
    context = {
        "phase": phase,
        "team": team,
        "form": form,
        "reports": LabelReport.objects.of_teams(request.user).filter(phase=phase) if team else [],
        "versions": _versions(phase),
    }
    response = render_in(request, competition, "labels/labels.html", context)
    if request.method == "POST":
        response.status_code = refusal.status if refusal else 400
    return response


def old_board(request: HttpRequest, slug: str, phase_slug: str, version: int) -> HttpResponse:
    """The board under another version of the labels: rank, team and F1."""
    competition, phase = _find(request, slug, phase_slug)
    label_set = get_object_or_404(_versions(phase), version=version)
    view = view_of(phase, request.user, timezone.now())
    page = page_number(request)
    rows: list[dict[str, Any]] = []
    everyone = Standing.objects.under(label_set, view.board or "")
    standings = window(everyone, (page - 1) * ROWS, page * ROWS)
    if page > 1 and not standings:
        raise Http404
    if standings:
        ranked = with_ranks(standings, (page - 1) * ROWS + 1, Standing.objects.rank_of(standings[0]))
        rows = [
            {"rank": rank, "standing": standing, "f1": Ratio(standing.rank_key, KEY_SCALE)}
            for rank, standing in ranked
        ]
    context = {
        "phase": phase,
        "labels": label_set,
        "rows": rows,
        "view": view,
        "page": page,
        "pages": page_numbers(everyone.count(), page),
    }
    return render_in(request, competition, "labels/old_board.html", context)


def _find(request: HttpRequest, slug: str, phase_slug: str) -> tuple[Competition, Phase]:
    competition = find_competition(request, slug)
    phase = next((phase for phase in phases_of(competition) if phase.slug == phase_slug), None)
    if phase is None:
        raise Http404
    return competition, phase


def _versions(phase: Phase) -> Any:
    """The current version and earlier ones that have a board."""
    with_board = Standing.objects.filter(phase=phase).values("label_set")
    return LabelSet.objects.filter(pk__in=with_board).defer("masks", "salt").order_by("-version")
