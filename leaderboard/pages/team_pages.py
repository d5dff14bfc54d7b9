"""A team's public page, and its rank as a badge for other sites."""

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.safestring import SafeString, mark_safe

from leaderboard.models import Competition, Team
from leaderboard.reporting import board_files, charts
from leaderboard.reporting.boards import board_of, row_of
from leaderboard.reporting.team_pages import Place, public_of

from .board_files import find_phase
from .board_files import public as cached_by_all
from .page_context import find_competition, my_team, phases_of, render_in


def team_page(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """A team that stands on a board which the viewer sees, or of which the viewer is a member; otherwise 404."""
    competition, now = find_competition(request, slug), timezone.now()
    shown = get_object_or_404(
        Team.objects.select_related("merged_into", "competition"), competition=competition, pk=pk
    )
    if shown.merged_into:
        return redirect("pages:team-page", slug, shown.merged_into.pk)
    phases, team = phases_of(competition), my_team(request, competition)
    public = public_of(shown, phases, request.user, now)
    if public is None:
        raise Http404
    named = shown.memberships.filter(is_named=True).select_related("user")
    context = {
        "phases": phases,
        "team": team,
        "shown": shown,
        "places": [(place, _curve(place)) for place in public.places],
        "references": public.references,
        "named": [membership.user for membership in named],
    }
    response = render_in(request, competition, "teams/public.html", context)
    patch_vary_headers(response, ["Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response


def _curve(place: Place) -> SafeString | str:
    """The team's score over time, once there are two."""
    if len(place.history) < 2:
        return ""
    now = timezone.now()
    at, score = place.history[-1]
    steps = [*place.history, (max(at, min(place.phase.closes_at or now, now)), score)]
    title = f"F1 of {place.row.team} in {place.phase.name} over time"
    chart = charts.line_chart(title, {place.row.team: steps}, "F1 in %", steps=True)
    return mark_safe(chart)  # noqa: S308 - charts escape every text in them


def badge(request: HttpRequest, slug: str, pk: int, phase_slug: str) -> HttpResponse:
    """Rank and F1 of a team on the public board as SVG; 404 while it stands on none."""
    competition = get_object_or_404(Competition.objects.published(), slug=slug)
    phase = find_phase(competition, phase_slug)
    team = get_object_or_404(Team.objects.competing().filter(hidden_at=None), competition=competition, pk=pk)
    board = board_of(phase, AnonymousUser(), timezone.now(), limit=0)
    row = row_of(board, team)
    if row is None:
        raise Http404
    right = f"rank {row.rank} of {board.total} · F1 {row.scores.f1}"
    svg = board_files.badge(f"{competition.name} · {phase.name}", right)
    return cached_by_all(HttpResponse(svg, content_type="image/svg+xml"))
