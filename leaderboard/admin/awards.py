"""What can be won, and who has won it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import action, display

from leaderboard.actions import awards
from leaderboard.actions.refusals import Refusal
from leaderboard.models import Award, Prize
from leaderboard.pages.forms import RefusedForm

from .base import Exported, OrganiserAdmin, ScopedRelatedFilter, Who
from .exports import resource
from .reasons import ask_for_reason
from .waiting import WaitingFilter


class PrizeForm(forms.ModelForm):
    class Meta:
        model = Prize
        fields = ("competition", "title", "phase", "rank", "note", "position")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        phase, competition = data.get("phase"), data.get("competition") or self.instance.competition_id
        if phase and competition and phase.competition_id != getattr(competition, "pk", competition):
            self.add_error("phase", "Choose a phase of this competition.")
        return data


@admin.register(Prize)
class PrizeAdmin(OrganiserAdmin):
    """An award that can be won: by rank in a phase, or by the committee's choice."""

    form = PrizeForm
    deletes = Who.ORGANISERS
    list_display = ("title", "competition", "phase", "rank", "note", "position")
    list_filter = (("competition", ScopedRelatedFilter), WaitingFilter)
    list_select_related = ("competition", "phase__competition")
    search_fields = ("title", "note")
    ordering = ("competition", "position")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("competition",) if obj else ()


class AwardForm(RefusedForm, forms.ModelForm):
    """Asks the action whether it would refuse; ``user`` is set by the page."""

    user: Any = None

    class Meta:
        model = Award
        fields = ("team", "title", "citation")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if "team" in data and "title" in data and "citation" in data:
            try:
                awards.prepare_award(self.user, data["team"].competition, **data)
            except Refusal as refusal:
                self.refuse(refusal)
        return data


@admin.register(Award)
class AwardAdmin(Exported, OrganiserAdmin):
    """Awards are given here, with a citation if by the committee, and withdrawn with a reason. The actions log both publicly."""

    form = AwardForm
    changes = deletes = Who.NOBODY
    resource_classes = [resource(Award)]
    list_display = ("title", "team", "competition", "citation", "given_at", "certificate")
    list_filter = (("competition", ScopedRelatedFilter),)
    list_select_related = ("competition", "team__competition")
    search_fields = ("title", "team__name", "citation")
    autocomplete_fields = ("team",)
    readonly_fields = ("competition", "given_at", "certificate")
    actions_detail = ("take_back",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        shown = ("competition", "team", "title", "citation", "given_at", "certificate")
        return shown if obj else AwardForm.Meta.fields

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.user = request.user
        return form

    def save_model(self, request: HttpRequest, obj: Award, form: Any, change: bool) -> None:
        given = awards.give_award(request.user, obj.team.competition, obj.team, obj.title, obj.citation)
        obj.pk, obj.competition, obj._state.adding = given.pk, given.competition, False

    def log_act(self, *_: Any) -> None:
        """The action has logged it."""

    @display(description="certificate")
    def certificate(self, award: Award) -> str:
        address = reverse("pages:certificate", args=[award.competition.slug, award.title])
        return format_html('<a class="underline" href="{}">View and print</a>', address)

    @action(description="Take back", icon="undo")
    def take_back(self, request: HttpRequest, object_id: int) -> HttpResponse:
        award = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Take back: {award}",
            explanation="It disappears from the winners' page, and its certificate with it. The public log keeps that "
            "it was given and why it was taken back.",
            undo="Undo it by giving the award to the team again under Awards.",
            button="Take back",
            rows=[award],
            act=lambda reason: awards.take_award_back(request.user, award, reason),
            done=lambda _: f"Taken back: {award}.",
            back=reverse("admin:leaderboard_award_changelist"),
        )
