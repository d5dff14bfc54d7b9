"""Reports of wrong labels, and what a corrected label set would change."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action, display

from leaderboard.actions import corrections
from leaderboard.models import LabelReport

from .base import OrganiserAdmin, ScopedRelatedFilter, Who
from .reasons import ask_about
from .waiting import WaitingFilter

STATES = {"open": "warning", "accepted": "success", "declined": "default"}


UNDO = "This cannot be undone: a report is decided once."


@admin.register(LabelReport)
class LabelReportAdmin(OrganiserAdmin):
    adds = changes = deletes = Who.NOBODY
    list_display = ("patch", "phase", "team", "text", "state_label", "created_at")
    list_filter = (
        ("phase__competition", ScopedRelatedFilter),
        ("phase", ScopedRelatedFilter),
        WaitingFilter,
        "accepted",
        ("decided_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("phase__competition", "team")
    search_fields = ("=patch", "text", "team__name")
    fields = readonly_fields = (
        "phase", "patch", "team", "reported_by", "text", "state_label", "answer", "created_at", "decided_at",
    )  # fmt: skip
    actions_detail = ("accept", "decline")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("phase__competition", "team")

    @display(description="state", label=STATES)
    def state_label(self, report: LabelReport) -> str:
        return report.state

    @action(description="Accept", icon="check")
    def accept(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation = (
            "The team sees your answer. Then load the corrected masks at the phase, without putting them in force, and "
            "look at the dry run of the new version."
        )
        return self._decide(request, object_id, True, "Accept", explanation)

    @action(description="Decline", icon="close")
    def decline(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return self._decide(request, object_id, False, "Decline", "The team sees your answer.")

    def _decide(
        self, request: HttpRequest, pk: int, accepted: bool, button: str, explanation: str
    ) -> HttpResponse:
        return ask_about(
            self,
            request,
            pk,
            button,
            explanation,
            lambda user, report, reason: corrections.decide_report(user, report, accepted, reason),
            undo=UNDO,
            done=lambda report: f"{report} is {report.state}.",
        )
