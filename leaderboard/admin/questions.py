"""Questions by participants: which wait for an answer, and their moderation."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.decorators import action, display

from leaderboard.actions import questions
from leaderboard.models import Question

from .base import Exported, Helpers, OrganiserAdmin, ScopedRelatedFilter, Who
from .exports import resource
from .reasons import ask_about
from .waiting import WaitingFilter

STATES = {"open": "warning", "answered": "success", "answered privately": "info", "hidden": "danger"}


@admin.register(Question)
class QuestionAdmin(Exported, OrganiserAdmin):
    """Answering happens on the competition's page, where the answer is read; hiding and deleting here."""

    helpers = Helpers.LOOK
    adds = changes = deletes = Who.NOBODY
    resource_classes = [resource(Question)]
    list_display = ("title", "state_label", "competition", "asked_by", "created_at", "answered_at")
    list_filter = (
        ("competition", ScopedRelatedFilter),
        WaitingFilter,
        ("answered_at", admin.EmptyFieldListFilter),
        "is_public",
        ("hidden_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("competition", "asked_by")
    ordering = ("-pk",)
    search_fields = ("title", "body", "answer", "asked_by__username")
    fields = readonly_fields = (
        "competition", "title", "body", "asked_by", "created_at", "wants_privacy", "state_label", "answer",
        "answered_by", "answered_at", "is_public", "hidden_reason",
    )  # fmt: skip
    actions_detail = ("answer_it", "hide", "show", "remove")

    @display(description="state", label=STATES)
    def state_label(self, question: Question) -> str:
        return question.state

    @action(description="Answer", icon="reply")
    def answer_it(self, request: HttpRequest, object_id: int) -> HttpResponse:
        question = get_object_or_404(self.get_queryset(request).select_related("competition"), pk=object_id)
        return HttpResponseRedirect(reverse("pages:question", args=[question.competition.slug, question.pk]))

    @action(description="Hide", icon="visibility_off")
    def hide(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Hide",
            "Nobody but its author and the organisers can read it then; its author reads your reason.",
            questions.hide,
            undo="Undo it with “Show again”.",
            done=lambda question: f"“{question}” is hidden.",
        )

    @action(description="Show again", icon="visibility")
    def show(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Show again",
            "It is as visible as it was before it was hidden.",
            questions.show,
            undo="Undo it with “Hide”.",
            done=lambda question: f"“{question}” is {question.state}.",
        )

    @action(description="Delete", icon="delete")
    def remove(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Delete",
            "Question and answer are deleted for good. The audit log keeps your reason, not the text.",
            questions.delete,
            undo="This cannot be undone; “Hide” can.",
            done=lambda question: f"“{question}” is deleted.",
            back=reverse("admin:leaderboard_question_changelist"),
        )
