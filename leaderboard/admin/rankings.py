"""The ranking of a phase as organisers see it: exact, with counts, whatever the public sees."""

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import Phase, Standing
from leaderboard.models.visibility import view_of
from leaderboard.reporting.boards import Board, board_of
from leaderboard.reporting.spreadsheets import write_csv

from .scope import within, without_masks

ROWS = 200
HEADER = (
    "rank", "kind", "team", "submission", "method", "f1", "precision", "recall", "tp", "fp", "fn", "entries",
    "received_at", "sha256",
)  # fmt: skip


def rankings(request: HttpRequest, model_admin: Any, pk: int | None = None) -> HttpResponse:
    """One phase's board, `?start=` rows further down, or all of it as CSV with `?format=csv`."""
    phases = list(
        within(
            without_masks(Phase.objects.select_related("competition", "labels"), "labels__"), request.user
        ).order_by("competition__name", "position", "opens_at")
    )
    now = timezone.now()
    if pk is None:
        chosen = next((phase for phase in phases if phase.is_open(now)), phases[0] if phases else None)
        if chosen:
            return HttpResponseRedirect(reverse("admin:leaderboard_phase_ranking", args=[chosen.pk]))
    phase = next((phase for phase in phases if phase.pk == pk), None)
    if pk is not None and phase is None:
        raise Http404
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "opts": model_admin.opts,
        "title": f"Ranking: {phase}" if phase else "Rankings",
        "phases": phases,
        "phase": phase,
    }
    if phase:
        if request.GET.get("format") == "csv":
            return as_file(request, phase, board_of(phase, request.user, now))
        start = int(request.GET["start"]) if request.GET.get("start", "").isdecimal() else 0
        board = board_of(phase, request.user, now, first=start, limit=ROWS)
        teams = Standing.objects.board(phase, Standing.Kind.EXACT).count()
        context |= {
            "board": board,
            "teams": teams,
            "start": start,
            "before": max(0, start - ROWS) if start else None,
            "after": start + ROWS if start + ROWS < teams else None,
            "public": public_state(phase, now),
        }
    return TemplateResponse(request, "admin/leaderboard/rankings.html", context)


def public_state(phase: Phase, now: Any) -> str:
    """One sentence: what everyone but the organisers sees of this board now."""
    view = view_of(phase, AnonymousUser(), now)
    if view.board is None:
        return "Participants see no board and no scores until the phase ends."
    if view.board == Standing.Kind.SHOWN:
        return "Participants see an older or coarser board until the phase ends."
    metrics = " and ".join(sorted(view.metrics, key=["precision", "recall", "f1"].index)).replace("f1", "F1")
    return f"Participants see this board, with {metrics}."


def as_file(request: HttpRequest, phase: Phase, board: Board) -> HttpResponse:
    kinds = [("team", board.rows or []), ("reference", board.references)]
    rows = [
        (
            row.rank, kind, row.team, row.submission.pk, row.submission.method,
            *(ratio.value if ratio else None for ratio in (row.scores.f1, row.scores.precision, row.scores.recall)),
            *(row.scores.counts or (None, None, None)),
            row.entries, row.achieved_at.isoformat(), row.submission.sha256,
        )
        for kind, lines in kinds
        for row in lines
    ]  # fmt: skip
    response = HttpResponse(write_csv(HEADER, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{phase.competition.slug}-{phase.slug}.csv"'
    return response
