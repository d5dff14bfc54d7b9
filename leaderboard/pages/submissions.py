"""Submit an archive."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.utils import timezone
from django.views.decorators.cache import never_cache

from evaluation.archive.browser_rules import browser_rules, spec_rules
from evaluation.task import MaskSpec
from leaderboard.actions import submissions as actions
from leaderboard.actions.participation import why_not_take_part
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Attempt, Competition, Extension, Phase, Submission, Team
from leaderboard.platform.arrival import begun_at

from .forms import SubmitForm
from .page_context import find_competition, my_team, phases_of, render_in, signed_in


def no_team(request: HttpRequest, competition: Competition) -> HttpResponse:
    """The page that says what is needed first; an archive sent anyway is refused."""
    context = {"team": None, "organises": competition.is_organised_by(request.user)}
    response = render_in(request, competition, "submissions/no_team.html", context)
    response.status_code = 403 if request.method == "POST" else 200
    return response


@signed_in
@never_cache
def submit(request: HttpRequest, slug: str) -> HttpResponse:
    """The form; a refusal is shown on it with its status, and everything typed is kept."""
    competition = find_competition(request, slug)
    team = my_team(request, competition)
    if team is None:
        return no_team(request, competition)
    phases = phases_of(competition)
    refusal = None
    if request.method == "POST":
        form = SubmitForm(phases, request.POST, request.FILES)
        if form.is_valid():
            try:
                return redirect("pages:submission", _submit(request, form).pk)
            except Refusal as refused:
                refusal = refused
                form.refuse(refused)
    taking_part = why_not_take_part(request.user, team)
    choices = _choices(team, phases, timezone.now())
    if request.method != "POST":
        form = SubmitForm(phases, initial={"phase": _preferred(choices, request), "form_key": uuid4().hex})
    context = {
        "phases": phases,
        "team": team,
        "form": form,
        "choices": choices,
        "taking_part": taking_part,
        "may_submit": taking_part is None and any(choice["refusal"] is None for choice in choices),
        "most_bytes": settings.MAX_UPLOAD_BYTES,
        "check": _check_rules(phases),
        "server_ms": round(timezone.now().timestamp() * 1000),
    }
    response = render_in(request, competition, "submissions/submit.html", context)
    if form.errors:
        response.status_code = refusal.status if refusal else 400
    return response


def _check_rules(phases: list[Phase]) -> dict[str, Any]:
    """What the page needs to check an archive before it is sent: rules, each phase's masks, and where the scripts are."""
    parts = ("problems", "zip", "names", "sound", "hdf5")
    return {
        "rules": browser_rules(),
        "specs": {
            phase.pk: spec_rules(MaskSpec(phase.labels.patches, phase.labels.height, phase.labels.width))
            for phase in phases
            if phase.labels
        },
        "most_bytes": settings.MAX_UPLOAD_BYTES,
        "worker": static("leaderboard/check/worker.js"),
        "scripts": {
            "parts": [static(f"leaderboard/check/{name}.js") for name in parts],
            "hdf5": static("leaderboard/check/jsfive.js"),
        },
    }


def _submit(request: HttpRequest, form: SubmitForm) -> Submission:
    data = form.cleaned_data
    submission, _ = actions.submit(
        request.user,
        form.phases[data["phase"]],
        data["archive"],
        method=data["method"],
        description=data["description"],
        link=data["link"],
        form_key=data["form_key"],
        allow_duplicate=data["allow_duplicate"],
        begun_at=begun_at(request),
    )
    return submission


def _choices(team: Team, phases: list[Phase], now: datetime) -> list[dict[str, Any]]:
    """The phases as the form offers them: the quota left, or why one cannot be chosen."""
    phases = Extension.objects.applied(team, phases)
    usages = Attempt.objects.usages(team, phases, now)
    return [
        {
            "phase": phase,
            "usage": usages[phase.pk],
            "refusal": actions.why_not_submit(phase, usages[phase.pk], now, None),
        }
        for phase in phases
    ]


def _preferred(choices: list[dict[str, Any]], request: HttpRequest) -> int | None:
    """The requested phase if it can be chosen, otherwise the first that can."""
    able = [choice["phase"] for choice in choices if choice["refusal"] is None]
    named = [phase for phase in able if phase.slug == request.GET.get("phase")]
    return next((phase.pk for phase in named + able), None)
