"""The board of a phase: the whole page, or the fragment that it polls."""

import hashlib
import json
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers

from leaderboard.models import Evaluation, Phase, PhaseReport, Team
from leaderboard.models.visibility import View, view_of
from leaderboard.reporting.boards import Board, board_of, phase_to_show, row_of

from .page_context import find_competition, my_team, phases_of, render_in

ROWS = 100


def current_board(request: HttpRequest, slug: str) -> HttpResponse:
    """Redirect to the board of the open phase if it has entries, or else of the last phase that had some."""
    phase = phase_to_show(phases_of(find_competition(request, slug)), request.user, timezone.now())
    if phase is None:
        raise Http404
    return redirect("pages:board", slug, phase.slug)


def board(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    phases = phases_of(competition)
    phase = next((phase for phase in phases if phase.slug == phase_slug), None)
    if phase is None:
        raise Http404
    team, page, now = my_team(request, competition), _page(request), timezone.now()
    is_open = phase.is_open(now)
    follows = (
        is_open or Evaluation.objects.awaited(phase).exists()
    )  # submissions received in time are scored after the end
    etag = _etag(phase, view_of(phase, request.user, now), team, page, is_open, follows)
    polled = request.headers.get("HX-Request") == "true"
    response: HttpResponse
    if polled and request.headers.get("If-None-Match") == etag:
        response = HttpResponseNotModified()
    else:
        shown = board_of(phase, request.user, now, first=(page - 1) * ROWS, limit=ROWS)
        if page > 1 and not shown.rows:
            raise Http404
        context = {
            "phase": phase,
            "phases": phases,
            "team": team,
            "board": shown,
            **_own_row(shown, team),
            "page": page,
            "pages": range(1, -(-shown.total // ROWS) + 1),
            "condition": json.dumps({"If-None-Match": etag}),
            "now": now,
            "is_open": is_open,
            "follows": follows,
        }
        if polled:
            response = render(request, "board/rows.html", {"competition": competition, **context})
        else:
            reports = PhaseReport.objects.for_viewer(phase, shown.view, now)
            context["report"] = reports.defer("content").first()
            response = render_in(request, competition, "board/board.html", context)
    if polled:
        response["ETag"] = etag
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response


def _own_row(shown: Board, team: Team | None) -> dict[str, Any]:
    """The row of the viewer's team, and whether it is outside this page of the board."""
    mine = row_of(shown, team) if team else None
    return {
        "mine": mine,
        "mine_apart": mine and mine.team_id not in {row.team_id for row in shown.rows or []},
    }


def _page(request: HttpRequest) -> int:
    page = request.GET.get("page", "1")
    if not (page.isascii() and page.isdigit() and len(page) < 10):
        raise Http404
    return max(1, int(page))


def _etag(phase: Phase, view: View, team: Team | None, page: int, *state: bool) -> str:
    """Changes with the board and with what this viewer may see of it."""
    parts = (
        phase.pk,
        phase.board_version,
        phase.labels_id,
        view.board,
        sorted(view.metrics),
        team and team.pk,
        page,
        state,
    )
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'
