"""Acts on many submissions: how far each is, what it changed, and the button that undoes it."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action, display

from leaderboard.actions import bulk
from leaderboard.models import BulkAct

from .base import OrganiserAdmin, ScopedRelatedFilter, Who
from .reasons import ask_about

STATES = {"waiting": "default", "running": "warning", "finished": "success", "undone": "default"}

CONSEQUENCES = {
    BulkAct.Kind.RESCORE: "Each gets a new evaluation on the labels in force, behind all fresh submissions. The old result "
    "stands until the new one is there; no attempt is taken. Undo takes back what no worker has begun.",
    BulkAct.Kind.DISQUALIFY: "They leave the ranking; nothing is deleted and the attempt stays taken. The team sees the "
    "reason. Undo restores those that this act disqualified.",
    BulkAct.Kind.RESTORE: "Takes the disqualification back: they count in the ranking again. Undo disqualifies them again, "
    "with the reasons that they had.",
    BulkAct.Kind.GIVE_BACK: "The attempts no longer count towards the teams' quotas; scores and ranks stay as they are. Undo "
    "takes them again, even from a team that has used them since: it is above its quota then.",
    BulkAct.Kind.WITHDRAW: "They leave the board as if the team had withdrawn them, whatever the phase allows; scores are "
    "kept, and the attempt stays taken. Undo puts them back.",
}
UNDO = "Takes back what this act changed, and nothing else. The log keeps both acts."


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
        return rows.defer("submissions", "changed", "undone_by__submissions", "undone_by__changed")

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
            done=lambda act: f"Undoing: {act.number_changed:,} submissions. This list says how far it is.",
            back=reverse("admin:leaderboard_bulkact_changelist"),
        )
