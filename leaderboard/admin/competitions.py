"""Competitions and their pages in Markdown."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget

from leaderboard.actions import awards, board_updates, phase_changes
from leaderboard.models import Competition, Page, Phase, Picture, Team

from .base import ReadOnlyInline, Who, number_of
from .guarded import CompetitionForm
from .reasons import ask_for_reason
from .setup import SetsUp


class PhaseInline(ReadOnlyInline):
    model = Phase
    fields = ("position", "slug", "name", "opens_at", "closes_at")
    tab = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("competition")


class PageInline(ReadOnlyInline):
    model = Page
    fields = ("position", "slug", "title")
    tab = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("competition")


@admin.register(Competition)
class CompetitionAdmin(SetsUp):
    adds = Who.SUPERUSERS
    form = CompetitionForm
    list_display = (
        "name",
        "slug",
        "is_published",
        "phase_count",
        "team_count",
        "roster_locks_at",
        "created_at",
    )
    list_filter = ("is_published",)
    search_fields = ("name", "slug", "summary")
    readonly_fields = ("is_published", "organiser_names", "role_names")
    exclude = ("organisers",)
    inlines = (PhaseInline, PageInline)
    actions_detail = (
        "publish", "make_draft", "rehearse", "download_file", "apply_file", "add_organiser", "remove_organiser",
        "add_role", "give_ranked",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                phase_count=number_of(Phase.objects.all(), "competition"),
                team_count=number_of(Team.objects.all(), "competition"),
            )
        )

    @action(description="Give the awards by rank", icon="emoji_events")
    def give_ranked(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Give the awards by rank: {competition}",
            explanation="Each award by rank that nobody has yet goes to the eligible team at that rank of its phase, "
            "once the phase has ended. The winners' page shows them at once.",
            undo="Undo it with “Take back” on the page of an award.",
            button="Give",
            rows=competition.prizes.exclude(rank=None),
            act=lambda reason: awards.give_ranked_awards(request.user, competition, reason),
            done=lambda given: f"Given: {'; '.join(map(str, given))}.",
            back=reverse("admin:leaderboard_award_changelist"),
        )

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "logo":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        asked = str(request.resolver_match.kwargs.get("object_id", "")) if request.resolver_match else ""
        pictures = (
            Picture.objects.filter(competition=int(asked)) if asked.isdecimal() else Picture.objects.none()
        )
        return forms.ChoiceField(
            choices=lambda: [
                ("", "none"),
                *((name, name) for name in pictures.values_list("name", flat=True)),
            ],
            required=False,
            widget=UnfoldAdminSelectWidget,
            help_text="Shown beside the name on the overview. Upload it under “Pictures” first.",
        )

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def save_model(self, request: HttpRequest, obj: Competition, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if change and "slug" in form.changed_data:
            phase_changes.keep_former_slugs(obj, None, form.initial["slug"])
            messages.info(request, f"Links to /c/{form.initial['slug']}/ lead to /c/{obj.slug}/ from now on.")
        board_updates.boards_changed(obj)

    @display(description="phases", ordering="phase_count")
    def phase_count(self, competition: Any) -> int:
        return competition.phase_count

    @display(description="teams", ordering="team_count")
    def team_count(self, competition: Any) -> int:
        return competition.team_count
