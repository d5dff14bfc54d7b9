"""Join requests, mergers, and the method description."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from leaderboard.actions import descriptions
from leaderboard.actions import rosters as actions
from leaderboard.actions.refusals import InvalidInput, Refusal
from leaderboard.models import Competition, JoinRequest, Merger, Team
from leaderboard.models.names import folded

from .page_context import find_competition, post_only, say_refusal, signed_in
from .teams import act_for_team


def chosen(request: HttpRequest, field: str, rows: Any) -> Any:
    """The row with the id in a field of the form; 404 for anything else."""
    number = request.POST.get(field, "")
    if not (number.isascii() and number.isdigit() and len(number) < 18):
        raise Http404
    return get_object_or_404(rows, pk=number)


def named_team(request: HttpRequest, competition: Competition) -> Team:
    """The competing team whose name was typed; a refusal where there is none."""
    name = request.POST.get("team", "")
    teams = Team.objects.competing().filter(competition=competition)
    team = teams.filter(folded_name=folded(name)).first()
    if team is None:
        raise InvalidInput(
            f"No team is called “{name.strip()[:60]}”. Choose one of the names that are offered."
        )
    return team


@signed_in
@post_only("pages:team", "slug")
def ask_to_join(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    try:
        team = named_team(request, competition)
        actions.ask_to_join(request.user, team, request.POST.get("message", ""))
        messages.success(
            request, f"The owners of {team} have been asked. You will see the team here once they accept."
        )
    except Refusal as refused:
        say_refusal(request, refused)
    return redirect("pages:team", slug)


@signed_in
@post_only("pages:team", "slug")
def decide_request(request: HttpRequest, slug: str) -> HttpResponse:
    def act(mine: Team) -> str:
        asked = chosen(request, "request", JoinRequest.objects.open().filter(team=mine))
        accept = "accept" in request.POST
        actions.decide_request(request.user, asked, accept)
        return f"{asked.user} is now in {mine}." if accept else f"You have declined {asked.user}."

    return act_for_team(request, slug, act)


@signed_in
@post_only("pages:team", "slug")
def withdraw_request(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    mine = JoinRequest.objects.open().filter(user=request.user, team__competition=competition)
    asked = chosen(request, "request", mine.select_related("team"))
    try:
        actions.withdraw_request(request.user, asked)
        messages.success(request, f"You have withdrawn your request to join {asked.team}.")
    except Refusal as refused:
        say_refusal(request, refused)
    return redirect("pages:team", slug)


@signed_in
@post_only("pages:team", "slug")
def propose_merger(request: HttpRequest, slug: str) -> HttpResponse:
    def act(mine: Team) -> str:
        other = named_team(request, mine.competition)
        actions.propose_merger(request.user, mine, other)
        return f"The owners of {other} have been asked. Nothing changes until they accept."

    return act_for_team(request, slug, act)


@signed_in
@post_only("pages:team", "slug")
def decide_merger(request: HttpRequest, slug: str) -> HttpResponse:
    def act(mine: Team) -> str:
        offered = chosen(
            request, "merger", Merger.objects.open().filter(other=mine).select_related("team", "other")
        )
        accept = "accept" in request.POST
        actions.decide_merger(request.user, offered, accept)
        return f"You are now one team: {offered.team}." if accept else f"You have declined {offered.team}."

    return act_for_team(request, slug, act)


@signed_in
@post_only("pages:team", "slug")
def withdraw_merger(request: HttpRequest, slug: str) -> HttpResponse:
    def act(mine: Team) -> str:
        offered = chosen(
            request, "merger", Merger.objects.open().filter(team=mine).select_related("team", "other")
        )
        actions.withdraw_merger(request.user, offered)
        return f"You have withdrawn your offer to {offered.other}."

    return act_for_team(request, slug, act)


@signed_in
@require_http_methods(["GET", "POST"])
@never_cache
def description(request: HttpRequest, slug: str) -> HttpResponse:
    """Hand in my team's method description, or download it."""
    if request.method == "POST":
        return act_for_team(request, slug, lambda mine: _hand_in(request, mine))
    competition = find_competition(request, slug)
    mine = get_object_or_404(Team.objects.of(request.user), competition=competition)
    handed_in = getattr(mine, "description", None)
    if handed_in is None:
        raise Http404
    return HttpResponse(
        bytes(handed_in.pdf),
        content_type="application/pdf",
        headers={"Content-Disposition": 'attachment; filename="method.pdf"'},
    )


def _hand_in(request: HttpRequest, mine: Team) -> str:
    handed_in = descriptions.hand_in_description(request.user, mine, request.FILES.get("file"))
    return f"The description has been handed in. It names {', '.join(handed_in.members)}."
