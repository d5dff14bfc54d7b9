"""What waits for an organiser: one definition for the desk's numbers and for the lists that they lead to."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from leaderboard.models import (
    Award,
    Evaluation,
    LabelReport,
    LabelSet,
    Mail,
    MethodDescription,
    Phase,
    PhaseReport,
    Prize,
    Question,
    Review,
    Team,
)

SOON = timedelta(days=14)  # a phase that opens within this time needs its labels


def _failed(rows: QuerySet[Any]) -> QuerySet[Any]:
    failed = Evaluation.objects.failed_last()
    return rows.filter(state=Evaluation.State.FAILED, pk__in=failed.order_by().values("pk"))


def _without_labels(rows: QuerySet[Any]) -> QuerySet[Any]:
    now = timezone.now()
    not_ended = Q(closes_at=None) | Q(closes_at__gt=now)
    return rows.filter(not_ended, labels=None, opens_at__lt=now + SOON)


def _reports_to_publish(rows: QuerySet[Any]) -> QuerySet[Any]:
    newer = PhaseReport.objects.filter(phase=OuterRef("phase"), pk__gt=OuterRef("pk"))
    public = PhaseReport.objects.filter(phase=OuterRef("phase"), published_at__isnull=False)
    built = rows.filter(built_at__isnull=False, phase__closes_at__lt=timezone.now())
    return built.filter(~Exists(newer), ~Exists(public))


def _prizes_to_give(rows: QuerySet[Any]) -> QuerySet[Any]:
    given = Award.objects.filter(competition=OuterRef("competition"), title=OuterRef("title"))
    return rows.filter(~Exists(given), phase__closes_at__lt=timezone.now())


def _teams_to_approve(rows: QuerySet[Any]) -> QuerySet[Any]:
    needed = Q(created_at__gte=F("competition__approval_needed_from"))
    return rows.filter(needed, approval=Team.Approval.WAITING, is_organisers=False, merged_into=None)


WAITING: dict[type, Callable[[Any], Any]] = {
    Evaluation: _failed,
    LabelReport: lambda rows: rows.filter(decided_at=None),
    LabelSet: lambda rows: rows.filter(version__gt=F("phase__labels__version")),
    Mail: lambda rows: rows.exclude(failed_at=None),
    MethodDescription: lambda rows: rows.filter(verdict=MethodDescription.Verdict.OPEN),
    Phase: _without_labels,
    PhaseReport: _reports_to_publish,
    Prize: _prizes_to_give,
    Question: lambda rows: rows.filter(answered_at=None, hidden_at=None),
    Review: lambda rows: rows.filter(pk__in=Review.objects.to_look_at().values("pk")),
    Team: _teams_to_approve,
}


class WaitingFilter(admin.SimpleListFilter):
    """Only the rows that wait for an organiser, as the desk counts them."""

    title, parameter_name = "waiting for you", "waiting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("yes", "yes"),)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return WAITING[queryset.model](queryset) if self.value() == "yes" else queryset
