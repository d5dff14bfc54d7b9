"""Ask to join, merge teams, hand in the method description; winners and their certificates."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from leaderboard.actions import rosters as actions
from leaderboard.actions.refusals import InvalidInput, Refusal
from leaderboard.models import Award, JoinRequest, Merger, Team

from .frame import find_competition, render_in, signed_in
from .teams import act_for_team


def chosen(request: HttpRequest, field: str, rows: Any) -> Any:
    """The row whose number stands in a field of the form; 404 for anything else."""
    number = request.POST.get(field, "")
    if not (number.isascii() and number.isdigit() and len(number) < 18):
        raise Http404
    return get_object_or_404(rows, pk=number)


@signed_in
@require_POST
def ask_to_join(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    team = chosen(request, "team", Team.objects.competing().filter(competition=competition))
    try:
        actions.ask_to_join(request.user, team, request.POST.get("message", ""))
        messages.success(
            request, f"The owners of {team} have been asked. You will find the team here once they agree."
        )
    except Refusal as refused:
        messages.error(request, refused.message)
    return redirect("pages:team", slug)


@signed_in
@require_POST
def decide_request(request: HttpRequest, slug: str) -> HttpResponse:
    def act(mine: Team) -> str:
        asked = chosen(request, "request", JoinRequest.objects.open().filter(team=mine))
        accept = "accept" in request.POST
        actions.decide_request(request.user, asked, accept)
        return f"{asked.user} is in {mine} now." if accept else f"You have declined {asked.user}."

    return act_for_team(request, slug, act)


@signed_in
@require_POST
def propose_merger(request: HttpRequest, slug: str) -> HttpResponse:
    def act(mine: Team) -> str:
        others = Team.objects.competing().filter(competition=mine.competition)
        other = chosen(request, "team", others)
        actions.propose_merger(request.user, mine, other)
        return f"The owners of {other} have been asked. Nothing changes until they agree."

    return act_for_team(request, slug, act)


@signed_in
@require_POST
def decide_merger(request: HttpRequest, slug: str) -> HttpResponse:
    def act(mine: Team) -> str:
        offered = chosen(
            request, "merger", Merger.objects.open().filter(other=mine).select_related("team", "other")
        )
        accept = "accept" in request.POST
        actions.decide_merger(request.user, offered, accept)
        return f"You are one team now: {offered.team}." if accept else f"You have declined {offered.team}."

    return act_for_team(request, slug, act)


@signed_in
@require_http_methods(["GET", "POST"])
@never_cache
def description(request: HttpRequest, slug: str) -> HttpResponse:
    """Hand in my team's method description, or save what was handed in."""
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
    file = request.FILES.get("file")
    if file is None:
        raise InvalidInput("Choose the PDF that describes your method.")
    handed_in = actions.hand_in_description(request.user, mine, file)
    return f"The description is handed in, naming {', '.join(handed_in.members)}."


@require_http_methods(["GET", "POST"])
def winners(request: HttpRequest, slug: str) -> HttpResponse:
    """Who won what. Organisers give awards here."""
    competition = find_competition(request, slug)
    organises = competition.is_organised_by(request.user)
    refusal = None
    if request.method == "POST":
        if not organises:
            raise Http404
        team = chosen(request, "team", Team.objects.competing().filter(competition=competition))
        try:
            given = actions.give_award(
                request.user,
                competition,
                team,
                request.POST.get("title", ""),
                request.POST.get("citation", ""),
            )
            messages.success(request, f"Given: {given}.")
            return redirect("pages:winners", slug)
        except Refusal as refused:
            refusal = refused
    context = {
        "awards": list(competition.awards.select_related("team")),
        "organises": organises,
        "eligible": list(Team.objects.eligible(competition)) if organises else [],
        "due": competition.descriptions_due_at,
    }
    return render_in(request, competition, "teams/winners.html", context, refusal=refusal)


@signed_in
@require_POST
def take_award_back(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    if not competition.is_organised_by(request.user):
        raise Http404
    award = chosen(request, "award", competition.awards.all())
    try:
        actions.take_award_back(request.user, award, request.POST.get("reason", ""))
        messages.success(request, f"Taken back: {award.title}.")
    except Refusal as refused:
        messages.error(request, refused.message)
    return redirect("pages:winners", slug)


@require_GET
def certificate(request: HttpRequest, slug: str, title: str) -> HttpResponse:
    """One award as a page to print."""
    competition = find_competition(request, slug)
    award = get_object_or_404(Award.objects.select_related("team"), competition=competition, title=title)
    members = list(award.team.members.order_by("last_name", "username"))
    context = {"award": award, "members": members, "today": timezone.now()}
    return render_in(request, competition, "teams/certificate.html", context)
