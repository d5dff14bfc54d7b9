"""The outbox: waiting and undeliverable mails. Their texts may contain codes and links, so they are not shown."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display

from leaderboard.actions import outbox
from leaderboard.models import Mail

from .base import OrganiserAdmin, ScopedRelatedFilter, Who
from .reasons import ask_about
from .waiting import WaitingFilter

STATES = {"waiting": "default", "given up": "danger"}


@admin.register(Mail)
class MailAdmin(OrganiserAdmin):
    adds = changes = deletes = Who.NOBODY
    list_display = (
        "subject",
        "to",
        "state_label",
        "tries",
        "next_try_at",
        "error",
        "competition",
        "queued_at",
    )
    list_filter = (
        ("competition", ScopedRelatedFilter),
        WaitingFilter,
        ("failed_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("competition",)
    search_fields = ("to", "subject")
    fields = readonly_fields = (
        "subject", "to", "competition", "state_label", "queued_at", "tries", "next_try_at", "failed_at", "error",
    )  # fmt: skip
    actions_detail = ("again", "discard")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("competition").defer("text", "html")

    @display(description="state", label=STATES)
    def state_label(self, mail: Mail) -> str:
        return mail.state

    @action(description="Send again", icon="send")
    def again(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation, undo = "It is sent again like a new mail.", "A mail that was sent cannot be unsent."
        return self._ask(request, object_id, "Send again", explanation, undo, outbox.send_again)

    @action(description="Discard", icon="delete")
    def discard(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation, undo = "It will never be sent.", "This cannot be undone."
        return self._ask(request, object_id, "Discard", explanation, undo, outbox.discard)

    def _ask(
        self,
        request: HttpRequest,
        pk: int,
        button: str,
        explanation: str,
        undo: str,
        act: Callable[[Any, Mail, str], None],
    ) -> HttpResponse:
        return ask_about(
            self,
            request,
            pk,
            button,
            explanation,
            act,
            undo=undo,
            row=lambda mail: f"{mail.subject}, to {mail.to}",
            done=lambda mail: f"Done: {mail}.",
            back=reverse("admin:leaderboard_mail_changelist"),
        )
