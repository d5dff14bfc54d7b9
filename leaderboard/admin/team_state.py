"""How a team stands in each phase, for its page in the admin: rank, quota used, its submissions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, OuterRef, Subquery
from django.db.models.functions import Coalesce

from leaderboard.models import Attempt, Extension, Phase, QuotaUsage, Standing, Submission, Team

from .scope import without_masks


@dataclass(frozen=True)
class State:
    """A team in a phase. ``rank`` is None without a result; ``submissions`` counts all that it made there."""

    phase: Phase
    usage: QuotaUsage
    rank: int | None
    standing: Standing | None
    submissions: int


def states_of(team: Team, now: datetime) -> list[State]:
    """A team's phases in order; the number of queries does not grow with them."""
    made = Submission.objects.filter(phase=OuterRef("pk"), team=team).order_by().values("phase")
    phases: Any = without_masks(Phase.objects.select_related("labels"), "labels__").filter(
        competition=team.competition_id
    )
    phases = phases.annotate(
        made=Coalesce(Subquery(made.annotate(number=Count("pk")).values("number")), 0)
    ).order_by("position", "opens_at")
    phases = Extension.objects.applied(team, phases)
    usages = Attempt.objects.usages(team, phases, now)
    standings = {standing.phase_id: standing for standing in _standings(team)}
    return [
        State(
            phase,
            usages[phase.pk],
            getattr(standings.get(phase.pk), "rank", None),
            standings.get(phase.pk),
            phase.made,
        )
        for phase in phases
    ]


def _standings(team: Team) -> Any:
    exact = Standing.objects.filter(kind=Standing.Kind.EXACT)
    better = exact.filter(label_set=OuterRef("label_set"), rank_key__gt=OuterRef("rank_key")).order_by()
    ahead = better.values("label_set").annotate(number=Count("pk")).values("number")
    mine = exact.filter(team=team, label_set=F("phase__labels"))
    return mine.annotate(rank=Coalesce(Subquery(ahead), 0) + 1).select_related("submission__evaluation")
