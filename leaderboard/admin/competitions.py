"""Competitions and their pages in Markdown."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.decorators import action, display

from leaderboard.actions import awards, board_updates, phase_changes
from leaderboard.models import Competition, Page, Phase, Team

from .base import OrganiserAdmin, ReadOnlyInline, ScopedRelatedFilter, Who, number_of
from .guarded import CompetitionForm
from .organisers import NamesOrganisers
from .reasons import ask_for_reason


class PhaseInline(ReadOnlyInline):
    model = Phase
    fields = ("position", "slug", "name", "opens_at", "closes_at")
    tab = True


class PageInline(ReadOnlyInline):
    model = Page
    fields = ("position", "slug", "title")
    tab = True


@admin.register(Competition)
class CompetitionAdmin(NamesOrganisers):
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
    readonly_fields = ("organiser_names",)
    exclude = ("organisers",)
    inlines = (PhaseInline, PageInline)
    actions_detail = ("add_organiser", "remove_organiser", "give_ranked")

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
            button="Give",
            rows=competition.prizes.exclude(rank=None),
            act=lambda reason: awards.give_ranked_awards(request.user, competition, reason),
            done=lambda given: f"Given: {'; '.join(map(str, given))}.",
            back=reverse("admin:leaderboard_award_changelist"),
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


@admin.register(Page)
class PageAdmin(OrganiserAdmin):
    deletes = Who.ORGANISERS
    list_display = ("title", "competition", "slug", "position")
    list_filter = (("competition", ScopedRelatedFilter),)
    list_select_related = ("competition",)
    search_fields = ("title", "slug", "body")
    ordering = ("competition", "position")
    prepopulated_fields = {"slug": ("title",)}
