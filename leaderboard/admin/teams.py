"""Teams and their members."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import pluralize
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action, display

from leaderboard.actions import board_updates, organisers, participation
from leaderboard.actions.refusals import Refusal
from leaderboard.models import BulkAct, Membership, Submission, Team
from leaderboard.models.names import folded, imitation
from leaderboard.pages.forms import RefusedForm

from .base import Exported, Helpers, ReadOnlyInline, ScopedRelatedFilter, number_of, once
from .bulk import ask_and_begin
from .exports import resource
from .reasons import ask_about
from .single_teams import MembershipActs, TeamActs
from .team_state import states_of
from .waiting import WaitingFilter


class TeamForm(forms.ModelForm):
    """Two names that look alike count as one, also where only an organiser could tell them apart."""

    class Meta:
        model = Team
        fields = ("competition", "name", "affiliation", "is_organisers")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        competition = data.get("competition") or self.instance.competition_id
        if (
            "name" in data
            and competition
            and board_updates.name_is_taken(self.instance, competition, folded(data["name"]))
        ):
            self.add_error("name", "A team of this name exists already. Please choose another name.")
        return data


class MembershipInline(ReadOnlyInline):
    model = Membership
    fields = ("user", "email", "role", "joined_at")
    readonly_fields = ("email", "joined_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "team")

    @display(description="email address", empty_value="none")
    def email(self, membership: Membership) -> str | None:
        address = membership.user.email
        return format_html('<a class="underline" href="mailto:{0}">{0}</a>', address) if address else None


@admin.register(Team)
class TeamAdmin(Exported, TeamActs):
    helpers = Helpers.LOOK
    form = TeamForm
    resource_classes = [resource(Team)]
    list_display = (
        "name", "competition", "affiliation", "member_count", "submission_count", "marks", "imitation", "created_at",
    )  # fmt: skip
    list_filter = (
        ("competition", ScopedRelatedFilter),
        WaitingFilter,
        "is_organisers",
        "approval",
        ("merged_into", admin.EmptyFieldListFilter),
        ("hidden_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("competition", "merged_into")
    search_fields = ("name", "folded_name", "affiliation", "members__username", "members__email")
    search_help_text = "Team, affiliation or a member's name or address"
    readonly_fields = (
        "state",
        "merged_into",
        "hidden_at",
        "created_at",
        "approval_in_words",
        "approval_reason",
    )
    fields = (
        "competition",
        "name",
        "affiliation",
        "is_organisers",
        "approval_in_words",
        "approval_reason",
        ("merged_into", "hidden_at"),
        "created_at",
        "state",
    )
    inlines = (MembershipInline,)
    actions = ("hide_many", "show_many")
    actions_detail = ("approve", "refuse", *TeamActs.actions_detail)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super()
            .get_queryset(request)
            .select_related("competition", "merged_into")
            .annotate(
                member_count=number_of(Membership.objects.all(), "team"),
                submission_count=number_of(Submission.objects.all(), "team"),
            )
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "competition", "is_organisers") if obj else self.readonly_fields

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """On the page of a merger the search offers only teams that can become part of that one."""
        found, repeated = super().get_search_results(request, queryset, search_term)
        into = request.GET.get("into", "")
        if into.isdecimal() and request.path == reverse("admin:autocomplete"):
            team = get_object_or_404(Team, pk=into)
            found = found.filter(pk__in=Team.objects.mergeable_into(team))
        return found, repeated

    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        board_updates.boards_changed(obj.competition)  # first: see boards_changed
        super().save_model(request, obj, form, change)

    @display(description="marks", empty_value="")
    def marks(self, team: Team) -> str | None:
        """What sets it apart from the teams that compete on the boards."""
        words = [
            "organisers" if team.is_organisers else "",
            f"part of {team.merged_into}" if team.merged_into else "",
            "hidden" if team.hidden_at else "",
        ]
        return ", ".join(filter(None, words)) or None

    @display(description="name may imitate")
    def imitation(self, team: Team) -> str:
        return imitation(team.name) or "–"

    @display(description="approval")
    def approval_in_words(self, team: Team) -> str:
        return team.get_approval_display() if team.needs_approval else "not needed"

    @action(description="Approve", icon="check")
    def approve(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation = "The team may submit. Its owners are notified by mail, with your reason."
        return ask_about(
            self,
            request,
            object_id,
            "Approve",
            explanation,
            participation.approve_team,
            undo="Undo it with “Refuse”.",
            done=lambda team: f"{team} is approved.",
        )

    @action(description="Refuse", icon="block")
    def refuse(self, request: HttpRequest, object_id: int) -> HttpResponse:
        explanation = "The team cannot submit; what it has submitted stays. Its owners are notified by mail, with your reason."
        return ask_about(
            self,
            request,
            object_id,
            "Refuse",
            explanation,
            participation.refuse_team,
            undo="Undo it with “Approve”.",
            done=lambda team: f"{team} is refused.",
        )

    @action(description="Hide from boards…", permissions=["judge"])
    def hide_many(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._begin(request, queryset, BulkAct.Kind.HIDE)

    @action(description="Show on boards…", permissions=["judge"])
    def show_many(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return self._begin(request, queryset, BulkAct.Kind.SHOW)

    def has_judge_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def _begin(self, request: HttpRequest, queryset: QuerySet[Any], kind: BulkAct.Kind) -> HttpResponse:
        chosen = Team.objects.filter(pk__in=queryset.order_by().values("pk"))
        found = chosen.aggregate(
            number=Count("pk"),
            hidden=Count("hidden_at"),
            submissions=Sum(number_of(Submission.objects.all(), "team")),
        )
        preview = (
            f"{found['number']:,} team{pluralize(found['number'])} with {found['submissions'] or 0:,} "
            f"submission{pluralize(found['submissions'] or 0)}; {found['hidden']:,} hidden now."
        )
        return ask_and_begin(self, request, kind, chosen, found["number"], preview, "")

    @display(description="in each phase", empty_value="")
    @once
    def state(self, team: Team) -> str | None:
        if team.pk is None:
            return None
        context = {"team": team, "states": states_of(team, timezone.now())}
        return render_to_string("admin/leaderboard/team_state.html", context)

    @display(description="members", ordering="member_count")
    def member_count(self, team: Any) -> int:
        return team.member_count

    @display(description="submissions", ordering="submission_count")
    def submission_count(self, team: Any) -> int:
        return team.submission_count


class MembershipForm(RefusedForm, forms.ModelForm):
    FIELDS = {"organisers_do_not_compete": "user"}

    class Meta:
        model = Membership
        fields = ("team", "user", "role")

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        team, user = data.get("team"), data.get("user")
        if self.instance.pk and self.initial.get("role") == "owner" and data.get("role") == "member":
            owners = self.instance.team.memberships.filter(role="owner").exclude(pk=self.instance.pk)
            if not owners.exists():
                self.add_error("role", "This is the last owner. Make another member an owner first.")
        if team and user:
            others = Membership.objects.filter(competition=team.competition_id, user=user)
            if others.exclude(pk=self.instance.pk).exists():
                self.add_error("user", "This person is in a team of this competition already.")
            elif not team.is_organisers:
                try:
                    organisers.check_may_compete(user, team.competition)
                except Refusal as refusal:
                    self.refuse(refusal)
        return data


@admin.register(Membership)
class MembershipAdmin(Exported, MembershipActs):
    helpers = Helpers.LOOK
    form = MembershipForm
    resource_classes = [resource(Membership)]
    list_display = ("user", "email", "team", "competition", "role", "country", "joined_at")
    list_filter = (("competition", ScopedRelatedFilter), "role")
    ordering = ("-pk",)
    list_select_related = ("user", "team", "competition")
    search_fields = ("user__username", "user__email", "team__name")
    autocomplete_fields = ("team", "user")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("team", "user") if obj else ()

    @display(description="email", ordering="user__email")
    def email(self, membership: Membership) -> str:
        return membership.user.email

    @display(description="country or region", ordering="user__country")
    def country(self, membership: Membership) -> str:
        return membership.user.country
