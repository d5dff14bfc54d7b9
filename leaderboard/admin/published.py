"""Results taken from publications, shown for comparison."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from leaderboard.actions import board_updates
from leaderboard.models import PublishedEntry

from .base import Exported, OrganiserAdmin, ScopedRelatedFilter, Who
from .exports import resource


@admin.register(PublishedEntry)
class PublishedEntryAdmin(Exported, OrganiserAdmin):
    deletes = Who.ORGANISERS
    resource_classes = [resource(PublishedEntry)]
    list_display = ("name", "phase", "award", "f1", "precision", "recall", "method", "source")
    list_filter = (("phase", ScopedRelatedFilter),)
    list_select_related = ("phase__competition",)
    search_fields = ("name", "method", "source")

    def save_model(self, request: HttpRequest, obj: PublishedEntry, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        board_updates.phase_changed(obj.phase, ())

    def delete_model(self, request: HttpRequest, obj: PublishedEntry) -> None:
        super().delete_model(request, obj)
        board_updates.phase_changed(obj.phase, ())
