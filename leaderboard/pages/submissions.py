"""Submit, my team's submissions, one submission."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from leaderboard.actions import submissions as actions
from leaderboard.actions.receipts import receipt_of
from leaderboard.actions.refusals import Refusal
from leaderboard.export.archives import archive_response
from leaderboard.models import Attempt, Competition, Phase, Submission, Team
from leaderboard.models.visibility import View, view_of, visible_scores
from leaderboard.scoring.waiting import expected_waits

from .forms import SubmitForm
from .page_context import find_competition, my_team, phases_of, render_in, signed_in

ROWS = 50


def _no_team(request: HttpRequest, competition: Competition) -> HttpResponse:
    """The page that says what is needed first; an archive sent anyway is refused."""
    context = {"team": None, "organises": competition.is_organised_by(request.user)}
    response = render_in(request, competition, "submissions/no_team.html", context)
    response.status_code = 403 if request.method == "POST" else 200
    return response


# Submit


@signed_in
@never_cache
def submit(request: HttpRequest, slug: str) -> HttpResponse:
    """The form; a refusal is shown on it with its status, and everything typed is kept."""
    competition = find_competition(request, slug)
    team = my_team(request, competition)
    if team is None:
        return _no_team(request, competition)
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
    choices = [_choice(team, phase, timezone.now()) for phase in phases]
    if request.method != "POST":
        form = SubmitForm(phases, initial={"phase": _preferred(choices, request), "form_key": uuid4().hex})
    context = {
        "phases": phases,
        "team": team,
        "form": form,
        "choices": choices,
        "may_submit": any(choice["refusal"] is None for choice in choices),
        "most_bytes": settings.MAX_UPLOAD_BYTES,
    }
    response = render_in(request, competition, "submissions/submit.html", context)
    if form.errors:
        response.status_code = refusal.status if refusal else 400
    return response


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
    )
    return submission


def _choice(team: Team, phase: Phase, now: datetime) -> dict[str, Any]:
    """A phase as the form offers it: the quota left, or why it cannot be chosen."""
    usage = Attempt.objects.usage(team, phase, now)
    return {"phase": phase, "usage": usage, "refusal": actions.why_not_submit(phase, usage, now)}


def _preferred(choices: list[dict[str, Any]], request: HttpRequest) -> int | None:
    """The requested phase if it can be chosen, otherwise the first that can."""
    able = [choice["phase"] for choice in choices if choice["refusal"] is None]
    named = [phase for phase in able if phase.slug == request.GET.get("phase")]
    return next((phase.pk for phase in named + able), None)


# My submissions


@signed_in
@never_cache
def mine(request: HttpRequest, slug: str) -> HttpResponse:
    """My team's submissions, newest first; only the fragment when the page polls."""
    competition = find_competition(request, slug)
    team = my_team(request, competition)
    if team is None:
        return _no_team(request, competition)
    now = timezone.now()
    every = (
        Submission.objects.of_team(team)
        .with_evaluation()
        .select_related("phase__competition", "submitted_by", "attempt")
        .defer("description", "evaluation__patch_counts", "evaluation__problems")
    )
    page = Paginator(every, ROWS).get_page(request.GET.get("page"))
    rows = _rows(request, list(page), now)
    context = {
        "team": team,
        "page": page,
        "rows": rows,
        "unfinished": any(row["unfinished"] for row in rows),
    }
    if request.headers.get("HX-Request") == "true":
        return render(request, "submissions/rows.html", {"competition": competition, **context})
    phases = phases_of(competition)
    usage = [(phase, Attempt.objects.usage(team, phase, now)) for phase in phases if phase.has_opened(now)]
    return render_in(
        request, competition, "submissions/mine.html", {**context, "phases": phases, "usage": usage}
    )


def _rows(request: HttpRequest, submissions: list[Submission], now: datetime) -> list[dict[str, Any]]:
    """Submissions with the scores that the viewer may see and, while waiting, their place in the queue."""
    views: dict[int, View] = {}
    waits = expected_waits(submission.evaluation for submission in submissions)
    rows = []
    for submission in submissions:
        phase, evaluation = submission.phase, submission.evaluation
        if phase.pk not in views:
            views[phase.pk] = view_of(phase, request.user, now)
        rows.append(
            {
                "submission": submission,
                "scores": visible_scores(evaluation, views[phase.pk]),
                "view": views[phase.pk],
                "attempt": getattr(submission, "attempt", None),
                "wait": waits.get(evaluation.pk) if evaluation else None,
                "unfinished": evaluation is None or evaluation.is_unfinished,
            }
        )
    return rows


# One submission


@signed_in
@never_cache
def detail(request: HttpRequest, pk: int, refusal: Refusal | None = None) -> HttpResponse:
    """One submission, for its team and the organisers; 404 for everybody else."""
    submission = _find(request, pk)
    now = timezone.now()
    phase, evaluation = submission.phase, submission.evaluation
    is_mine = submission.team.has_member(request.user)
    context = {
        **_rows(request, [submission], now)[0],
        "evaluation": evaluation,
        "phase": phase,
        "rescore": next((e for e in submission.evaluations.unfinished() if e != evaluation), None),
        "may_withdraw": is_mine
        and submission.withdrawn_at is None
        and actions.why_not_withdraw(submission, now) is None,
        "may_select": is_mine and actions.why_not_select(phase, now) is None,
        "is_mine": is_mine,
    }
    if request.headers.get("HX-Request") == "true":
        return render(request, "submissions/news.html", {"competition": phase.competition, **context})
    if is_mine:
        context["team"] = submission.team
    return render_in(request, phase.competition, "submissions/detail.html", context, refusal=refusal)


@signed_in
@never_cache
def archive(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The archive as uploaded, always as a download."""
    try:
        return archive_response(_find(request, pk))
    except Refusal as refused:
        return detail(request, pk, refused)


@signed_in
@never_cache
def receipt(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The signed receipt, as a download."""
    submission = _find(request, pk)
    try:
        content = receipt_of(submission, request.user, timezone.now())
    except Refusal as refused:
        return detail(request, pk, refused)
    response = JsonResponse(content, json_dumps_params={"indent": 2})
    response["Content-Disposition"] = f'attachment; filename="receipt-{submission.pk}.json"'
    return response


@signed_in
@require_POST
def withdraw(request: HttpRequest, pk: int) -> HttpResponseBase:
    return _act(request, pk, lambda submission: actions.withdraw(request.user, submission))


@signed_in
@require_POST
def select(request: HttpRequest, pk: int) -> HttpResponseBase:
    chosen = request.POST.get("selected") == "yes"
    return _act(request, pk, lambda submission: actions.select(request.user, submission, chosen))


def _act(request: HttpRequest, pk: int, act: Callable[[Submission], None]) -> HttpResponseBase:
    """Act and return to the submission, which shows any refusal."""
    try:
        act(_find(request, pk))
    except Refusal as refused:
        return detail(request, pk, refused)
    return redirect("pages:submission", pk)


def _find(request: HttpRequest, pk: int) -> Submission:
    visible = Submission.objects.visible_to(request.user).with_evaluation()
    rows = visible.select_related(
        "phase__competition", "phase__labels", "evaluation__label_set", "submitted_by", "attempt"
    ).defer("phase__labels__masks", "evaluation__label_set__masks", "evaluation__patch_counts")
    return get_object_or_404(rows, pk=pk)
