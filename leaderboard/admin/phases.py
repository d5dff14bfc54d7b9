"""Phases: windows, quotas, visibility."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Case, QuerySet, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from leaderboard.actions import board_updates, phase_changes, reviews
from leaderboard.models import Phase, Submission

from .base import ScopedRelatedFilter, number_of
from .guarded import GuardedAdmin, PhaseForm
from .labels import load, load_images
from .rankings import rankings
from .scope import without_masks
from .waiting import WaitingFilter

STATES = {"open": "success", "not open yet": "info", "ended": "default"}


@admin.register(Phase)
class PhaseAdmin(GuardedAdmin):
    list_display = (
        "name", "ranking", "state", "opens_at", "closes_at", "labels_in_force", "quota", "submission_count",
        "competition",
    )  # fmt: skip
    list_filter = (("competition", ScopedRelatedFilter), WaitingFilter, "visible_metrics")
    list_select_related = ("competition", "labels")
    search_fields = ("name", "slug", "competition__name")
    form = PhaseForm
    readonly_fields = ("labels_in_force",)
    compressed_fields = False
    actions = ("look_now",)
    actions_detail = ("ranking_of", "build_report", "load_labels", "load_images")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "competition",
                    ("name", "slug"),
                    "summary",
                    "position",
                    ("opens_at", "closes_at", "grace_minutes"),
                )
            },
        ),
        ("Labels", {"fields": ("labels_in_force", ("labels_public_since", "gallery"), "feedback")}),
        (
            "Quotas",
            {"fields": (("quota_total", "quota_per_day", "quota_on_board"), "allows_withdrawal")},
        ),
        (
            "What is shown, and which submission counts",
            {
                "fields": (
                    ("visible_metrics", "counts", "selected_limit"),
                    ("hidden_until_close", "freezes_at"),
                    ("ladder_step", "ladder_start"),
                )
            },
        ),
        ("Why", {"fields": ("reason", "withhold", "confirmed")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = without_masks(super().get_queryset(request).select_related("labels", "figures"), "labels__")
        uncounted = When(figures=None, then=number_of(Submission.objects.all(), "phase"))
        return rows.annotate(counted_now=Case(uncounted, default=None))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "competition") if obj else self.readonly_fields

    def get_custom_urls(self) -> Any:
        return (
            ("rankings/", "leaderboard_phase_rankings", rankings),
            ("<int:pk>/rankings/", "leaderboard_phase_ranking", rankings),
        )

    def save_model(self, request: HttpRequest, obj: Phase, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "slug" in form.changed_data:
            phase_changes.keep_former_slugs(obj.competition, obj, form.initial["slug"])
        board_updates.phase_changed(obj, form.changed_data)

    @display(description="state", label=STATES)
    def state(self, phase: Phase) -> str:
        now = timezone.now()
        if phase.is_open(now):
            return "open"
        return "ended" if phase.has_closed(now) else "not open yet"

    @display(description="labels in force", empty_value="none yet")
    def labels_in_force(self, phase: Phase) -> str | None:
        labels = phase.labels
        return f"v{labels.version}, {labels.patches} patches, {labels.sha256[:12]}…" if labels else None

    @display(description="quota of a team", empty_value="none")
    def quota(self, phase: Phase) -> str | None:
        limits = (
            (phase.quota_total, "in all"),
            (phase.quota_per_day, "a day"),
            (phase.quota_on_board, "on the board"),
        )
        return ", ".join(f"{limit} {where}" for limit, where in limits if limit is not None) or None

    @display(description="submissions")
    def submission_count(self, phase: Any) -> int:
        """As the figures have it, a minute old at most: counting a million takes longer than the rest of the page."""
        return phase.figures.submissions if phase.counted_now is None else phase.counted_now

    @display(description="ranking")
    def ranking(self, phase: Phase) -> str:
        address = reverse("admin:leaderboard_phase_ranking", args=[phase.pk])
        return format_html('<a class="underline" href="{}">Ranking</a>', address)

    @action(description="Have the detectors look now")
    def look_now(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        reviews.look_now(request.user, queryset)
        messages.success(request, "The detectors look as soon as a worker is free; see “To review”.")

    @action(description="Ranking", icon="leaderboard")
    def ranking_of(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:leaderboard_phase_ranking", args=[object_id]))

    @action(description="Build the report", icon="analytics")
    def build_report(self, request: HttpRequest, object_id: int) -> HttpResponse:
        address = reverse("admin:leaderboard_phasereport_add")
        return HttpResponseRedirect(f"{address}?phase={object_id}")

    @action(description="Load labels", icon="upload")
    def load_labels(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A page that takes a ZIP of masks as the phase's next label set."""
        phase = get_object_or_404(self.get_queryset(request), pk=object_id)
        return load(self, request, phase)

    @action(description="Load images", icon="image")
    def load_images(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """A page that takes a ZIP of the phase's images."""
        phase = get_object_or_404(self.get_queryset(request), pk=object_id)
        return load_images(self, request, phase)
