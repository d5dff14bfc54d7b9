"""The webhook of my team, for its owners."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache

from leaderboard.actions import webhooks as actions
from leaderboard.actions.refusals import Refusal
from leaderboard.actions.teams import check_owner
from leaderboard.models import Competition, Team, Webhook, WebhookEvent

from .forms import WebhookForm
from .page_context import find_competition, post_only, render_in, signed_in


@signed_in
@never_cache
def webhook(request: HttpRequest, slug: str) -> HttpResponse:
    """Its address and events, and how the last call ended. A new secret is shown in the response that makes it only."""
    competition, team = _mine(request, slug)
    try:
        check_owner(request.user, team)
    except Refusal as refused:
        return render_in(request, competition, "teams/webhook.html", {"team": team}, refusal=refused)
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            _, secret = actions.set_webhook(request.user, team, **form.cleaned_data)
        except Refusal as refused:
            form.refuse(refused)
            return _show(request, competition, team, form=form, status=refused.status)
        if secret:
            return _show(request, competition, team, secret=secret)
        messages.success(request, "The webhook has been saved and is on.")
        return redirect("pages:webhook", slug)
    if request.method == "POST":
        return _show(request, competition, team, form=form, status=400)
    return _show(request, competition, team)


@signed_in
@post_only("pages:webhook", "slug")
@never_cache
def change_secret(request: HttpRequest, slug: str) -> HttpResponse:
    competition, team = _mine(request, slug)
    try:
        _, secret = actions.change_secret(request.user, team)
    except Refusal as refused:
        return _show(request, competition, team, refusal=refused)
    return _show(request, competition, team, secret=secret)


@signed_in
@post_only("pages:webhook", "slug")
def send_test(request: HttpRequest, slug: str) -> HttpResponse:
    def act(team: Team) -> str:
        actions.send_test(request.user, team)
        return "A test is on its way. Reload this page to see how it ended."

    return _act(request, slug, act)


@signed_in
@post_only("pages:webhook", "slug")
def remove(request: HttpRequest, slug: str) -> HttpResponse:
    def act(team: Team) -> str:
        actions.remove_webhook(request.user, team)
        return "The webhook has been removed."

    return _act(request, slug, act)


def _act(request: HttpRequest, slug: str, act: Callable[[Team], str]) -> HttpResponse:
    competition, team = _mine(request, slug)
    try:
        messages.success(request, act(team))
    except Refusal as refused:
        return _show(request, competition, team, refusal=refused)
    return redirect("pages:webhook", slug)


def _mine(request: HttpRequest, slug: str) -> tuple[Competition, Team]:
    competition = find_competition(request, slug)
    return competition, get_object_or_404(Team.objects.of(request.user), competition=competition)


def _show(
    request: HttpRequest,
    competition: Competition,
    team: Team,
    *,
    form: WebhookForm | None = None,
    secret: str = "",
    refusal: Refusal | None = None,
    status: int = 200,
) -> HttpResponse:
    is_owner = team.is_owned_by(request.user)
    hook = Webhook.objects.filter(team=team).first() if is_owner else None
    chosen = hook.events if hook else WebhookEvent.values
    waiting = hook.calls.count() if hook else 0
    context = {
        "team": team,
        "is_owner": is_owner,
        "hook": hook,
        "secret": secret,
        "waiting": waiting,
        "form": form or WebhookForm(initial={"url": hook.url if hook else "", "events": chosen}),
    }
    response = render_in(request, competition, "teams/webhook.html", context, refusal=refusal)
    response.status_code = refusal.status if refusal else status
    return response
