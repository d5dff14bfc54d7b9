"""Keeps the figures of the statistics page and of the organisers' overview: a worker adds what is new since the last time.

Counted from the start are a phase without figures, one whose rules have changed, one after a re-score or a
disqualification, and each once a day. Reading is done outside of any transaction, so that nobody waits for it.
"""

import time
from bisect import bisect_right
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import shared_task
from django.db import models
from django.db.models.functions import TruncDate
from django.utils import timezone

from leaderboard.models import (
    Competition,
    CompetitionFigures,
    Evaluation,
    Membership,
    Phase,
    PhaseFigures,
    Standing,
    Submission,
    Team,
)
from leaderboard.models.attempts import utc_day

from .earlier_ranks import keep_ranks

OVERLAP = timedelta(minutes=1)  # an end is written down before it is committed
AT_ONCE = 2_000  # new submissions or scores that are added one by one
RECOUNTED = timedelta(days=1)

Steps = list[list[Any]]


@shared_task(name="leaderboard.reporting.counting.work")
def work() -> None:
    """Bring all figures up to date."""
    keep_up(timezone.now())


def keep_up(now: datetime) -> None:
    for competition in Competition.objects.all():
        _count_people(competition, now)
    known = {figures.phase_id: figures for figures in PhaseFigures.objects.all()}
    for phase in Phase.objects.with_labels():
        _count_phase(phase, known.get(phase.pk), now)


def rules_of(phase: Phase) -> str:
    """Everything of a phase that decides which scores its history may show."""
    ladder = (phase.ladder_step, phase.ladder_start)
    return repr(
        [*map(str, (phase.labels_id, phase.counts, phase.hidden_until_close, phase.freezes_at, *ladder))]
    )


def _count_people(competition: Competition, now: datetime) -> None:
    figures = CompetitionFigures.objects.filter(competition=competition).first()
    if figures is not None and not figures.may_be_counted(now):
        return
    began = time.monotonic()
    teams = Team.objects.competing().filter(competition=competition)
    people = Membership.objects.filter(team__in=teams).order_by().values_list("user__country")
    CompetitionFigures.objects.update_or_create(
        competition=competition,
        defaults={
            "teams": teams.count(),
            "by_country": dict(people.annotate(people=models.Count("user", distinct=True))),
            "counted_at": now,
            "counting_seconds": time.monotonic() - began,
        },
    )


def _count_phase(phase: Phase, figures: PhaseFigures | None, now: datetime) -> None:
    if figures is None:
        figures = PhaseFigures(phase=phase)
        _count_from_the_start(phase, figures, now)
        PhaseFigures.objects.bulk_create([figures], ignore_conflicts=True)
        return
    before = _columns(figures)
    holds = figures.rules == rules_of(phase) and now - figures.begun_at < RECOUNTED
    if not (holds and _add_news(phase, figures)):
        if not figures.may_be_counted(now):
            return
        _count_from_the_start(phase, figures, now)
    elif (figures.states_are_old or figures.ranks_of != utc_day(now).date()) and figures.may_be_counted(now):
        began = time.monotonic()
        _count_states(phase, figures)
        _keep_ranks(phase, figures, now)
        figures.counted_at, figures.counting_seconds = now, time.monotonic() - began
    after = _columns(figures)
    if after != before:
        unchanged = PhaseFigures.objects.filter(phase=phase, revision=figures.revision)
        unchanged.update(**{**after, "revision": figures.revision + 1})


def _columns(figures: PhaseFigures) -> dict[str, Any]:
    names = [field.name for field in figures._meta.concrete_fields if field.name != "phase"]
    return {name: getattr(figures, name) for name in names}


def _count_from_the_start(phase: Phase, figures: PhaseFigures, now: datetime) -> None:
    began = time.monotonic()
    figures.rules, figures.board_version, figures.begun_at = rules_of(phase), phase.board_version, now
    figures.newest = _newest_submission(phase)
    figures.scored_until = _newest_end()
    made = Submission.objects.filter(phase=phase, reference=False).order_by()
    by_day = made.annotate(day=TruncDate("received_at", tzinfo=UTC)).values_list("day")
    figures.days = {day.isoformat(): number for day, number in by_day.annotate(number=models.Count("pk"))}
    figures.teams = made.aggregate(number=models.Count("team", distinct=True))["number"]
    figures.steps = {Standing.Kind.EXACT.value: _steps(Submission.objects.seen_over_time(phase))}
    if phase.shows_a_board_of_its_own:
        figures.steps[Standing.Kind.SHOWN.value] = _shown_steps(phase)
    _count_states(phase, figures)
    _count_board(phase, figures)
    _keep_ranks(phase, figures, now)
    figures.counted_at, figures.counting_seconds = now, time.monotonic() - began


def _count_board(phase: Phase, figures: PhaseFigures) -> None:
    if figures.on_board.get("version") != phase.board_version:
        rows = Standing.objects.filter(label_set=phase.labels_id).order_by().values_list("kind")
        kinds = dict(rows.annotate(number=models.Count("pk")))
        figures.on_board = {**kinds, "version": phase.board_version}


def _keep_ranks(phase: Phase, figures: PhaseFigures, now: datetime) -> None:
    """The ranks of last midnight, where they may be shown at all (``reporting.board_details.shows_movement``)."""
    kinds = [Standing.Kind.EXACT, *([Standing.Kind.SHOWN] if phase.freezes_at else [])]
    midnight = utc_day(now)
    moves = (
        phase.labels is not None and phase.is_open(now) and phase.opens_at < midnight and phase.ladder is None
    )
    figures.ranked = min((keep_ranks(phase, kind, midnight) for kind in kinds), default=0) if moves else 0
    figures.ranks_of = midnight.date()


def _count_states(phase: Phase, figures: PhaseFigures) -> None:
    rows = Submission.objects.filter(phase=phase).order_by().values_list("evaluation__state")
    figures.states = {state: number for state, number in rows.annotate(number=models.Count("pk")) if state}
    figures.states_are_old = False


def _newest_submission(phase: Phase) -> int:
    return Submission.objects.filter(phase=phase).aggregate(newest=models.Max("pk"))["newest"] or 0


def _newest_end() -> datetime | None:
    ended = Evaluation.objects.filter(finished_at__isnull=False).order_by("-finished_at")
    return ended.values_list("finished_at", flat=True).first()


def _steps(made: Any) -> Steps:
    """The submissions that were better than all received before them; the database finds them."""
    order = ("received_at", "pk")
    best_before = models.Window(
        models.Max("evaluation__rank_key"), order_by=order, frame=models.RowRange(start=None, end=-1)
    )
    better = models.Q(before=None) | models.Q(evaluation__rank_key__gt=models.F("before"))
    rows = made.annotate(before=best_before).filter(better).order_by(*order)
    return [[at.isoformat(), key] for at, key in rows.values_list("received_at", "evaluation__rank_key")]


def _shown_steps(phase: Phase) -> Steps:
    if phase.ladder is None:
        return _steps(Submission.objects.seen_over_time(phase).received_before(phase.freezes_at))
    steps: Steps = []
    shown = Standing.objects.board(phase, Standing.Kind.SHOWN).order_by("achieved_at")
    for at, key in shown.values_list("achieved_at", "rank_key"):
        steps = with_step(steps, at, key)
    return steps


def with_step(steps: Steps, at: datetime, key: int) -> Steps:
    """The steps with one more score, received at any time: unchanged unless it was the best at its time."""
    moments = [datetime.fromisoformat(moment) for moment, _ in steps]
    place = bisect_right(moments, at)
    if place and steps[place - 1][1] >= key:
        return steps
    return [*steps[:place], [at.isoformat(), key], *(step for step in steps[place:] if step[1] > key)]


def _add_news(phase: Phase, figures: PhaseFigures) -> bool:
    """Add what arrived or was scored since; False where it has to be counted from the start."""
    is_plain = not (
        phase.hidden_until_close or phase.counts == Phase.Counts.SELECTED or phase.shows_a_board_of_its_own
    )
    if not is_plain and figures.board_version != phase.board_version:
        return False
    figures.board_version = phase.board_version
    _count_board(phase, figures)
    return _add_submissions(phase, figures) and _add_ends(phase, figures)


def _add_submissions(phase: Phase, figures: PhaseFigures) -> bool:
    fresh = Submission.objects.filter(phase=phase, pk__gt=figures.newest).order_by("pk")
    rows = list(fresh.values_list("pk", "received_at", "team", "reference")[: AT_ONCE + 1])
    if len(rows) > AT_ONCE:
        return False
    if not rows:
        return True
    theirs = [(at, team) for _, at, team, reference in rows if not reference]
    days = Counter(figures.days)
    days.update(at.astimezone(UTC).date().isoformat() for at, _ in theirs)
    teams = {team for _, team in theirs}
    before = Submission.objects.filter(phase=phase, team__in=teams, reference=False, pk__lte=figures.newest)
    figures.teams += len(teams) - before.order_by().values("team").distinct().count()
    figures.days, figures.newest, figures.states_are_old = dict(days), rows[-1][0], True
    return True


def _add_ends(phase: Phase, figures: PhaseFigures) -> bool:
    """Add new scores."""
    newest = _newest_end()
    if newest == figures.scored_until:
        return True
    ended = Evaluation.objects.filter(finished_at__isnull=False)  # by that index, not by the label set's
    if figures.scored_until is not None:
        ended = ended.filter(finished_at__gt=figures.scored_until - OVERLAP)
    recent = ended.order_by("-finished_at").values_list("submission", "priority", "label_set")
    found = list(recent[: AT_ONCE + 1])
    if len(found) > AT_ONCE:
        return False
    rows = [(submission, priority) for submission, priority, labels in found if labels == phase.labels_id]
    if any(priority == Evaluation.Priority.RESCORE for _, priority in rows):
        return False
    made = Submission.objects.seen_over_time(phase).filter(pk__in=[submission for submission, _ in rows])
    steps = figures.steps.get(Standing.Kind.EXACT, [])
    for at, key in made.order_by("received_at", "pk").values_list("received_at", "evaluation__rank_key"):
        steps = with_step(steps, at, key or 0)
    figures.steps = {**figures.steps, Standing.Kind.EXACT.value: steps}
    figures.scored_until, figures.states_are_old = newest, True
    return True
