"""The audit log: read-only, with the state of its hash chain."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.contrib.filters.admin import AllValuesCheckboxFilter

from leaderboard.models import AuditEntry

from .base import Exported, OrganiserAdmin, ScopedRelatedFilter, Who
from .exports import resource

CHECKED = 2000  # how many entries a page checks: about 0.1 s; `manage.py verify_audit_log` checks all


@admin.register(AuditEntry)
class AuditEntryAdmin(Exported, OrganiserAdmin):
    adds = changes = deletes = Who.NOBODY
    resource_classes = [resource(AuditEntry)]
    list_display = ("at", "actor_name", "act", "subject", "reason", "competition", "public")
    list_filter = (("competition", ScopedRelatedFilter), ("act", AllValuesCheckboxFilter), "at", "public")
    list_select_related = ("competition",)
    search_fields = ("actor_name", "act", "subject", "reason", "digest")
    fields = readonly_fields = (
        "at", "competition", "actor_name", "act", "subject", "reason", "details", "public", "previous", "digest",
    )  # fmt: skip
    list_before_template = "admin/leaderboard/audit_chain.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("competition")

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        entries = AuditEntry.objects.order_by("-pk")
        chain = {
            "broken": AuditEntry.objects.first_broken(newest=CHECKED),
            "last": entries.annotate(is_one_of_many=Exists(entries[CHECKED : CHECKED + 1])).first(),
            "checked": CHECKED,
        }
        return super().changelist_view(request, {**(extra_context or {}), "chain": chain})
