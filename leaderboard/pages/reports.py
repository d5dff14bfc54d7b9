"""The report of a phase: a page that prints, and the same as JSON and CSV."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers

from leaderboard.models import Competition, Phase, PhaseReport
from leaderboard.models.visibility import View, gallery_is_public, view_of
from leaderboard.reporting.figures import (
    closest_pairs,
    figures,
    gallery,
    object_rows,
    site_tables,
    size_classes,
)
from leaderboard.reporting.reports import Audience, audience_of, shown
from leaderboard.reporting.spreadsheets import write_csv

from .page_context import find_competition, phases_of, render_in


def report(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    competition, phase, row, view = _find(request, slug, phase_slug)
    audience = _audience(phase, row, view)
    content = shown(row.content, audience)
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
        "sites": site_tables(content["sites"]) if content["sites"] else [],
        "sizes": size_classes(masks) if masks else [],
        "gallery": gallery(
            content, row.pictures.values_list("patch", "kind") if audience.sees_gallery else ()
        ),
        "decimals": 2 if view.shows("counts") or audience.phase_is_over else 1,
        "gallery_is_public": gallery_is_public(phase, timezone.now()),
    }
    return _private(render_in(request, competition, "reports/report.html", context))


def report_json(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    competition, phase, row, view = _find(request, slug, phase_slug)
    response = JsonResponse(_content(phase, row, view), json_dumps_params={"allow_nan": False})
    return _file(response, f"{competition.slug}-{phase.slug}-report.json")


def board_csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """The board with intervals and rank ranges, one row per team."""
    _, phase, row, view = _find(request, slug, phase_slug)
    board = _content(phase, row, view)["board"]
    return _csv(list(board[0]), [list(line.values()) for line in board], f"{slug}-{phase.slug}-board.csv")


def pairs_csv(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """Every pair of teams: difference of F1 in points, half of its 95 % interval, p before and after Holm."""
    _, phase, row, view = _find(request, slug, phase_slug)
    pairs = _content(phase, row, view)["pairs"]
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


def picture(request: HttpRequest, slug: str, phase_slug: str, patch: int, kind: str) -> HttpResponse:
    """A picture of one of the hardest patches, for viewers who may see its label."""
    _, phase, row, view = _find(request, slug, phase_slug)
    found = row.pictures.filter(patch=patch, kind=kind).first()
    if found is None or not _audience(phase, row, view).sees_gallery:
        raise Http404
    return _private(HttpResponse(bytes(found.png), content_type="image/png"))


def _find(request: HttpRequest, slug: str, phase_slug: str) -> tuple[Competition, Phase, PhaseReport, View]:
    """The report if the viewer may read it; otherwise 404."""
    competition, now = find_competition(request, slug), timezone.now()
    phase = next((phase for phase in phases_of(competition) if phase.slug == phase_slug), None)
    if phase is None:
        raise Http404
    view = view_of(phase, request.user, now)
    row = PhaseReport.objects.for_viewer(phase, view, now).first()
    if row is None:
        raise Http404
    return competition, phase, row, view


def _content(phase: Phase, row: PhaseReport, view: View) -> dict[str, Any]:
    return shown(row.content, _audience(phase, row, view))


def _audience(phase: Phase, row: PhaseReport, view: View) -> Audience:
    before = row.content["provenance"]["earlier"]
    earlier = (
        Phase.objects.filter(competition=phase.competition_id, slug=before["slug"]).first()
        if before
        else None
    )
    return audience_of(phase, earlier, view, timezone.now())


def _csv(header: list[str], lines: list[list[Any]], name: str) -> HttpResponse:
    return _file(HttpResponse(write_csv(header, lines), content_type="text/csv; charset=utf-8"), name)


def _file(response: HttpResponse, name: str) -> HttpResponse:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return _private(response)


def _private(response: HttpResponse) -> HttpResponse:
    patch_vary_headers(response, ["Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response
