"""The board of a phase: the whole page, or the fragment that it polls."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers

from leaderboard.models import Competition, Evaluation, Phase, PhaseReport, Team
from leaderboard.models.attempts import utc_day
from leaderboard.models.visibility import View, view_of
from leaderboard.reporting.board_details import details_of
from leaderboard.reporting.boards import KEPT_SECONDS, Board, Choice, board_of, phase_to_show, row_of
from leaderboard.reporting.past_boards import days_of, past_board, past_row_of

from .page_context import find_competition, my_team, phases_of, render_in

ROWS = 100
rendering = Lock()  # many pages ask in the same moment for the same new fragment
LONGEST_NAME = 60


def current_board(request: HttpRequest, slug: str) -> HttpResponse:
    """Redirect to the board of the open phase if it has entries, or else of the last phase that had some."""
    phase = phase_to_show(phases_of(find_competition(request, slug)), request.user, timezone.now())
    if phase is None:
        raise Http404
    return redirect("pages:board", slug, phase.slug)


def board(request: HttpRequest, slug: str, phase_slug: str) -> HttpResponse:
    """The page or, for htmx, its rows. What visitors poll is looked up once a second and rendered once per version."""
    polled = request.headers.get("HX-Request") == "true"
    visited = polled and settings.SESSION_COOKIE_NAME not in request.COOKIES
    address = f"board-etag-{hashlib.sha256(request.get_full_path().encode()).hexdigest()}"
    if visited and (known := cache.get(address)) and (kept := _kept(request, known)):
        return _headed(kept, known)
    competition = find_competition(request, slug)
    phases = phases_of(competition)
    phase = next((phase for phase in phases if phase.slug == phase_slug), None)
    if phase is None:
        raise Http404
    team, page, now = my_team(request, competition), page_number(request), timezone.now()
    is_open = phase.is_open(now)
    follows = (
        is_open or Evaluation.objects.awaited(phase).exists()
    )  # submissions received in time are scored after the end
    view = view_of(phase, request.user, now)
    chosen = Chosen.of(request, competition, view, team, now)
    days = None if polled and "on" not in request.GET else days_of(phase, view, now)
    day = days.find(request.GET.get("on", "")) if days else None
    follows = follows and day is None
    etag = _etag(phase, view, team, now, page, chosen.q, chosen.show, chosen.sort, is_open, follows, day)
    if polled and (kept := _kept(request, etag, rendered=False)):
        return _headed(kept, etag)

    def context() -> dict[str, Any]:
        return {
            "competition": competition,
            "phase": phase,
            "phases": phases,
            "team": team,
            **_rows(phase, view, request.user, now, chosen, day, page, team),
            "chosen": chosen,
            "days": days,
            "condition": json.dumps({"If-None-Match": etag}),
            "now": now,
            "is_open": is_open,
            "follows": follows,
        }

    if not polled:
        reports = PhaseReport.objects.for_viewer(phase, view, now)
        report = reports.defer("content").first()
        return _headed(render_in(request, competition, "board/board.html", {**context(), "report": report}))
    if team:
        return _headed(render(request, "board/rows.html", context()), etag)
    with rendering:  # visitors without a team read the same under one ETag
        if not (kept := _kept(request, etag)):
            kept = render(request, "board/rows.html", context())
            # Only pages of the whole board: with parameters of their own, anyone could fill the cache.
            if request.GET.urlencode() in ("", f"page={page}"):
                cache.set(_fragment_key(request, etag), kept.content, KEPT_SECONDS)
    if visited:
        cache.set(address, etag, settings.SHARED_LOOK_SECONDS)
    return _headed(kept, etag)


def _kept(request: HttpRequest, etag: str, *, rendered: bool = True) -> HttpResponse | None:
    """The answer to a poll of the version ``etag`` that costs nothing: that the page has it, or the fragment as it was
    ``rendered`` before; None without either."""
    if request.headers.get("If-None-Match", "").removeprefix("W/") == etag:  # W: it was compressed
        return HttpResponseNotModified()
    fragment = cache.get(_fragment_key(request, etag)) if rendered else None
    return None if fragment is None else HttpResponse(fragment)


def _fragment_key(request: HttpRequest, etag: str) -> str:
    query = hashlib.sha256(request.GET.urlencode().encode()).hexdigest()  # it stands in the fragment's links
    return f"board-{etag[1:-1]}-{query}"


def _headed(response: HttpResponse, etag: str = "") -> HttpResponse:
    if etag:
        response["ETag"] = etag
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    patch_cache_control(response, private=True, no_cache=True)
    return response


def _rows(
    phase: Phase,
    view: View,
    viewer: Any,
    now: datetime,
    chosen: "Chosen",
    day: date | None,
    page: int,
    team: Team | None,
) -> dict[str, Any]:
    """What the table of one page of the board shows, now or at the end of ``day``."""
    first = (page - 1) * ROWS
    if day:
        shown = past_board(phase, view, day, chosen.choice, first, ROWS)
    else:
        shown = board_of(phase, viewer, now, first=first, limit=ROWS, choice=chosen.choice)
    if page > 1 and not shown.rows:
        raise Http404
    own = _own_row(shown, team, chosen)
    rows = [*(shown.rows or []), *shown.references, *([own["mine"]] if own["mine_apart"] else [])]
    return {
        "board": shown,
        **own,
        "details": details_of(shown, rows, now),
        "columns": {"f1": shown.view.board == "shown", **dict.fromkeys(shown.view.metrics, True)},
        "page": page,
        "pages": page_numbers(shown.found, page),
    }


@dataclass(frozen=True)
class Chosen:
    """What the viewer chose to see: part of a name, which entries, in which order; ``shows`` and ``sorts`` are offered."""

    q: str
    show: str
    sort: str
    shows: list[tuple[str, str]]
    sorts: list[tuple[str, str]]
    choice: Choice

    SORTS = {
        "rank": "rank",
        "team": "name",
        "entries": "entries",
        "latest": "last submission",
        "precision": "precision",
        "recall": "recall",
    }

    @classmethod
    def of(
        cls, request: HttpRequest, competition: Competition, view: View, team: Team | None, now: datetime
    ) -> "Chosen":
        """From the query; anything that is not offered is the same as nothing."""
        shows = [("all", "All entries")]
        if competition.descriptions_due_at and competition.descriptions_due_at <= now:
            shows.append(("eligible", "Eligible for awards"))
        if team:
            shows.append(("mine", "My team"))
        shows += [("reference", "Reference entries"), ("published", "Published results")]
        sorts = [(order, cls.SORTS[order]) for order in Choice.orders(view)]
        q = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_NAME]
        show, sort = (
            chosen if (chosen := request.GET.get(name)) in dict(offered) else offered[0][0]
            for name, offered in (("show", shows), ("sort", sorts))
        )
        teams = None
        if show == "mine" and team:
            teams = Team.objects.filter(pk=team.pk)
        elif show == "eligible":
            teams = Team.objects.eligible(competition)
        return cls(q, show, sort, shows, sorts, Choice(q, teams, sort))

    @property
    def ranked(self) -> bool:
        return self.show not in ("reference", "published")

    @property
    def references(self) -> bool:
        return self.show == "reference" or (self.show == "all" and not self.q)

    @property
    def published(self) -> bool:
        return self.show == "published" or (self.show == "all" and not self.q)

    @property
    def is_narrow(self) -> bool:
        return bool(self.q) or self.show != "all"


def _own_row(shown: Board, team: Team | None, chosen: Chosen) -> dict[str, Any]:
    """The row of the viewer's team, and whether it is outside this page of the board."""
    mine = None
    if team:
        mine = past_row_of(shown, team.pk) if shown.day else row_of(shown, team)
    on_page = {row.team_id for row in shown.rows or []}
    return {
        "mine": mine,
        "mine_apart": mine and mine.team_id not in on_page and chosen.ranked and not chosen.is_narrow,
    }


def page_numbers(rows: int, page: int) -> list[int | str]:
    """The numbers of the pages beside this one, of the first and of the last; "…" for those between."""
    return list(Paginator(range(rows), ROWS).get_elided_page_range(page))


def page_number(request: HttpRequest) -> int:
    page = request.GET.get("page", "1")
    if not (page.isascii() and page.isdigit() and len(page) < 10):
        raise Http404
    return max(1, int(page))


def _etag(phase: Phase, view: View, team: Team | None, now: datetime, *state: Any) -> str:
    """Changes with the board, with what this viewer may see and chose of it, and at midnight, when yesterday ends."""
    parts = (
        phase.pk,
        phase.board_version,
        phase.labels_id,
        view.board,
        sorted(view.metrics),
        team and team.pk,
        utc_day(now),
        (phase.name, phase.slug, phase.closes_at, phase.competition.slug),
        state,
    )
    return f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"'
