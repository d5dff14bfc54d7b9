"""The report of a phase: a page that prints, and the same as JSON and CSV."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers

from leaderboard.models import Competition, Phase, PhaseReport
from leaderboard.models.visibility import View, view_of
from leaderboard.reports import shown
from leaderboard.spreadsheets import write_csv

from .frame import find_competition, phases_of, render_in
from .report_figures import closest_pairs, figures, object_rows, site_rows, size_classes


def report(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    competition, phase, row, view = _find(request, slug, phase_slug)
    content = _content(competition, row, view)
    masks = content["masks"]
    context = {
        "phase": phase,
        "report": row,
        "content": content,
        "figures": figures(content),
        "view": view,
        "for_organisers": view.shows("counts"),
        "closest": closest_pairs(masks) if masks else [],
        "objects": object_rows(masks) if masks else [],
        "sites": site_rows(content["sites"]) if content["sites"] else [],
        "sizes": size_classes(masks) if masks else [],
    }
    return _private(render_in(request, competition, "reports/report.html", context))


def report_json(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    competition, phase, row, view = _find(request, slug, phase_slug)
    response = JsonResponse(_content(competition, row, view), json_dumps_params={"allow_nan": False})
    return _file(response, f"{competition.slug}-{phase.slug}-report.json")


def board_csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """The board with intervals and rank ranges, a line for each team."""
    competition, phase, row, view = _find(request, slug, phase_slug)
    board = _content(competition, row, view)["board"]
    return _csv(list(board[0]), [list(line.values()) for line in board], f"{slug}-{phase.slug}-board.csv")


def pairs_csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Every pair of teams: difference of F1 in points, half of its 95 % interval, p before and after Holm."""
    competition, phase, row, view = _find(request, slug, phase_slug)
    pairs = _content(competition, row, view)["pairs"]
    names = pairs["teams"]
    lines = [
        [
            names[k],
            names[m],
            *(pairs[key][k][m] for key in ("difference", "half_width", "p", "p_holm", "better")),
        ]
        for k in range(len(names))
        for m in range(k + 1, len(names))
    ]
    header = ["first", "second", "difference", "half_width", "p", "p_holm", "first_is_better"]
    return _csv(header, lines, f"{slug}-{phase.slug}-pairs.csv")


def _find(request: HttpRequest, slug: str, phase_slug: str) -> tuple[Competition, Phase, PhaseReport, View]:
    """The report that this viewer may read; for all others there is none."""
    competition, now = find_competition(request, slug), timezone.now()
    phase = next((phase for phase in phases_of(competition) if phase.slug == phase_slug), None)
    if phase is None:
        raise Http404
    view = view_of(phase, request.user, now)
    row = PhaseReport.objects.for_viewer(phase, view, now).first()
    if row is None:
        raise Http404
    return competition, phase, row, view


def _content(competition: Competition, row: PhaseReport, view: View) -> dict[str, Any]:
    before = row.content["provenance"]["earlier"]
    earlier = before and competition.phases.filter(slug=before["slug"]).first()
    return shown(row.content, view, earlier is not None and earlier.has_closed(timezone.now()))


def _csv(header: list[str], lines: list[list[Any]], name: str) -> HttpResponse:
    return _file(HttpResponse(write_csv(header, lines), content_type="text/csv; charset=utf-8"), name)


def _file(response: HttpResponse, name: str) -> HttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return _private(response)


def _private(response: HttpResponse) -> HttpResponse:
    patch_vary_headers(response, ["Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response
