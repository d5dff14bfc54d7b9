"""A board to take along: CSV, JSON, an Atom feed, and a page for frames on other sites."""

from typing import Any

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.views.decorators.clickjacking import xframe_options_exempt

from leaderboard.models import Competition, Phase
from leaderboard.reporting import board_files
from leaderboard.reporting.boards import Board, Choice, board_of

from .page_context import find_competition, phases_of

FRESH = 60  # seconds for which other sites may keep what everybody sees
EMBEDDED = 10
MOST_EMBEDDED = 100


def csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """The board as its viewer sees it, one line per entry."""
    text = board_files.csv_of(_board(request, slug, phase_slug))
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{slug}-{phase_slug}.csv"'
    return _own(response)


def json(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """The same as JSON; the API's board has more."""
    described = board_files.described(_board(request, slug, phase_slug))
    return _own(JsonResponse(described, json_dumps_params={"indent": 1, "ensure_ascii": False}))


def bests(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """The latest bests on the public board, as Atom."""
    newest = Choice(order=Choice.OF_FEEDS)
    board = public_board(slug, phase_slug, limit=board_files.NEWS, choice=newest)
    url, feed_url = (
        settings.SITE_URL + reverse(f"pages:{name}", args=[slug, phase_slug])
        for name in ("board", "board-feed")
    )
    feed = board_files.feed_of(board, url, feed_url)
    return public(HttpResponse(feed, content_type="application/atom+xml; charset=utf-8"))


@xframe_options_exempt
@csp_replace({"frame-ancestors": ["*"]})  # type: ignore[arg-type]  # its stubs know no arguments of addresses
def embed(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """The top of the public board, for a frame on any site. It knows no visitor and has nothing to press."""
    rows = request.GET.get("rows", "")
    limit = min(int(rows), MOST_EMBEDDED) if rows.isascii() and rows.isdigit() and len(rows) < 5 else EMBEDDED
    board = public_board(slug, phase_slug, limit=max(1, limit))
    context: dict[str, Any] = {
        "board": board,
        "phase": board.phase,
        "competition": board.phase.competition,
        "site_name": settings.SITE_NAME,
        "site_url": settings.SITE_URL,
    }
    return public(HttpResponse(render_to_string("board/embed.html", context)))


def public_board(slug: str, phase_slug: str, **window: Any) -> Board:
    """The board that everybody sees, of a published competition; otherwise 404."""
    competition = get_object_or_404(Competition.objects.published(), slug=slug)
    return board_of(find_phase(competition, phase_slug), AnonymousUser(), timezone.now(), **window)


def find_phase(competition: Competition, phase_slug: str) -> Phase:
    phase = next((phase for phase in phases_of(competition) if phase.slug == phase_slug), None)
    if phase is None:
        raise Http404
    return phase


def public(response: HttpResponse) -> HttpResponse:
    """Any cache may keep it for a minute."""
    patch_cache_control(response, public=True, max_age=FRESH)
    return response


def _board(request: HttpRequest, slug: str, phase_slug: str) -> Board:
    phase = find_phase(find_competition(request, slug), phase_slug)
    return board_of(phase, request.user, timezone.now())


def _own(response: HttpResponse) -> HttpResponse:
    """What one viewer sees; no shared cache may keep it."""
    patch_vary_headers(response, ["Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response
