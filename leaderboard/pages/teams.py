"""My team: create it, invite, join, remove, leave."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from leaderboard.actions import teams as actions
from leaderboard.actions.descriptions import why_not_eligible
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition, JoinRequest, Membership, MethodDescription, Phase, Team

from .forms import InvitationForm, TeamForm
from .page_context import find_competition, my_team, post_only, render_in, signed_in


@signed_in
@never_cache
def team(request: HttpRequest, slug: str) -> HttpResponse:
    """My team, or the form that creates one."""
    competition = find_competition(request, slug)
    mine = my_team(request, competition)
    if mine is not None:
        return _show(request, competition, mine)
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            made = actions.create_team(request.user, competition, **form.cleaned_data)
        except Refusal as refused:
            form.refuse(refused)
            return _create(request, competition, form, refused.status)
        messages.success(request, f"You have created {made}. Invite others with a link, or submit now.")
        return redirect("pages:team", slug)
    return _create(request, competition, form, 400 if form.errors else 200)


@signed_in
@require_GET
@never_cache
def names(request: HttpRequest, slug: str) -> HttpResponse:
    """Some teams whose name contains what is typed, as the options of a field."""
    competition = find_competition(request, slug)
    teams = Team.objects.competing().filter(competition=competition)
    return render(request, "teams/names.html", {"names": teams.named_like(request.GET.get("team", "")[:120])})


def _create(request: HttpRequest, competition: Competition, form: TeamForm, status: int) -> HttpResponse:
    now = timezone.now()
    asked = JoinRequest.objects.open().filter(user=request.user.pk, team__competition=competition)
    others = Team.objects.competing().filter(competition=competition)
    context = {
        "form": form,
        "team": None,
        "locked": competition.roster_is_locked(now),
        "organises": competition.is_organised_by(request.user),
        "others": [
            team for team in others.named_like("") if not competition.roster_is_locked(now, team.created_at)
        ],
        "asked": list(asked.select_related("team")),
    }
    response = render_in(request, competition, "teams/create.html", context)
    response.status_code = status
    return response


def _show(
    request: HttpRequest,
    competition: Competition,
    mine: Team,
    *,
    refusal: Refusal | None = None,
    link: str = "",
    form: InvitationForm | None = None,
    edited: TeamForm | None = None,
) -> HttpResponse:
    now = timezone.now()
    memberships = list(mine.memberships.select_related("user"))
    others = Team.objects.competing().filter(competition=competition)
    owner = any(m.user_id == request.user.pk and m.role == Membership.Role.OWNER for m in memberships)
    proposed = list(mine.proposed_mergers.open().select_related("other")) if owner else []
    context = {
        "team": mine,
        "memberships": memberships,
        "is_owner": owner,
        "is_named": any(m.user_id == request.user.pk and m.is_named for m in memberships),
        "locked": competition.roster_is_locked(now, mine.created_at),
        "mergers_open": competition.mergers_until is None or now < competition.mergers_until,
        "selects": competition.phases.filter(counts=Phase.Counts.SELECTED).exists(),
        "invitations": list(mine.invitations.open().select_related("created_by")) if owner else [],
        "days": actions.INVITATION_DAYS,
        "requests": list(mine.join_requests.open().select_related("user")) if owner else [],
        "offers": list(mine.offered_mergers.open().select_related("team")) if owner else [],
        "proposed": proposed,
        "others": list(
            others.exclude(pk__in=[mine.pk, *(offer.other_id for offer in proposed)]).named_like("")
        )
        if owner
        else [],
        "description": MethodDescription.objects.filter(team=mine).defer("pdf").first(),
        "late": competition.descriptions_due_at is not None and now > competition.descriptions_due_at,
        "why_not": why_not_eligible(mine),
        "form": form or InvitationForm(),
        "edited": edited or TeamForm(initial={"name": mine.name, "affiliation": mine.affiliation}),
        "link": link,
    }
    return render_in(request, competition, "teams/team.html", context, refusal=refusal)


@signed_in
@post_only("pages:team", "slug")
@never_cache
def edit(request: HttpRequest, slug: str) -> HttpResponse:
    """Change the team's name or affiliation."""
    competition = find_competition(request, slug)
    mine = get_object_or_404(Team.objects.of(request.user), competition=competition)
    form = TeamForm(request.POST)
    status = 400
    if form.is_valid():
        try:
            actions.edit_team(request.user, mine, **form.cleaned_data)
            messages.success(request, "Saved. The boards show the change at once.")
            return redirect("pages:team", slug)
        except Refusal as refused:
            form.refuse(refused)
            status = refused.status
    mine.refresh_from_db()
    response = _show(request, competition, mine, edited=form)
    response.status_code = status
    return response


@signed_in
@post_only("pages:team", "slug")
def name_in_public(request: HttpRequest, slug: str) -> HttpResponse:
    """Agree to be named on the team's public page, or no longer."""
    named = request.POST.get("named") == "yes"

    def act(mine: Team) -> str:
        actions.name_in_public(request.user, mine, named)
        return f"{'You are now named' if named else 'You are no longer named'} on the public page of {mine}."

    return act_for_team(request, slug, act)


@signed_in
@post_only("pages:team", "slug")
@never_cache
def invite(request: HttpRequest, slug: str) -> HttpResponse:
    """Create a link; it is shown in this response only."""
    competition = find_competition(request, slug)
    mine = get_object_or_404(Team.objects.of(request.user), competition=competition)
    form = InvitationForm(request.POST)
    if not form.is_valid():
        response = _show(request, competition, mine, form=form)
        response.status_code = 400
        return response
    try:
        _, token = actions.invite(request.user, mine, form.cleaned_data["email"])
    except Refusal as refused:
        return _show(request, competition, mine, refusal=refused)
    return _show(request, competition, mine, link=actions.invitation_link(token))


@signed_in
@post_only("pages:team", "slug")
def revoke_invitation(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    def act(mine: Team) -> str:
        invitation = get_object_or_404(mine.invitations.open(), pk=pk)
        actions.revoke_invitation(request.user, invitation)
        return "The invitation has been revoked; its link no longer works."

    return act_for_team(request, slug, act)


@signed_in
@post_only("pages:team", "slug")
def remove_member(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Remove a member, or leave: people may always remove themselves."""

    def act(mine: Team) -> str:
        member = get_object_or_404(mine.memberships.select_related("user"), pk=pk).user
        actions.remove_member(request.user, mine, member)
        return f"You have left {mine}." if member == request.user else f"{member} is no longer in {mine}."

    return act_for_team(request, slug, act)


@signed_in
@post_only("pages:team", "slug")
def make_owner(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    def act(mine: Team) -> str:
        member = get_object_or_404(mine.memberships.select_related("user"), pk=pk).user
        actions.make_owner(request.user, mine, member)
        return f"{member} is now an owner of {mine}."

    return act_for_team(request, slug, act)


def act_for_team(request: HttpRequest, slug: str, act: Callable[[Team], str]) -> HttpResponse:
    """Act and return to the team's page, which shows any refusal."""
    competition = find_competition(request, slug)
    mine = get_object_or_404(Team.objects.of(request.user), competition=competition)
    try:
        messages.success(request, act(mine))
    except Refusal as refused:
        return _show(request, competition, mine, refusal=refused)
    return redirect("pages:team", slug)


@signed_in
@never_cache
def join(request: HttpRequest) -> HttpResponse:
    """The invitation behind a link, with a button to accept it. The token is in the query string: no log keeps it."""
    token = request.GET.get("invitation", "")
    context: dict[str, Any] = {}
    try:
        invitation = actions.find_invitation(token)
        context["invited_to"] = invitation.team
        if request.method == "POST":
            joined = actions.accept_invitation(request.user, token)
            messages.success(request, f"Welcome to {joined}.")
            return redirect("pages:team", joined.competition.slug)
    except Refusal as refused:
        refused.count()
        context["refusal"] = refused
        return render(request, "teams/join.html", context, status=refused.status)
    return render(request, "teams/join.html", context)
