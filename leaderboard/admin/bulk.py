"""Acts on many submissions or teams: how far each is, what it changed, and the button that undoes it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action, display

from leaderboard.actions import bulk
from leaderboard.models import BulkAct, Team

from .base import OrganiserAdmin, ScopedRelatedFilter, Who
from .reasons import PublicReasonForm, ReasonForm, ask_about, ask_for_reason

STATES = {"waiting": "default", "running": "warning", "finished": "success", "undone": "default"}

CONSEQUENCES = {
    BulkAct.Kind.RESCORE: (
        "Each gets a new evaluation on the labels in force, behind all fresh submissions. The old result stands until the "
        "new one is there; no attempt is taken.",
        "Undo takes back what no worker has begun.",
    ),
    BulkAct.Kind.DISQUALIFY: (
        "They leave the ranking; nothing is deleted and the attempt stays taken. The team sees the reason.",
        "Undo restores those that this act disqualified.",
    ),
    BulkAct.Kind.RESTORE: (
        "Takes the disqualification back: they count in the ranking again.",
        "Undo disqualifies them again, with the reasons that they had.",
    ),
    BulkAct.Kind.GIVE_BACK: (
        "The attempts no longer count towards the teams' quotas; scores and ranks stay as they are.",
        "Undo takes them again, even from a team that has used them since: it is above its quota then.",
    ),
    BulkAct.Kind.WITHDRAW: (
        "They leave the board as if the team had withdrawn them, whatever the phase allows; scores are kept, and the "
        "attempt stays taken.",
        "Undo puts them back.",
    ),
    BulkAct.Kind.HIDE: (
        "They leave every board, file and report, and are not eligible for awards; their submissions stay and they may go "
        "on submitting. The owners of each are notified by mail, with your reason.",
        "Undo shows those that this act hid.",
    ),
    BulkAct.Kind.SHOW: (
        "They are ranked again with their submissions. The owners of each are notified by mail, with your reason.",
        "Undo hides those that this act showed.",
    ),
}
"""What follows from each act, and what undoing it does."""

UNDO = "Takes back what this act changed, and nothing else. The log keeps both acts."


def ask_and_begin(
    model_admin: Any,
    request: HttpRequest,
    kind: BulkAct.Kind,
    chosen: QuerySet[Any],
    number: int,
    preview: str,
    back: str,
) -> HttpResponse:
    """Say what follows and ask for a reason, then do it to the chosen rows: to a few at once, to many by a worker."""
    related = ("competition",) if chosen.model is Team else ("team", "phase__competition")
    noun = f"{number:,} {chosen.model._meta.verbose_name}{pluralize(number)}"
    label = kind.label.capitalize()
    what, undo = CONSEQUENCES[kind]
    return ask_for_reason(
        model_admin,
        request,
        title=f"{label}: {noun}",
        explanation=f"{preview} {what}",
        undo=undo,
        button=label,
        rows=chosen.select_related(*related).order_by("pk"),
        act=lambda **asked: bulk.begin(request.user, kind, chosen, **asked),
        done=done,
        back=back or request.get_full_path(),
        form_class=ReasonForm if kind == BulkAct.Kind.RESCORE else PublicReasonForm,
    )


def done(act: BulkAct) -> Any:
    """What has become of an act, with a link to its progress and its undoing."""
    address = reverse("admin:leaderboard_bulkact_change", args=[act.pk])
    link = format_html('<a class="underline" href="{}">Progress and undo</a>', address)
    name = f"{act}".capitalize()
    if act.finished_at is None:
        return format_html("{}: {} {}s, done in the background. {}", name, f"{act.total:,}", act.noun, link)
    changed = f"{act.number_changed:,} {act.noun}{pluralize(act.number_changed)}"
    same = act.total - act.number_changed
    unchanged = f", {same:,} needed no change" if same else ""
    return format_html("{}: {} changed{}. {}", name, changed, unchanged, link)


@admin.register(BulkAct)
class BulkActAdmin(OrganiserAdmin):
    adds = changes = deletes = Who.NOBODY
    list_display = (
        "name", "state_label", "progress", "number_changed", "requested_by", "reason", "competition", "requested_at",
    )  # fmt: skip
    list_filter = (("competition", ScopedRelatedFilter), "kind", "requested_at")
    list_select_related = ("competition", "requested_by", "undone_by")
    search_fields = ("reason", "requested_by__username")
    fields = readonly_fields = (
        "name", "state_label", "progress", "number_changed", "reason", "withhold", "requested_by", "competition",
        "requested_at", "finished_at", "undoes",
    )  # fmt: skip
    actions_detail = ("undo",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related(*self.list_select_related)
        return rows.defer("rows", "changed", "undone_by__rows", "undone_by__changed")

    @display(description="act")
    def name(self, act: BulkAct) -> str:
        return f"{act}".capitalize()

    @display(description="state", label=STATES)
    def state_label(self, act: BulkAct) -> str:
        return act.state

    @display(description="done")
    def progress(self, act: BulkAct) -> str:
        return f"{act.position:,} of {act.total:,}"

    @action(description="Undo", icon="undo")
    def undo(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Undo",
            UNDO,
            bulk.undo,
            undo="Undo it by doing the act again to the same rows.",
            done=lambda act: f"Undoing: {act.number_changed:,} {act.noun}s. This list says how far it is.",
            back=reverse("admin:leaderboard_bulkact_changelist"),
        )
