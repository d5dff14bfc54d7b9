"""The list of competitions, a competition's home page and its other pages."""

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone

from leaderboard.models import Competition, Phase
from leaderboard.reporting.boards import Board, board_of

from .page_context import find_competition, phases_of, render_in

TOP = 5


def home(request: HttpRequest) -> HttpResponse:
    """The page of the only published competition, or a list if there are several."""
    published = list(Competition.objects.published().with_phases())
    if len(published) == 1:
        return competition_home(request, published[0])
    now = timezone.now()
    cards = [card_of(competition, now) for competition in published]
    cards.sort(key=lambda card: (not card["is_open"], card["deadline"] is None))
    return render(request, "home.html", {"cards": cards, "now": now})


def card_of(competition: Competition, now: datetime) -> dict[str, Any]:
    """A competition in the list: its phases, whether one is open now, and the next date."""
    phases = list(competition.phases.all())
    return {
        "competition": competition,
        "phases": phases,
        "is_open": any(phase.accepts_submissions(now) for phase in phases),
        "deadline": next_deadline(competition, phases, now),
    }


def competition(request: HttpRequest, slug: str) -> HttpResponse:
    return competition_home(request, find_competition(request, slug))


def competition_home(request: HttpRequest, competition: Competition) -> HttpResponse:
    now = timezone.now()
    phases = phases_of(competition)
    context = {
        "is_home": True,
        "phases": phases,
        "deadline": next_deadline(competition, phases, now),
        "now": now,
        "top": _top(request, phases, now),
        "overview": competition.pages.first(),
        "organises": competition.is_organised_by(request.user),
    }
    return render_in(request, competition, "competition/home.html", context)


def _top(request: HttpRequest, phases: list[Phase], now: datetime) -> Board | None:
    """The top rows of the board of the current or latest phase."""
    opened = [phase for phase in phases if phase.has_opened(now)]
    running = [phase for phase in opened if phase.is_open(now)]
    chosen = running[:1] or opened[-1:]
    return board_of(chosen[0], request.user, now, limit=TOP) if chosen else None


def text(request: HttpRequest, slug: str, page_slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    page = get_object_or_404(competition.pages, slug=page_slug)
    return render_in(request, competition, "competition/text.html", {"page": page})


def next_deadline(
    competition: Competition, phases: list[Phase], now: datetime
) -> tuple[str, datetime] | None:
    """The next date on which something opens, closes or locks, and what it is."""
    dates = [(f"{phase.name} opens", phase.opens_at) for phase in phases]
    dates += [(f"{phase.name} closes", phase.closes_at) for phase in phases if phase.closes_at]
    if competition.roster_locks_at:
        dates.append(("Teams are locked", competition.roster_locks_at))
    return min((date for date in dates if date[1] > now), key=lambda date: date[1], default=None)
