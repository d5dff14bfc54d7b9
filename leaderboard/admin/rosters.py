"""Requests to join, mergers, and method descriptions, which organisers review."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action, display

from leaderboard.actions import descriptions, rosters
from leaderboard.models import JoinRequest, Merger, MethodDescription

from .base import Exported, Helpers, OrganiserAdmin, ScopedRelatedFilter, Who, once
from .exports import resource
from .reasons import PublicReasonForm, ask_about
from .waiting import WaitingFilter

STATES = {"open": "warning", "accepted": "success", "declined": "default", "withdrawn": "default"}
VERDICTS = {"open": "warning", "accepted": "success", "ineligible": "danger"}


class DecidedAdmin(Exported, OrganiserAdmin):
    """Requests to teams. The teams' owners decide; organisers can only look."""

    adds = changes = deletes = Who.NOBODY

    @display(description="state", label=STATES)
    def state_label(self, row: Any) -> str:
        return row.state


@admin.register(JoinRequest)
class JoinRequestAdmin(DecidedAdmin):
    resource_classes = [resource(JoinRequest)]
    list_display = ("user", "team", "state_label", "message", "created_at", "decided_at")
    list_filter = (
        ("team__competition", ScopedRelatedFilter),
        "accepted",
        "withdrawn",
        ("decided_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("user", "team__competition")
    search_fields = ("user__username", "team__name", "message")
    fields = readonly_fields = ("user", "team", "message", "state_label", "created_at", "decided_at")


@admin.register(Merger)
class MergerAdmin(DecidedAdmin):
    resource_classes = [resource(Merger)]
    list_display = ("other", "into", "state_label", "proposed_by", "created_at", "decided_at")
    list_filter = (
        ("team__competition", ScopedRelatedFilter),
        "accepted",
        "withdrawn",
        ("decided_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("team__competition", "other", "proposed_by")
    search_fields = ("team__name", "other__name", "proposed_by__username")
    fields = readonly_fields = ("other", "team", "state_label", "proposed_by", "created_at", "decided_at")
    actions_detail = ("undo",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("team__competition", "other", "proposed_by")

    @action(description="Undo", icon="undo")
    def undo(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Undo",
            "What came from the other team goes back to it: members, submissions, used attempts. What was made since stays. "
            "The owners of both are notified by mail.",
            rosters.undo_merger,
            undo="Undo it with “Merge” on the team's page.",
            done=lambda merger: f"{merger.other} and {merger.team} are two teams again.",
            form_class=PublicReasonForm,
        )

    @display(description="would become part of", ordering="team__name")
    def into(self, merger: Merger) -> str:
        return str(merger.team)


@admin.register(MethodDescription)
class MethodDescriptionAdmin(Exported, OrganiserAdmin):
    """Descriptions that teams handed in. Accepting records a review; ruling out makes the team ineligible."""

    helpers = Helpers.LOOK
    adds = changes = deletes = Who.NOBODY
    resource_classes = [resource(MethodDescription)]
    list_display = ("team", "verdict_label", "named", "uploaded_at", "pdf_link", "verdict_reason")
    list_filter = (WaitingFilter, "verdict", ("team__competition", ScopedRelatedFilter))
    list_select_related = ("team__competition",)
    search_fields = ("team__name", "sha256", "verdict_reason")
    fields = readonly_fields = (
        "team", "verdict", "verdict_reason", "eligibility", "named", "unnamed", "pdf_link", "sha256",
        "uploaded_by", "uploaded_at",
    )  # fmt: skip
    actions_detail = ("accept", "rule_out")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("team__competition").defer("pdf")

    def get_custom_urls(self) -> Any:
        return (("<int:pk>/pdf/", "leaderboard_methoddescription_pdf", download),)

    @display(description="verdict", label=VERDICTS, ordering="verdict")
    def verdict_label(self, description: MethodDescription) -> tuple[str, str]:
        return description.verdict, description.get_verdict_display()

    @display(description="names")
    def named(self, description: MethodDescription) -> str:
        return ", ".join(description.members)

    @display(description="members it does not name", empty_value="none")
    @once
    def unnamed(self, description: MethodDescription) -> str | None:
        return ", ".join(description.unnamed_members()) or None

    @display(description="eligible for awards")
    @once
    def eligibility(self, description: MethodDescription) -> str:
        return descriptions.why_not_eligible(description.team) or "Yes."

    @display(description="PDF")
    def pdf_link(self, description: MethodDescription) -> str:
        address = reverse("admin:leaderboard_methoddescription_pdf", args=[description.pk])
        return format_html('<a class="underline" href="{}">Download</a>', address)

    @action(description="Accept", icon="check")
    def accept(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation = (
            "The team sees that it is accepted. If it hands in a newer file, that one needs its own review."
        )
        return self._judge(request, object_id, "Accept", explanation, descriptions.accept_description)

    @action(description="Rule out", icon="block")
    def rule_out(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation = (
            "The team is not eligible for awards with this description. Its owners are notified by mail, with your reason. "
            "Until the due date it may hand in another one."
        )
        return self._judge(request, object_id, "Rule out", explanation, descriptions.rule_out)

    def _judge(
        self,
        request: HttpRequest,
        pk: int,
        button: str,
        explanation: str,
        act: Callable[[Any, MethodDescription, str], None],
    ) -> HttpResponse:
        return ask_about(
            self,
            request,
            pk,
            button,
            explanation,
            act,
            undo="Undo it by judging the file again.",
            done=lambda file: f"The {file} is {file.get_verdict_display()}.",
        )


def download(request: HttpRequest, model_admin: Any, pk: int) -> HttpResponse:
    """The PDF as handed in, under a file name chosen by the server."""
    description = get_object_or_404(model_admin.get_queryset(request), pk=pk)
    name = f"method-{description.team.competition.slug}-{description.pk}.pdf"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(bytes(description.pdf), content_type="application/pdf", headers=headers)
