"""My team's submissions: a table to sort and filter, progress, notes, two compared, all as CSV."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import F, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from evaluation.scoring.metrics import KEY_SCALE
from evaluation.task import TASK
from leaderboard.actions import notes
from leaderboard.actions.refusals import Refusal
from leaderboard.models import (
    Attempt,
    Extension,
    Phase,
    QuickLook,
    Standing,
    Submission,
    SubmissionNote,
    Team,
)
from leaderboard.models.visibility import METRIC_KEY, Viewpoint, images_may_show, with_metric_key
from leaderboard.reporting import progress
from leaderboard.reporting.comparisons import compare as compare_two
from leaderboard.reporting.spreadsheets import write_csv

from .page_context import find_competition, my_team, phases_of, post_only, render_in, signed_in
from .results import detail, find_submission, poll_after, rows_of
from .submissions import no_team

ROWS = 50
COMPARED_PATCHES = 12
SORTS = {
    "received": "Newest first",
    "f1": "Highest F1",
    "precision": "Highest precision",
    "recall": "Highest recall",
    "method": "Method",
    "state": "State",
}
CSV_HEADER = (
    "number", "phase", "method", "state", "counts", "selected", "f1", "precision", "recall", "attempt",
    "submitted_by", "received_at", "withdrawn_at", "size", "sha256", "tags", "note",
)  # fmt: skip


@signed_in
@never_cache
def mine(request: HttpRequest, slug: str) -> HttpResponse:
    """The table; only the fragment when the page polls."""
    competition = find_competition(request, slug)
    team = my_team(request, competition)
    if team is None:
        return no_team(request, competition)
    now = timezone.now()
    phases = phases_of(competition)
    viewpoint = Viewpoint(request.user, now)
    sort = request.GET.get("sort", "")
    sort = sort if sort in SORTS else "received"
    chosen = next((phase for phase in phases if phase.slug == request.GET.get("phase")), None)
    tag = request.GET.get("tag", "")
    every = _sorted(_filtered(_of(team), chosen, tag), sort, phases, viewpoint)
    page = Paginator(every, ROWS).get_page(request.GET.get("page"))
    rows = rows_of(request, list(page), now)
    counting = _counting(team, phases, viewpoint)
    for row in rows:
        row["counts"] = row["submission"].pk in counting
        row["note"] = getattr(row["submission"], "note", None)
    context = {
        "team": team,
        "page": page,
        "query": f"?{request.GET.urlencode()}" if request.GET else "",
        "rows": rows,
        "sort": sort,
        "sorts": SORTS,
        "chosen": chosen,
        "tag": tag,
        "poll": min((poll_after(row, now) for row in rows if row["unfinished"]), default=None),
    }
    if request.headers.get("HX-Request") == "true":
        return render(request, "submissions/rows.html", {"competition": competition, **context})
    summaries = _summaries(team, phases, viewpoint)
    context |= {
        "phases": phases,
        "summaries": summaries,
        "chart": _chart(summaries, chosen),
        "tags": _tags(team),
    }
    return render_in(request, competition, "submissions/mine.html", context)


def _of(team: Team) -> QuerySet[Submission]:
    return (
        Submission.objects.of_team(team)
        .with_evaluation()
        .select_related("phase__competition", "submitted_by", "attempt", "note")
        .defer("description", "evaluation__patch_counts", "evaluation__problems")
    )


def _filtered(rows: QuerySet[Submission], phase: Phase | None, tag: str) -> QuerySet[Submission]:
    if phase is not None:
        rows = rows.filter(phase=phase)
    if tag:
        rows = rows.filter(pk__in=SubmissionNote.objects.with_tag(tag).values("submission"))
    return rows


def _sorted(
    rows: QuerySet[Submission], sort: str, phases: list[Phase], viewpoint: Viewpoint
) -> QuerySet[Submission]:
    """In an order of SORTS. A score counts only where it is visible: an order would tell hidden ones."""
    newest = ("-received_at", "-pk")
    if sort == "method":
        return rows.order_by(Lower("method"), *newest)
    if sort == "state":
        return rows.order_by("evaluation__state", *newest)
    if sort not in ("f1", "precision", "recall"):
        return rows.order_by(*newest)
    return with_metric_key(rows, sort, phases, viewpoint).order_by(f"-{METRIC_KEY}", *newest)


def _counting(team: Team, phases: list[Phase], viewpoint: Viewpoint) -> set[int]:
    """The submissions that count on the exact boards, where the viewer sees scores."""
    shown = [phase.labels_id for phase in phases if viewpoint.view(phase).shows("f1")]
    standings = Standing.objects.filter(team=team, label_set__in=shown, kind=Standing.Kind.EXACT)
    return set(standings.values_list("submission", flat=True))


def _summaries(team: Team, phases: list[Phase], viewpoint: Viewpoint) -> list[dict[str, Any]]:
    """Each phase that has opened: the quota, and the team's scores in order of receipt where they are visible."""
    shown = [phase for phase in phases if viewpoint.view(phase).shows("f1")]
    phases = [phase for phase in Extension.objects.applied(team, phases) if phase.has_opened(viewpoint.now)]
    usages = Attempt.objects.usages(team, phases, viewpoint.now)
    scored = (
        Submission.objects.of_team(team)
        .standing()
        .filter(phase__in=shown, evaluation__rank_key__isnull=False, evaluation__label_set=F("phase__labels"))
        .order_by("received_at", "pk")
        .values_list("phase", "received_at", "evaluation__rank_key")
    )
    scores: dict[int, list[tuple[datetime, float]]] = {}
    for phase_id, at, key in scored:
        scores.setdefault(phase_id, []).append((at, 100 * (key or 0) / KEY_SCALE))
    return [
        {
            "phase": phase,
            "usage": usages[phase.pk] if phase.is_open(viewpoint.now) else None,
            "scores": scores.get(phase.pk, []),
            "best": max((value for _, value in scores.get(phase.pk, [])), default=None),
            "sparkline": progress.sparkline(scores.get(phase.pk, [])),
        }
        for phase in phases
    ]


def _chart(summaries: list[dict[str, Any]], chosen: Phase | None) -> Any:
    """The progress in the chosen phase, otherwise in the one of the newest score; None for fewer than two scores."""
    able = [row for row in summaries if len(row["scores"]) > 1 and chosen in (None, row["phase"])]
    if not able:
        return None
    newest = max(able, key=lambda row: row["scores"][-1][0])
    return progress.chart(newest["phase"].name, newest["scores"])


def _tags(team: Team) -> list[str]:
    notes = SubmissionNote.objects.filter(submission__team=team).exclude(tags="").only("tags")
    return sorted({tag for note in notes for tag in note.tag_list}, key=str.casefold)


@signed_in
@never_cache
def as_csv(request: HttpRequest, slug: str) -> HttpResponse:
    """All of the team's submissions, newest first, with the scores that it may see."""
    competition = find_competition(request, slug)
    team = my_team(request, competition)
    if team is None:
        return no_team(request, competition)
    viewpoint = Viewpoint(request.user, timezone.now())
    counting = _counting(team, phases_of(competition), viewpoint)
    lines = (_line(row, viewpoint, row.pk in counting) for row in _of(team))
    response = HttpResponse(write_csv(CSV_HEADER, lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{competition.slug}-submissions.csv"'
    return response


def _line(row: Submission, viewpoint: Viewpoint, counts: bool) -> Iterable[Any]:
    scores, note, attempt = viewpoint.scores(row), getattr(row, "note", None), getattr(row, "attempt", None)
    return (
        row.pk,
        row.phase.slug,
        row.method,
        "withdrawn" if row.withdrawn_at else "disqualified" if row.disqualified_at else row.state,
        "yes" if counts else "",
        "yes" if row.selected else "",
        *(ratio and ratio.value for ratio in (scores.f1, scores.precision, scores.recall)),
        attempt.state if attempt else "",
        row.submitted_by.username if row.submitted_by else "",
        row.received_at.isoformat(timespec="seconds"),
        row.withdrawn_at.isoformat(timespec="seconds") if row.withdrawn_at else "",
        row.size,
        row.sha256,
        ", ".join(note.tag_list) if note else "",
        note.text if note else "",
    )


@signed_in
@never_cache
def compare(request: HttpRequest, slug: str) -> HttpResponseBase:
    """Two submissions of one phase beside each other, the earlier one first."""
    competition = find_competition(request, slug)
    wanted = [number for number in dict.fromkeys(request.GET.getlist("id")) if number.isdecimal()]
    if len(wanted) != 2:
        messages.error(request, "Select exactly two submissions to compare them.")
        return redirect("pages:submissions", slug)
    first, second = sorted(
        (find_submission(request, int(number)) for number in wanted),
        key=lambda submission: (submission.received_at, submission.pk),
    )
    if first.phase_id != second.phase_id or first.phase.competition_id != competition.pk:
        messages.error(request, "Two submissions can be compared if they are of the same phase.")
        return redirect("pages:submissions", slug)
    phase, now = first.phase, timezone.now()
    view = Viewpoint(request.user, now).view(phase)
    found = compare_two(first, second, view, now)
    page = Paginator(found.patches, COMPARED_PATCHES).get_page(request.GET.get("page"))
    context = {
        "first": first,
        "second": second,
        "pair": (first, second),
        "phase": phase,
        "comparison": found,
        "page": page,
        "ground": _ground(phase) if images_may_show(phase, view, now) else "",
    }
    return render_in(request, competition, "submissions/compare.html", context)


def _ground(phase: Phase) -> str:
    """The pictures in true colour, if they are kept of the phase's images."""
    true_colour = TASK.composites[0].key
    kept = QuickLook.objects.filter(phase=phase, patch=1, kind=true_colour).exists()
    return true_colour if kept else ""


@signed_in
@post_only("pages:submission", "pk")
def note(request: HttpRequest, pk: int) -> HttpResponseBase:
    submission = find_submission(request, pk)
    try:
        notes.write_note(
            request.user, submission, request.POST.get("text", ""), request.POST.get("tags", "").split(",")
        )
    except Refusal as refused:
        return detail(request, pk, refused)
    messages.success(request, "The note is saved. Only your team can read it.")
    return redirect("pages:submission", pk)
