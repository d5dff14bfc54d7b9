"""The terms of a competition: read and accept them."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from leaderboard.actions import participation
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Terms

from .page_context import find_competition, render_in, say_refusal, signed_in


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def terms(request: HttpRequest, slug: str) -> HttpResponseBase:
    """The version in force, with a button to accept it."""
    if request.method == "POST":
        return accept(request, slug)
    competition = find_competition(request, slug)
    in_force = Terms.objects.in_force(competition)
    if in_force is None:
        raise Http404
    return show(request, slug, in_force)


@never_cache
def old_terms(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    competition = find_competition(request, slug)
    return show(request, slug, get_object_or_404(competition.terms, version=version))


@signed_in
def accept(request: HttpRequest, slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    version = request.POST.get("version", "")
    try:
        participation.accept_terms(
            request.user, competition, int(version) if version.isascii() and version.isdigit() else 0
        )
    except Refusal as refusal:
        say_refusal(request, refusal)
        return redirect("pages:terms" if competition.terms.exists() else "pages:competition", slug)
    messages.success(request, f"You have accepted version {version}.")
    return redirect("pages:submit", slug)


def show(request: HttpRequest, slug: str, shown: Terms) -> HttpResponse:
    versions = list(shown.competition.terms.defer("body"))
    context = {
        "terms": shown,
        "versions": versions,
        "is_in_force": shown.version == versions[0].version,
        "accepted_at": shown.accepted_at(request.user),
        "organises": shown.competition.is_organised_by(request.user),
    }
    return render_in(request, shown.competition, "competition/terms.html", context)
