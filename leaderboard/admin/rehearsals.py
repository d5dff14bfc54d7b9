"""Rehearsals: ask for one, read its report."""

from django.contrib import admin
from django.utils.html import format_html
from unfold.decorators import display

from leaderboard.models import Rehearsal

from .base import OrganiserAdmin, ScopedRelatedFilter, Who

STATES = {
    "waiting": "default",
    "playing": "info",
    "all rules held": "success",
    "rules broken": "danger",
    "not played": "danger",
}


@admin.register(Rehearsal)
class RehearsalAdmin(OrganiserAdmin):
    """One is asked for on the competition's page; a worker plays it, in a minute or a few."""

    adds = changes = deletes = Who.NOBODY
    list_display = ("__str__", "state_label", "requested_by", "requested_at", "finished_at")
    list_filter = (("competition", ScopedRelatedFilter), "all_held")
    list_select_related = ("competition", "requested_by")
    ordering = ("-pk",)
    search_fields = ("competition__name",)
    fields = readonly_fields = (
        "competition", "state_label", "requested_by", "requested_at", "started_at", "finished_at", "findings",
    )  # fmt: skip

    @display(description="state", label=STATES)
    def state_label(self, run: Rehearsal) -> str:
        return run.state

    @display(description="report", empty_value="comes when it has ended: reload this page")
    def findings(self, run: Rehearsal) -> str | None:
        shown = '<pre tabindex="0" class="overflow-x-auto whitespace-pre">{}</pre>'
        return format_html(shown, run.report) if run.report else None
