"""Speak to the teams: write, see what it does, send at once or later."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldBooleanSwitchWidget

from leaderboard.actions import announcements
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Announcement
from leaderboard.pages.forms import RefusedForm
from leaderboard.platform.markdown import render

from .base import OrganiserAdmin, ScopedRelatedFilter, Who


class AnnouncementForm(RefusedForm, forms.ModelForm):
    """The first Save says to whom it goes and shows it as it will look; the second one, confirmed, sends it."""

    confirmed = forms.BooleanField(
        label="Send it",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Save first shows what happens; nothing is sent before this is ticked.",
    )

    class Meta:
        model = Announcement
        fields = ("competition", "title", "body", "audience", "team", "publish_at")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors or self.cleaned_data.get("confirmed"):
            return
        for sentence in announcements.effects(self.instance):
            self.add_error(None, sentence)
        self.add_error("confirmed", "Not sent yet. Tick this and save again to send it.")

    @property
    def preview(self) -> SafeString | str:
        """The text as it will look, once it was saved for the first time."""
        return render(self.cleaned_data["body"]) if self.is_bound and self.cleaned_data.get("body") else ""


@admin.register(Announcement)
class AnnouncementAdmin(OrganiserAdmin):
    form = AnnouncementForm
    deletes = Who.ORGANISERS
    change_form_template = "admin/leaderboard/announcement_form.html"
    list_display = ("title", "competition", "audience", "publish_at", "state", "recipients", "author")
    list_filter = (("competition", ScopedRelatedFilter), "audience")
    list_select_related = ("competition", "author")
    search_fields = ("title", "body")
    autocomplete_fields = ("team",)
    fields = ("competition", "title", "body", ("audience", "team"), "publish_at", "confirmed")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.sent_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.sent_at is None)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if self.has_change_permission(request, obj) else self.fields[:-1]

    def save_model(self, request: HttpRequest, obj: Announcement, form: Any, change: bool) -> None:
        announcements.announce(request.user, obj)

    def delete_model(self, request: HttpRequest, obj: Announcement) -> None:
        try:
            announcements.cancel(request.user, obj)
        except Refusal as refusal:
            messages.error(request, refusal.message)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for announcement in queryset:
            self.delete_model(request, announcement)

    @display(description="state", label={"sent": "success", "scheduled": "info"})
    def state(self, announcement: Announcement) -> str:
        return "sent" if announcement.sent_at else "scheduled"
