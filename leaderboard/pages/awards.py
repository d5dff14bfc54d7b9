"""Winners, certificates, and the organisers' forms that give and revoke awards."""

from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_http_methods

from leaderboard.actions import awards as actions
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Award, Competition, Team

from .page_context import find_competition, post_only, render_in, signed_in
from .rosters import chosen, named_team


@require_http_methods(["GET", "POST"])
def winners(request: HttpRequest, slug: str) -> HttpResponse:
    """Awards given and prizes still open. Organisers give awards here."""
    competition = find_competition(request, slug)
    if request.method == "POST":
        return _act(request, slug, lambda competition: _give(request, competition))
    return _show(request, competition)


def _show(request: HttpRequest, competition: Competition, refusal: Refusal | None = None) -> HttpResponse:
    organises = competition.is_organised_by(request.user)
    awards = list(competition.awards.select_related("team"))
    given = {award.title for award in awards}
    prizes = list(competition.prizes.select_related("phase"))
    waiting = [prize for prize in prizes if prize.title not in given]
    context = {
        "awards": awards,
        "waiting": waiting,
        "by_rank": any(prize.rank for prize in waiting),
        "organises": organises,
        "eligible": list(Team.objects.eligible(competition).named_like("")) if organises else [],
        "due": competition.descriptions_due_at,
        "typed": request.POST,
    }
    return render_in(request, competition, "teams/winners.html", context, refusal=refusal)


def _give(request: HttpRequest, competition: Competition) -> str:
    team = named_team(request, competition)
    title, citation = request.POST.get("title", ""), request.POST.get("citation", "")
    return f"Given: {actions.give_award(request.user, competition, team, title, citation)}."


@signed_in
@post_only("pages:winners", "slug")
def give_ranked(request: HttpRequest, slug: str) -> HttpResponse:
    def act(competition: Competition) -> str:
        given = actions.give_ranked_awards(request.user, competition)
        return f"Given: {'; '.join(map(str, given))}."

    return _act(request, slug, act)


@signed_in
@post_only("pages:winners", "slug")
def take_award_back(request: HttpRequest, slug: str) -> HttpResponse:
    def act(competition: Competition) -> str:
        award = chosen(request, "award", competition.awards.all())
        actions.take_award_back(request.user, award, request.POST.get("reason", ""))
        return f"Award revoked: {award.title}."

    return _act(request, slug, act)


def _act(request: HttpRequest, slug: str, act: Callable[[Competition], str]) -> HttpResponse:
    """Act and return to the winners' page, which shows any refusal; 404 for anybody but organisers."""
    competition = find_competition(request, slug)
    if not competition.is_organised_by(request.user):
        raise Http404
    try:
        messages.success(request, act(competition))
    except Refusal as refused:
        return _show(request, competition, refused)
    return redirect("pages:winners", slug)


@require_GET
def certificate(request: HttpRequest, slug: str, title: str) -> HttpResponse:
    """A certificate, as a page to print."""
    competition = find_competition(request, slug)
    award = get_object_or_404(Award.objects.select_related("team"), competition=competition, title=title)
    members = list(award.team.members.order_by("last_name", "username"))
    return render_in(request, competition, "teams/certificate.html", {"award": award, "members": members})
