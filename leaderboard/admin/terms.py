"""Terms of use: publish a version, see who accepted which."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.widgets import UnfoldBooleanSwitchWidget

from leaderboard.actions import participation
from leaderboard.actions.refusals import Conflict
from leaderboard.models import Terms, TermsAcceptance
from leaderboard.pages.forms import RefusedForm
from leaderboard.platform.markdown import render

from .base import Exported, OrganiserAdmin, ScopedRelatedFilter, Who, number_of
from .exports import resource


class TermsForm(RefusedForm, forms.ModelForm):
    """The first Save says who must accept the version and shows it; the second one, confirmed, puts it in force."""

    confirmed = forms.BooleanField(
        label="Put it in force",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Save first shows what happens; nothing changes before this is ticked.",
    )

    class Meta:
        model = Terms
        fields = ("competition", "body")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        competition = cleaned.get("competition")
        if competition is None or self.errors:
            return cleaned
        before = Terms.objects.in_force(competition)
        if before is not None and before.body.strip() == cleaned["body"].strip():
            self.refuse(Conflict(f"Version {before.version} has the same text."))
        elif not cleaned.get("confirmed"):
            for sentence in participation.effects_of_terms(competition):
                self.add_error(None, sentence)
            self.add_error("confirmed", "Not in force yet. Tick this and save again.")
        return cleaned

    @property
    def preview(self) -> SafeString | str:
        """The text as it will look, once it was saved for the first time."""
        return render(self.cleaned_data["body"]) if self.is_bound and self.cleaned_data.get("body") else ""


@admin.register(Terms)
class TermsAdmin(OrganiserAdmin):
    """Versions are published, never edited."""

    form = TermsForm
    changes = Who.NOBODY
    change_form_template = "admin/leaderboard/announcement_form.html"
    list_display = ("competition", "version", "published_at", "published_by", "accepted_by")
    list_filter = (("competition", ScopedRelatedFilter),)
    list_select_related = ("competition", "published_by")
    search_fields = ("body",)
    ordering = ("-pk",)
    fields = ("competition", "body", "confirmed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super()
            .get_queryset(request)
            .annotate(accepted_by=number_of(TermsAcceptance.objects.all(), "terms"))
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("competition", "version", "body", "published_at", "published_by") if obj else self.fields

    def save_model(self, request: HttpRequest, obj: Terms, form: Any, change: bool) -> None:
        made = participation.publish_terms(request.user, obj.competition, obj.body)
        obj.pk, obj.version = made.pk, made.version

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The action has logged it."""

    @display(description="accepted by", ordering="accepted_by")
    def accepted_by(self, terms: Any) -> int:
        return terms.accepted_by


@admin.register(TermsAcceptance)
class TermsAcceptanceAdmin(Exported, OrganiserAdmin):
    """Who accepted which version, and when."""

    adds = changes = Who.NOBODY
    resource_classes = [resource(TermsAcceptance)]
    list_display = ("user", "terms", "accepted_at")
    list_filter = (("terms__competition", ScopedRelatedFilter),)
    list_select_related = ("user", "terms__competition")
    search_fields = ("user__username",)
    ordering = ("-pk",)
    fields = readonly_fields = ("terms", "user", "accepted_at")
