"""Buttons on a team's, a member's, a person's and a submission's page: what organisers do for one of them."""

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelect
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from leaderboard.actions import accounts, rosters, single_teams
from leaderboard.models import Extension, Membership, Phase, Team

from .base import OrganiserAdmin, ScopedRelatedFilter, Who
from .reasons import PublicReasonForm, ask_about, ask_for_reason

MAILED = "Its owners are notified by mail, with your reason."


class ExtensionForm(PublicReasonForm):
    """In which phase, until when, how much."""

    phase = forms.ModelChoiceField(Phase.objects.none(), widget=UnfoldAdminSelectWidget)
    closes_at = forms.DateTimeField(
        label="Ends for this team (UTC)",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-12-31 23:59"}),
        help_text="Write it as 2026-12-31 23:59. Empty: as for everyone.",
    )
    quota_total = forms.IntegerField(
        label="Submissions in total", min_value=1, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    quota_per_day = forms.IntegerField(
        label="Submissions a day", min_value=1, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    quota_on_board = forms.IntegerField(
        label="Results on the board", min_value=1, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    field_order = (
        "phase",
        "closes_at",
        "quota_total",
        "quota_per_day",
        "quota_on_board",
        "reason",
        "withhold",
    )

    def __init__(self, team: Team, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["phase"].queryset = Phase.objects.filter(competition=team.competition_id).defer(  # type: ignore[attr-defined]
            "labels"
        )
        self.fields["phase"].label_from_instance = lambda phase: phase.name  # type: ignore[attr-defined]


class OtherTeams(AutocompleteSelect):
    """Searches the teams that can become part of one, which the address of the search names (see ``TeamAdmin``)."""

    def __init__(self, team: Team):
        super().__init__(Membership._meta.get_field("team"), admin.site)
        self.team = team

    def get_url(self) -> str:
        return f"{super().get_url()}?into={self.team.pk}"


class MergeForm(PublicReasonForm):
    """Which team becomes part of this one."""

    other = forms.ModelChoiceField(
        Team.objects.none(),
        label="Team that becomes part of it",
        error_messages={"invalid_choice": "Choose another team of the same competition that takes part."},
    )
    field_order = ("other", "reason", "withhold")

    def __init__(self, team: Team, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["other"]
        field.queryset = Team.objects.mergeable_into(team)  # type: ignore[attr-defined]
        field.widget = OtherTeams(team)
        field.widget.choices = field.choices  # type: ignore[attr-defined]


class RemovalForm(PublicReasonForm):
    """Who becomes owner, where the last one goes."""

    new_owner = forms.CharField(
        label="User name of the new owner",
        max_length=150,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Needed only where the last owner goes.",
    )
    field_order = ("new_owner", "reason", "withhold")


class TeamActs(OrganiserAdmin):
    """On a team's page."""

    actions_detail: tuple[str, ...] = ("extend", "merge", "hide", "show")

    @action(description="Extend", icon="more_time")
    def extend(self, request: HttpRequest, object_id: int) -> HttpResponse:
        team = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"More time or submissions for {team}",
            explanation="The team gets its own end or quotas in one phase, in place of an extension that it has there. Page, "
            "API and resumable uploads follow them, and the team reads them where it submits. Until this team's end, "
            f"nothing is revealed that the end of the phase reveals. {MAILED}",
            undo="Undo it with “End” at Extensions.",
            button="Extend",
            rows=[team],
            act=lambda phase, **asked: single_teams.extend(request.user, team, phase, **asked),
            done=lambda extension: f"{extension}: {single_teams.extension_in_words(extension)}",
            back=reverse("admin:leaderboard_team_change", args=[object_id]),
            form_class=partial(ExtensionForm, team),
        )

    @action(description="Merge", icon="merge")
    def merge(self, request: HttpRequest, object_id: int) -> HttpResponse:
        team = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Make another team part of {team}",
            explanation="Members, submissions and used attempts of both become this team's, whether or not rosters are "
            "locked. The owners of both are notified by mail.",
            undo="Undo it with “Undo” at Mergers.",
            button="Merge",
            rows=[team],
            act=lambda other, **asked: rosters.merge_teams(request.user, team, other, **asked),
            done=lambda merger: f"{merger.other} is part of {team} now.",
            back=reverse("admin:leaderboard_team_change", args=[object_id]),
            form_class=partial(MergeForm, team),
        )

    @action(description="Hide from boards", icon="visibility_off")
    def hide(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Hide from boards",
            "The team leaves every board, file and report, and is not eligible for awards; its submissions stay and it may "
            f"go on submitting. {MAILED}",
            single_teams.hide_team,
            undo="Undo it with “Show on boards”.",
            done=lambda team: f"{team} is on no board any more.",
            form_class=PublicReasonForm,
        )

    @action(description="Show on boards", icon="visibility")
    def show(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Show on boards",
            f"The team is ranked again with its submissions. {MAILED}",
            single_teams.show_team,
            undo="Undo it with “Hide from boards”.",
            done=lambda team: f"{team} is on the boards again.",
            form_class=PublicReasonForm,
        )


class MembershipActs(OrganiserAdmin):
    """On a member's page."""

    actions_detail = ("remove",)

    @action(description="Take out of the team", icon="person_remove")
    def remove(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Take out of the team",
            f"The person can no longer submit for the team or see its results. {MAILED}",
            single_teams.remove_from_team,
            undo="Undo it by adding the person to the team again under Memberships.",
            done=lambda membership: f"{membership.user} is no longer in {membership.team}.",
            back=reverse("admin:leaderboard_membership_changelist"),
            form_class=RemovalForm,
        )


class PersonActs(OrganiserAdmin):
    """On a person's page."""

    actions_detail = ("block", "unblock")

    @action(description="Block", icon="block")
    def block(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Block",
            "The person is signed out everywhere, API tokens end, and neither signing in nor submitting is possible any "
            "more. What the team has submitted stays. The person is notified by mail, with your reason.",
            accounts.block_person,
            undo="Undo it with “Unblock”.",
            done=lambda person: f"{person} is blocked.",
        )

    @action(description="Unblock", icon="lock_open")
    def unblock(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Unblock",
            "The person can sign in again; sessions and tokens do not come back. The person is notified by mail.",
            accounts.unblock_person,
            undo="Undo it with “Block”.",
            done=lambda person: f"{person} can sign in again.",
        )


class AttemptActs(OrganiserAdmin):
    """On a submission's page."""

    @action(description="Give the attempt back", icon="undo", permissions=["judge"])
    def give_attempt_back(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Give the attempt back",
            "The submission no longer takes anything from the team's quotas; its score stays. The team's owners are notified by "
            "mail, with your reason.",
            single_teams.give_attempt_back,
            undo="Undo it with “Take the attempt again”.",
            done=lambda submission: f"The attempt of {submission} is given back.",
            form_class=PublicReasonForm,
        )

    @action(description="Take the attempt again", icon="redo", permissions=["judge"])
    def take_attempt_again(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "Take the attempt again",
            "The submission counts towards the quotas again, even beyond their limits.",
            single_teams.take_attempt_again,
            undo="Undo it with “Give the attempt back”.",
            done=lambda submission: f"{submission} counts towards the quotas again.",
            form_class=PublicReasonForm,
        )


@admin.register(Extension)
class ExtensionAdmin(OrganiserAdmin):
    """What single teams have been given; made with “Extend” on a team's page."""

    adds = changes = deletes = Who.NOBODY
    list_display = ("team", "phase", "what", "reason", "granted_by", "granted_at")
    list_filter = (("phase__competition", ScopedRelatedFilter), ("phase", ScopedRelatedFilter))
    list_select_related = ("team", "phase__competition", "granted_by")
    search_fields = ("team__name", "reason")
    fields = readonly_fields = ("team", "phase", "what", "reason", "granted_by", "granted_at")
    actions_detail = ("end",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return (
            super()
            .get_queryset(request)
            .select_related("team__competition", "phase__competition", "granted_by")
        )

    @display(description="what the team has")
    def what(self, extension: Extension) -> str:
        return single_teams.extension_in_words(extension)

    @action(description="End", icon="undo")
    def end(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return ask_about(
            self,
            request,
            object_id,
            "End",
            f"The phase's own end and quotas hold for the team again; what it has submitted stays. {MAILED}",
            single_teams.end_extension,
            undo="Undo it with “Extend” on the team's page.",
            done=lambda extension: f"{extension}: the extension has ended.",
            back=reverse("admin:leaderboard_extension_changelist"),
            form_class=PublicReasonForm,
        )
