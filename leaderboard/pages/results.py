"""One submission: its result, its archive and receipt, and what its team may still do with it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from leaderboard.actions import submissions as actions
from leaderboard.actions.receipts import receipt_of
from leaderboard.actions.refusals import Refusal
from leaderboard.export.archives import archive_response
from leaderboard.models import Attempt, Evaluation, Extension, Submission, SubmissionNote
from leaderboard.models.visibility import View, Viewpoint, feedback_of, interval_decimals, visible_scores
from leaderboard.reporting.masks import counts_of, histogram
from leaderboard.reporting.results import interval_of, result_of
from leaderboard.scoring.waiting import expected_waits

from .page_context import post_only, render_in, signed_in

SOONEST_POLL, STALE_POLL, LATEST_POLL = 300, 700, 20_000  # milliseconds
SHOWN = signing.Signer(salt="shown state")


@signed_in
@never_cache
def detail(request: HttpRequest, pk: int, refusal: Refusal | None = None) -> HttpResponse:
    """One submission, for its team and the organisers; 404 for everybody else."""
    asks_again = request.headers.get("HX-Request") == "true"
    if asks_again and (waiting := _still_waiting(request, pk)):
        return waiting
    submission = find_submission(request, pk)
    now = timezone.now()
    phase = submission.phase
    is_mine = submission.team.has_member(request.user)
    row = rows_of(request, [submission], now)[0]
    context = {
        **row,
        "evaluation": submission.evaluation,
        "phase": phase,
        "rescore": None
        if row["unfinished"]
        else submission.evaluations.unfinished().exclude(pk=submission.evaluation_id or 0).first(),
        "may_withdraw": is_mine
        and submission.withdrawn_at is None
        and actions.why_not_withdraw(submission, now) is None,
        "may_select": is_mine and actions.why_not_select(phase, now) is None,
        "is_mine": is_mine,
        **(_asking(request, row, now) if row["unfinished"] else {}),
        **(
            _in_context(submission, row["view"], now, is_mine=is_mine) if submission.state == "scored" else {}
        ),
    }
    if asks_again:
        response = render(request, "submissions/news.html", {"competition": phase.competition, **context})
        response["HX-Retarget"], response["HX-Reswap"] = "#state", "outerHTML"
        return response
    if is_mine:
        context |= {"team": submission.team, "note": _note(request, submission, refusal)}
    return render_in(request, phase.competition, "submissions/detail.html", context, refusal=refusal)


def _asking(request: HttpRequest, row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """When the page asks again about an unfinished submission, and what it says that it shows."""
    evaluation = row["submission"].evaluation
    shown = [request.user.pk, evaluation.pk, evaluation.state] if evaluation else []
    return {"poll": poll_after(row, now), "shown": SHOWN.sign_object(shown)}


def _still_waiting(request: HttpRequest, pk: int) -> HttpResponse | None:
    """The answer to a page that has what it could get: only its place in the queue. None if there is more to show.

    Hundreds of pages may wait for a score at once. Who was shown the state, as the signature proves, may read again that
    it is the same; so this costs a fraction of what the whole result costs.
    """
    try:
        user, evaluation, state = SHOWN.unsign_object(request.GET.get("shown", ""))
    except (signing.BadSignature, ValueError):
        return None
    if user != request.user.pk:
        return None
    same = Evaluation.objects.filter(pk=evaluation, state=state, submission=pk)
    untouched = same.filter(submission__withdrawn_at=None, submission__disqualified_at=None)
    found = (
        untouched.select_related("submission").only("state", "postponed", "submission__received_at").first()
    )
    if found is None:
        return None
    row = {"submission": found.submission, "wait": expected_waits([found]).get(found.pk)}
    shown = {"shown": request.GET["shown"], "poll": poll_after(row, timezone.now())}
    return render(request, "submissions/waiting.html", {"evaluation": found, **row, **shown})


def _note(request: HttpRequest, submission: Submission, refusal: Refusal | None) -> dict[str, str]:
    """The team's note and tags; what was typed if it was just refused."""
    if refusal and request.method == "POST" and "tags" in request.POST:
        return {"text": request.POST.get("text", ""), "tags": request.POST["tags"]}
    kept = SubmissionNote.objects.filter(submission=submission).first()
    return {"text": kept.text, "tags": ", ".join(kept.tag_list)} if kept else {"text": "", "tags": ""}


def _in_context(submission: Submission, view: View, now: datetime, *, is_mine: bool) -> dict[str, Any]:
    """What stands beside the score: the team's place, the interval, what is left of the quota."""
    phase = submission.phase
    decimals = interval_decimals(phase, view, now)
    team_phase = Extension.objects.phase_of(submission.team, phase) if is_mine else phase
    counts = counts_of(submission) if feedback_of(phase, view, now).histogram else None
    return {
        "histogram": None if counts is None else histogram(counts),
        "result": result_of(submission, view),
        "interval": None if decimals is None else interval_of(submission),
        "decimals": decimals,
        "usage": Attempt.objects.usage(submission.team, team_phase, now)
        if is_mine and team_phase.is_open(now)
        else None,
    }


def poll_after(row: dict[str, Any], now: datetime) -> int:
    """Milliseconds until a page asks again about a submission that is not finished (of ``rows_of``).

    A third of its expected wait, so that its score is shown within a second while a long queue costs little; after a
    minute or more only every 0.7 s, because a worker may have died.
    """
    expected = row["wait"][1] if row["wait"] else 0.0
    age = (now - row["submission"].received_at).total_seconds()
    soonest = min(max(SOONEST_POLL, 10 * age), STALE_POLL)
    return round(min(max(soonest, 350 * expected), LATEST_POLL))


def rows_of(request: HttpRequest, submissions: list[Submission], now: datetime) -> list[dict[str, Any]]:
    """Submissions with the scores that the viewer may see and, while waiting, their place in the queue."""
    viewpoint = Viewpoint(request.user, now)
    waits = expected_waits(submission.evaluation for submission in submissions)
    rows = []
    for submission in submissions:
        view, evaluation = viewpoint.view(submission.phase), submission.evaluation
        rows.append(
            {
                "submission": submission,
                "scores": visible_scores(evaluation, view),
                "view": view,
                "attempt": getattr(submission, "attempt", None),
                "wait": waits.get(evaluation.pk) if evaluation else None,
                "unfinished": evaluation is None or evaluation.is_unfinished,
            }
        )
    return rows


@signed_in
@never_cache
def archive(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The archive as uploaded, always as a download."""
    try:
        return archive_response(find_submission(request, pk))
    except Refusal as refused:
        return detail(request, pk, refused)


@signed_in
@never_cache
def receipt(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The signed receipt, as a download."""
    submission = find_submission(request, pk)
    try:
        content = receipt_of(submission, request.user, timezone.now())
    except Refusal as refused:
        return detail(request, pk, refused)
    response = JsonResponse(content, json_dumps_params={"indent": 2})
    response["Content-Disposition"] = f'attachment; filename="receipt-{submission.pk}.json"'
    return response


@signed_in
@post_only("pages:submission", "pk")
def withdraw(request: HttpRequest, pk: int) -> HttpResponseBase:
    return _act(request, pk, lambda submission: actions.withdraw(request.user, submission))


@signed_in
@post_only("pages:submission", "pk")
def select(request: HttpRequest, pk: int) -> HttpResponseBase:
    chosen = request.POST.get("selected") == "yes"
    return _act(request, pk, lambda submission: actions.select(request.user, submission, chosen))


def _act(request: HttpRequest, pk: int, act: Callable[[Submission], None]) -> HttpResponseBase:
    """Act and return to the submission, which shows any refusal."""
    try:
        act(find_submission(request, pk))
    except Refusal as refused:
        return detail(request, pk, refused)
    return redirect("pages:submission", pk)


def find_submission(request: HttpRequest, pk: int) -> Submission:
    visible = Submission.objects.visible_to(request.user).with_evaluation()
    rows = visible.select_related(
        "phase__competition", "phase__labels", "evaluation__label_set", "submitted_by", "attempt"
    ).defer("phase__labels__masks", "evaluation__label_set__masks", "evaluation__patch_counts")
    return get_object_or_404(rows, pk=pk)
