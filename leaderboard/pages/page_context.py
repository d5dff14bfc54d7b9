"""What surrounds the content of a competition's pages: its name, its tabs, the viewer's team."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from evaluation.task import TASK
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Competition, Phase, Team
from leaderboard.models.roles import jury_roles


def site(request: HttpRequest) -> dict[str, Any]:
    """Context of every template."""
    return {"site_name": settings.SITE_NAME, "site_url": settings.SITE_URL, "task": TASK}


def signed_in(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """``login_required`` that reloads the page instead of sending the log-in form as a fragment."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.headers.get("HX-Request") == "true" and not request.user.is_authenticated:
            return HttpResponse(status=204, headers={"HX-Refresh": "true"})
        return login_required(view)(request, *args, **kwargs)

    return guarded


def post_only(name: str, *kept: str) -> Callable[..., Any]:
    """``require_POST`` that answers a GET by leading to the page with the form, ``name``: people get there by signing
    in again, by the back button or by reloading. ``kept``: the parts of the address that the page's address has too."""

    def decorate(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method in ("GET", "HEAD"):
                return redirect(name, **{key: kwargs[key] for key in kept})
            return require_POST(view)(request, *args, **kwargs)

        return guarded

    return decorate


def find_competition(request: HttpRequest, slug: str) -> Competition:
    return get_object_or_404(Competition.objects.visible_to(request.user), slug=slug)


def phases_of(competition: Competition) -> list[Phase]:
    """The phases in order, with their current labels but without the masks."""
    phases = list(competition.phases.select_related("labels").defer("labels__masks"))
    for phase in phases:
        phase.competition = competition
    return phases


def example_phase(phases: list[Phase]) -> Phase | None:
    """The phase whose numbers stand in examples: one that is open, else the first; None without labels."""
    now = timezone.now()
    labelled = [phase for phase in phases if phase.labels]
    return min(labelled, key=lambda phase: not phase.is_open(now), default=None)


def my_team(request: HttpRequest, competition: Competition) -> Team | None:
    """The viewer's team in the competition, if any."""
    if not request.user.is_authenticated:
        return None
    return Team.objects.of(request.user).filter(competition=competition).first()


def say_refusal(request: HttpRequest, refusal: Refusal) -> None:
    """Show a refusal on the page to which the viewer is redirected."""
    refusal.count()
    messages.error(request, refusal.message)


SECTIONS = {
    "board": ("boards", "board", "labels", "old-board", "report", "team-page"),
    "submissions": ("submissions", "submission", "withdraw", "select", "compare", "masks"),
    "questions": ("questions", "question"),
    "team": (
        "team",
        "edit-team",
        "invite",
        "join",
        "description",
        "ask-to-join",
        "propose-merger",
        "webhook",
    ),
}  # the pages that belong to a tab besides its own


def tab_of(request: HttpRequest) -> str:
    """The tab to which the page belongs."""
    name = request.resolver_match.url_name or "" if request.resolver_match else ""
    return next((tab for tab, names in SECTIONS.items() if name in names), name)


def optional_tabs(
    request: HttpRequest, competition: Competition, organises: bool | None = None
) -> dict[str, bool]:
    """Whether questions may be asked or were answered; whether there are prizes or awards, or the viewer may give some; and
    whether the viewer votes on the special prize. ``organises``: whether the viewer does, if already known."""
    asked = Competition.objects.filter(pk=competition.pk).order_by()
    answered, prizes, awards, juror = asked.values_list(
        models.Exists(competition.questions.answered()),
        models.Exists(competition.prizes.all()),
        models.Exists(competition.awards.all()),
        models.Exists(jury_roles(competition, request.user)),
    ).get()
    may_give = competition.is_organised_by(request.user) if organises is None else organises
    return {
        "has_questions": competition.takes_questions or answered,
        "has_winners": prizes or awards or may_give,
        "is_juror": juror,
    }


def render_in(
    request: HttpRequest,
    competition: Competition,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    refusal: Refusal | None = None,
) -> HttpResponse:
    """A page of a competition; a refusal is shown above the content and sets the status."""
    context = context or {}
    if refusal:
        refusal.count()
    around = {
        "competition": competition,
        "phases": context["phases"] if "phases" in context else phases_of(competition),
        "texts": list(competition.pages.defer("body")),
        "team": context["team"] if "team" in context else my_team(request, competition),
        **optional_tabs(request, competition, context.get("organises")),
        "refusal": refusal,
        "tab": tab_of(request),
        "now": timezone.now(),
    }
    return render(request, template, {**around, **context}, status=refusal.status if refusal else 200)
