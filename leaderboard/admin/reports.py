"""Reports of phases: their state, a link to read them, publish and take back."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action, display

from leaderboard.actions import reports
from leaderboard.actions.refusals import Refusal
from leaderboard.models import PhaseReport
from leaderboard.pages.forms import RefusedForm

from .base import OrganiserAdmin, ScopedRelatedFilter, Who
from .reasons import ask_about
from .waiting import WaitingFilter

STATES = {"published": "success", "built": "info", "failed": "danger", "waiting": "default"}


class ReportForm(RefusedForm, forms.ModelForm):
    class Meta:
        model = PhaseReport
        fields = ("phase", "as_of")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("phase"):
            try:
                reports.check_as_of(data["phase"], data.get("as_of"))
            except Refusal as refusal:
                self.refuse(refusal)
        return data


@admin.register(PhaseReport)
class PhaseReportAdmin(OrganiserAdmin):
    form = ReportForm
    changes = deletes = Who.NOBODY
    list_display = ("__str__", "state_label", "as_of", "requested_at", "built_at", "published_at", "page")
    list_filter = (
        ("phase__competition", ScopedRelatedFilter),
        ("phase", ScopedRelatedFilter),
        WaitingFilter,
    )
    list_select_related = ("phase__competition",)
    fields = (
        "phase", "as_of", "state_label", "page", "requested_by", "requested_at", "built_at", "published_at", "snapshot", "error",
    )  # fmt: skip
    actions_detail = ("publish", "withdraw")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ("phase", "as_of")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ()

    def save_model(self, request: HttpRequest, obj: PhaseReport, form: Any, change: bool) -> None:
        """Ask for a report; if one is already being built, show that one."""
        row = reports.request_report(request.user, obj.phase, obj.as_of)
        obj.pk, obj._state.adding = row.pk, False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("phase__competition").defer("content")

    @display(description="state", label=STATES)
    def state_label(self, report: PhaseReport) -> str:
        return report.state

    @display(description="page", empty_value="not built yet")
    def page(self, report: PhaseReport) -> str | None:
        if report.built_at is None:
            return None
        address = reverse("pages:report", args=[report.phase.competition.slug, report.phase.slug])
        return format_html(
            '<a class="underline" href="{}">Read the newest report of {}</a>', address, report.phase
        )

    @action(description="Publish", icon="public")
    def publish(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation = (
            "Everyone reads this report, once the phase has ended; in a phase without end at once, without what is "
            "about single patches, sites and objects. Sections marked “organisers only” and metrics that the phase "
            "hides are left out."
        )
        undo = "Undo it with “Take back”; what was read stays known."
        return self._ask(request, object_id, "Publish", explanation, undo, reports.publish_report)

    @action(description="Take back", icon="public_off")
    def withdraw(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation = "Only organisers can then read it. The public log still shows that it was public."
        undo = "Undo it with “Publish”."
        return self._ask(request, object_id, "Take back", explanation, undo, reports.withdraw_report)

    def _ask(
        self,
        request: HttpRequest,
        pk: int,
        button: str,
        explanation: str,
        undo: str,
        act: Callable[[Any, PhaseReport, str], None],
    ) -> HttpResponse:
        return ask_about(
            self,
            request,
            pk,
            button,
            explanation,
            act,
            undo=undo,
            done=lambda report: f"{report} is {report.state}.",
        )
