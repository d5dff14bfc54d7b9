"""The server's own rows for organisers: workers, and uploads that were refused."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.decorators import display

from leaderboard.models import RefusedUpload, Worker
from leaderboard.models.refused import words_of

from .base import OrganiserAdmin, ScopedRelatedFilter, Who


class WorkerStateFilter(admin.SimpleListFilter):
    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("alive", "at work"), ("silent", "silent"), ("refusing", "refusing to score"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        alive, workers = Worker.objects.alive(now), Worker.objects.all()
        chosen = {
            "alive": alive.scoring(),
            "silent": workers.silent(now),
            "refusing": alive.exclude(pk__in=workers.scoring()),
        }.get(self.value() or "", workers)
        return queryset.filter(pk__in=chosen.values("pk"))


@admin.register(Worker)
class WorkerAdmin(OrganiserAdmin):
    """The processes that score: they serve all competitions, so every organiser may look at them."""

    adds = changes = deletes = Who.NOBODY
    list_display = ("name", "state_label", "seen_at", "confinement")
    list_filter = (WorkerStateFilter,)
    fields = readonly_fields = ("name", "state_label", "seen_at", "confinement")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return Worker.objects.all() if self.has_view_permission(request) else Worker.objects.none()

    @display(
        description="state", label={"at work": "success", "silent": "danger", "refuses to score": "danger"}
    )
    def state_label(self, worker: Worker) -> str:
        return worker.state(timezone.now())


class ReasonFilter(admin.SimpleListFilter):
    """The reasons that there are, in words."""

    title, parameter_name = "reason", "code"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        codes = model_admin.get_queryset(request).order_by("code").values_list("code", flat=True).distinct()
        return [(code, words_of(code)) for code in codes]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(code=self.value()) if self.value() else queryset


class RecentFilter(admin.SimpleListFilter):
    title, parameter_name = "when", "recent"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("yes", "in the last seven days"),)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        recent = RefusedUpload.objects.recent(timezone.now())
        return queryset.filter(pk__in=recent.values("pk")) if self.value() else queryset


@admin.register(RefusedUpload)
class RefusedUploadAdmin(OrganiserAdmin):
    """What keeps teams from submitting, of the last thirty days."""

    adds = changes = deletes = Who.NOBODY
    list_display = ("reason", "user", "team", "phase", "day", "number", "last_at")
    list_filter = (
        ReasonFilter,
        RecentFilter,
        ("phase__competition", ScopedRelatedFilter),
        ("phase", ScopedRelatedFilter),
    )
    list_select_related = ("user", "team", "phase__competition")
    search_fields = ("user__username", "team__name")
    search_help_text = "Person or team"
    fields = readonly_fields = ("reason", "user", "team", "phase", "day", "number", "last_at", "sentence")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    @display(description="reason", ordering="code")
    def reason(self, row: RefusedUpload) -> str:
        return words_of(row.code)
