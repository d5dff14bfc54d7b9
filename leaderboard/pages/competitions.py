"""The list of competitions, a competition's home page and its other pages."""

from datetime import datetime
from typing import Any, NamedTuple

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_safe

from leaderboard.models import Attempt, Competition, DataFile, Extension, Phase, Team
from leaderboard.reporting.boards import Board, board_of, phase_to_show, row_of
from leaderboard.reporting.calendar_file import calendar_of

from .page_context import example_phase, find_competition, my_team, phases_of, render_in

TOP = 5
TRACK = 100.0  # length of a phase's track on the timeline


def home(request: HttpRequest) -> HttpResponse:
    """The page of the only published competition, or a list if there are several."""
    published = list(Competition.objects.published().with_phases())
    if len(published) == 1:
        return competition_home(request, published[0])
    now = timezone.now()
    mine = Team.objects.of(request.user) if request.user.is_authenticated else Team.objects.none()
    joined = set(mine.values_list("competition", flat=True))
    cards = [card_of(competition, request.user, now) for competition in published]
    for card in cards:
        card["takes_part"] = card["competition"].pk in joined
    cards.sort(key=lambda card: (not card["accepts"], card["deadline"] is None))
    return render(request, "home.html", {"cards": cards, "now": now})


def card_of(competition: Competition, viewer: Any, now: datetime) -> dict[str, Any]:
    """A competition in the list: its leader, whether it takes submissions now, and the next date."""
    phases = list(competition.phases.all())
    shown = phase_to_show(phases, viewer, now)
    return {
        "competition": competition,
        "accepts": any(phase.accepts_submissions(now) for phase in phases),
        "has_opened": any(phase.has_opened(now) for phase in phases),
        "top": board_of(shown, viewer, now, limit=1) if shown else None,
        "deadline": next_deadline(competition, phases, now),
    }


def competition(request: HttpRequest, slug: str) -> HttpResponse:
    return competition_home(request, find_competition(request, slug))


def competition_home(request: HttpRequest, competition: Competition) -> HttpResponse:
    now = timezone.now()
    phases = phases_of(competition)
    team = my_team(request, competition)
    organises = competition.is_organised_by(request.user)
    shown = phase_to_show(phases, request.user, now, organises)
    top = board_of(shown, request.user, now, limit=TOP, organises=organises) if shown else None
    context = {
        "is_home": True,
        "phases": phases,
        "team": team,
        "timeline": [Stop.of(phase, now) for phase in phases],
        "deadline": next_deadline(competition, phases, now),
        "now": now,
        "top": top,
        "place": place_of(team, phases, top, request.user, now) if team else None,
        "overview": competition.pages.first(),
        "organises": organises,
        "announcement": competition.announcements.public(now).first(),
    }
    return render_in(request, competition, "competition/home.html", context)


@require_safe
def calendar(request: HttpRequest, slug: str) -> HttpResponse:
    """The competition's dates as an iCalendar file."""
    competition = find_competition(request, slug)
    return HttpResponse(
        calendar_of(competition, timezone.now()),
        content_type="text/calendar; charset=utf-8",
        headers={"Content-Disposition": f'inline; filename="{competition.slug}.ics"'},
    )


def place_of(
    team: Team, phases: list[Phase], top: Board | None, viewer: Any, now: datetime
) -> dict[str, Any] | None:
    """The team's score, rank and remaining submissions in the phase that is open, or else in the phase shown."""
    phases = Extension.objects.applied(team, phases)
    phase = next((phase for phase in phases if phase.is_open(now)), top.phase if top else None)
    if phase is None:
        return None
    board = top if top and top.phase == phase else board_of(phase, viewer, now, limit=0)
    return {
        "phase": phase,
        "board": board,
        "row": row_of(board, team),
        "left": Attempt.objects.usage(team, phase, now).remaining if phase.is_open(now) else None,
    }


class Stop(NamedTuple):
    """A phase on the timeline: how far along its track, 0 to 100, the present is; None if it is elsewhere."""

    phase: Phase
    state: str
    done: float
    now_at: float | None

    @classmethod
    def of(cls, phase: Phase, now: datetime) -> "Stop":
        if not phase.has_opened(now):
            return cls(phase, "upcoming", 0.0, None)
        if phase.closes_at is None:
            return cls(phase, "open", TRACK / 3, TRACK / 3)
        if phase.has_closed(now):
            return cls(phase, "ended", TRACK, None)
        done = TRACK * ((now - phase.opens_at) / (phase.closes_at - phase.opens_at))
        return cls(phase, "open", done, done)


def text(request: HttpRequest, slug: str, page_slug: str) -> HttpResponse:
    competition = find_competition(request, slug)
    page = get_object_or_404(competition.pages, slug=page_slug)
    context: dict[str, Any] = {"page": page, "example": example_phase(phases_of(competition))}
    if page.slug == "data":
        files = list(DataFile.objects.for_viewer(request.user, competition, timezone.now()))
        context |= {"data_files": files, "has_checksums": any(file.sha256 for file in files)}
    return render_in(request, competition, "competition/text.html", context)


def next_deadline(
    competition: Competition, phases: list[Phase], now: datetime
) -> tuple[str, datetime] | None:
    """The next date on which something opens, closes or locks, and what it is."""
    dates = [(f"{phase.name} opens", phase.opens_at) for phase in phases]
    dates += [(f"{phase.name} closes", phase.closes_at) for phase in phases if phase.closes_at]
    if competition.roster_locks_at:
        dates.append(("Teams are locked", competition.roster_locks_at))
    return min((date for date in dates if date[1] > now), key=lambda date: date[1], default=None)
