"""The organisers' desk, the admin's first page: what to do today, how each phase stands, how the server is.

Each number is a link to the list of exactly the rows that were counted: number and list ask the same question.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db import models
from django.db.models import Case, Count, Exists, Min, OuterRef, Sum, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import (
    Competition,
    Evaluation,
    LabelReport,
    LabelSet,
    Mail,
    MethodDescription,
    Phase,
    PhaseReport,
    Prize,
    Question,
    RefusedUpload,
    Review,
    Standing,
    Team,
    Worker,
)
from leaderboard.models.ownership import COMPETITION_OF
from leaderboard.models.refused import words_of
from leaderboard.platform.capacity import capacity

from .base import number_of
from .scope import within, without_masks
from .waiting import WAITING

TODO: dict[type[models.Model], tuple[str, str]] = {
    Phase: ("phase needs labels", "phases need labels"),
    Mail: ("mail could not be delivered", "mails could not be delivered"),
    Question: ("question to answer", "questions to answer"),
    Team: ("team to approve", "teams to approve"),
    LabelReport: ("label report to decide", "label reports to decide"),
    LabelSet: ("label version to compare and put in force", "label versions to compare and put in force"),
    MethodDescription: ("method description to judge", "method descriptions to judge"),
    Review: ("finding of the detectors to look at", "findings of the detectors to look at"),
    PhaseReport: ("report to publish", "reports to publish"),
    Prize: ("award by rank to give", "awards by rank to give"),
}
"""What may wait for an organiser, the most urgent first, for one and for more of them."""

REASONS = 8
MOST_FAILURES = 1_000  # counted, so that the day on which everything failed has a desk too


@dataclass(frozen=True)
class Item:
    """A number, the words behind it, and the list of exactly these rows."""

    number: int
    words: str
    link: str
    note: str = ""
    is_urgent: bool = False


@dataclass(frozen=True)
class Date:
    """A date of the competition, and the page on which it can be changed."""

    at: datetime
    words: str
    link: str


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Adds ``competitions`` and, of the chosen one (``?competition=``), ``dates``, ``todo``, ``phases``, ``refused`` and
    ``server``."""
    now = timezone.now()
    competitions = organised(request.user, now)
    asked = request.GET.get("competition", "")
    chosen = next((each for each in competitions if str(each.pk) == asked), next(iter(competitions), None))
    context |= {"competitions": competitions, "chosen": chosen, "now": now, "title": "Today"}
    if chosen is not None:
        phases = phases_of(chosen, now)
        context |= {
            "dates": dates(chosen, phases, now),
            "todo": [*failures(chosen), *waiting(chosen)],
            "phases": [phase_card(phase, now) for phase in phases],
            "refused": refused(chosen, now),
            "server": server(request.user, now),
        }
    return context


def organised(user: Any, now: datetime) -> list[Any]:
    """The user's competitions, those with an open phase first, each with how much waits of what (``todo_0``, …)."""
    is_open = Phase.objects.filter(competition=OuterRef("pk")).open_at(now)
    numbers = {
        f"todo_{place}": number_of(WAITING[model](model._default_manager.all()), COMPETITION_OF[model])
        for place, model in enumerate(TODO)
    }
    mine = Competition.objects.organised_by(user).annotate(is_on=Exists(is_open), **numbers)
    return list(mine.order_by("-is_on", "-created_at"))


def waiting(competition: Any) -> Iterator[Item]:
    for place, (model, words) in enumerate(TODO.items()):
        if number := getattr(competition, f"todo_{place}"):
            link = listed(model, waiting="yes", **of_competition(model, competition))
            yield Item(number, words[number > 1], link, is_urgent=model in (Phase, Mail))


def failures(competition: Competition) -> Iterator[Item]:
    """Evaluations that failed by a fault of the server and were not scored since: one item for each phase."""
    # The sum keeps SQLite from looking for failures among all submissions of the phases.
    failed = Evaluation.objects.failed_last().alias(phase=models.F("submission__phase_id") + 0)
    failed = failed.filter(phase__in=competition.phases.values("pk"))
    some = Evaluation.objects.filter(pk__in=failed.order_by().values("pk")[:MOST_FAILURES])
    groups = some.order_by().values_list("submission__phase", "submission__phase__name")
    for phase, name, number, incident in groups.annotate(number=Count("pk"), incident=Min("incident")):
        words = f"evaluation{'s' if number > 1 else ''} of {name} failed by a fault of the server"
        if number == MOST_FAILURES:
            words = f"or more {words}"
        link = listed(Evaluation, waiting="yes", submission__phase__id__exact=phase)
        note = f"Search the workers' log for incident {incident}, then re-score."
        yield Item(number, words, link, note, is_urgent=True)


def of_competition(model: type[models.Model], competition: Competition) -> dict[str, Any]:
    """The filter of a model's list for the rows of a competition."""
    return {f"{COMPETITION_OF[model]}__id__exact": competition.pk}


def listed(model: type[models.Model], **filters: Any) -> str:
    """The address of a model's list, filtered."""
    address = reverse(f"admin:leaderboard_{model._meta.model_name}_changelist")
    return f"{address}?{urlencode(filters)}"


def dates(competition: Competition, phases: list[Any], now: datetime) -> list[Date]:
    """What is still to come, the nearest first."""
    page = reverse("admin:leaderboard_competition_change", args=[competition.pk])
    found = [
        (competition.roster_locks_at, "Teams are locked", page),
        (competition.roster_reopens_at, "New teams can form again", page),
        (competition.mergers_until, "Teams can no longer merge", page),
        (competition.descriptions_due_at, "Method descriptions are due", page),
    ]
    for phase in phases:
        page = reverse("admin:leaderboard_phase_change", args=[phase.pk])
        found += [
            (phase.opens_at, f"{phase.name} opens", page),
            (phase.freezes_at, f"The board of {phase.name} freezes", page),
            (phase.closes_at, f"{phase.name} ends", page),
        ]
    ahead = [Date(at, words, link) for at, words, link in found if at is not None and at > now]
    return sorted(ahead, key=lambda date: date.at)


def phases_of(competition: Competition, now: datetime) -> list[Any]:
    """The phases, open ones first, with their figures and the numbers that are counted here."""
    ranked = Standing.objects.filter(kind=Standing.Kind.EXACT, label_set=OuterRef("labels"))
    rows = without_masks(Phase.objects.select_related("labels", "figures"), "labels__")
    rows = rows.filter(competition=competition).annotate(
        ranked=Case(When(figures=None, then=_number(ranked.order_by().values("label_set"))))
    )
    found = list(rows.order_by("position", "opens_at"))
    unfinished = unfinished_by_phase()
    for phase in found:
        phase.competition = competition
        phase.unfinished = unfinished.get(phase.pk, {})
    return sorted(found, key=lambda phase: (not phase.is_open(now), phase.has_closed(now)))


def unfinished_by_phase() -> dict[int, dict[str, tuple[int, datetime]]]:
    """Of every phase and state: how many evaluations, and since when the first has waited.

    For all phases at once: for one of them, a database may look through all of its submissions.
    """
    rows = Evaluation.objects.unfinished().order_by().values_list("submission__phase", "state")
    found: dict[int, dict[str, tuple[int, datetime]]] = {}
    for phase, state, number, oldest in rows.annotate(number=Count("pk"), oldest=Min("queued_at")):
        found.setdefault(phase, {})[state] = (number, oldest)
    return found


def _number(groups: Any) -> Any:
    counted = groups.annotate(number=Count("pk")).values("number")
    return models.functions.Coalesce(models.Subquery(counted), 0)


def phase_card(phase: Any, now: datetime) -> dict[str, Any]:
    """One phase: its state and its numbers, each with the list of these submissions or evaluations."""
    history = getattr(phase, "figures", None)
    states = history.states if history else {}
    ranking = reverse("admin:leaderboard_phase_ranking", args=[phase.pk])
    ranked = history.on_board.get(Standing.Kind.EXACT, 0) if history else phase.ranked
    items = [Item(ranked, f"team{'' if ranked == 1 else 's'} ranked", ranking)]
    for state in ("scored", "invalid", "failed"):
        items.append(Item(states.get(state, 0), state, submissions(phase, state)))
    for state in Evaluation.UNFINISHED:
        number = phase.unfinished.get(state, (0,))[0]
        link = listed(Evaluation, submission__phase__id__exact=phase.pk, state__exact=state)
        items.append(Item(number, state.label, link))
    return {
        "phase": phase,
        "is_open": phase.is_open(now),
        "has_closed": phase.has_closed(now),
        "items": items,
        "oldest": min((oldest for _, oldest in phase.unfinished.values()), default=None),
    }


def submissions(phase: Phase, state: str) -> str:
    address = reverse("admin:leaderboard_submission_changelist")
    return f"{address}?{urlencode({'phase__id__exact': phase.pk, 'state': state})}"


def refused(competition: Competition, now: datetime) -> list[Item]:
    """Uploads refused in the last seven days by reason, the most frequent first."""
    rows = RefusedUpload.objects.filter(phase__competition=competition).recent(now)
    reasons = rows.order_by().values_list("code").annotate(number=Sum("number")).order_by("-number", "code")
    scope = of_competition(RefusedUpload, competition)
    return [
        Item(number, words_of(code), listed(RefusedUpload, code=code, recent="yes", **scope))
        for code, number in reasons[:REASONS]
    ]


def server(user: Any, now: datetime) -> dict[str, Any]:
    """Workers, the queue of the user's competitions, disk and database."""
    workers = Worker.objects.all()
    numbers = workers.aggregate(
        alive=Count("pk", filter=models.Q(pk__in=workers.alive(now).scoring())),
        silent=Count("pk", filter=models.Q(pk__in=workers.silent(now))),
        refusing=Count("pk", filter=models.Q(pk__in=workers.alive(now).exclude(pk__in=workers.scoring()))),
    )
    words = {"alive": "at work", "silent": "silent", "refusing": "refusing to score"}
    items = [
        Item(numbers[name], words[name], listed(Worker, state=name), is_urgent=name != "alive")
        for name in words
        if numbers[name] or name == "alive"
    ]
    waiting = within(Evaluation.objects.queued(), user).aggregate(number=Count("pk"), oldest=Min("queued_at"))
    queue = Item(waiting["number"], "waiting", listed(Evaluation, state__exact="queued"))
    return {"workers": items, "queue": queue, "oldest": waiting["oldest"], "capacity": capacity()}
