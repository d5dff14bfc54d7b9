"""Who organises a competition: shown on its page, changed by its organisers themselves."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from leaderboard.actions import organisers, roles
from leaderboard.models import Competition, Role

from .base import once
from .guarded import GuardedAdmin
from .reasons import PublicReasonForm, ask_for_reason


class OrganiserForm(PublicReasonForm):
    """Whom, and why."""

    username = forms.CharField(
        max_length=150, widget=UnfoldAdminTextInputWidget, help_text="The name of the person's account."
    )
    field_order: tuple[str, ...] = ("username", "reason", "withhold")


class RoleForm(OrganiserForm):
    """Whom, as what, and why."""

    kind = forms.ChoiceField(
        label="Role", choices=Role.Kind.choices, widget=UnfoldAdminSelectWidget, initial=Role.Kind.HELPER
    )
    field_order = ("username", "kind", "reason", "withhold")


class NamesOrganisers(GuardedAdmin):
    """A competition's page with the names and two buttons."""

    @display(description="organisers", empty_value="none yet")
    @once
    def organiser_names(self, competition: Competition) -> str | None:
        return ", ".join(map(str, competition.organisers.order_by("username"))) or None

    @display(description="helpers and jury", empty_value="none yet")
    @once
    def role_names(self, competition: Competition) -> str | None:
        roles = competition.roles.select_related("user").order_by("kind", "user__username")
        return ", ".join(f"{role.user} ({role.kind})" for role in roles) or None

    @action(description="Add a helper or juror", icon="person_add")
    def add_role(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Add a helper or juror of {competition}",
            explanation="Helpers answer and hide questions, edit pages and pictures, and see teams and method descriptions. "
            "The jury reads method descriptions and votes on the prizes that the committee gives. Neither sees labels or "
            "hidden scores, and neither may be in a competing team.",
            undo="Undo it with “Take the role away” at Helpers and jury.",
            button="Add",
            rows=competition.roles.select_related("user", "competition"),
            act=lambda **asked: roles.grant(request.user, competition, **asked),
            done=lambda role: f"{role}.",
            back=reverse("admin:leaderboard_competition_change", args=[object_id]),
            form_class=RoleForm,
        )

    @action(description="Add an organiser", icon="person_add")
    def add_organiser(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        return ask_for_reason(
            self,
            request,
            title=f"Add an organiser of {competition}",
            explanation="Organisers see every score, change phases and labels, judge submissions, and add and remove "
            "organisers. They cannot be in a competing team.",
            undo="Undo it with “Remove an organiser”; what the person has seen stays known.",
            button="Add",
            rows=competition.organisers.all(),
            act=lambda **asked: organisers.add_organiser(request.user, competition, **asked),
            done=lambda person: f"{person} organises {competition} now.",
            back=reverse("admin:leaderboard_competition_change", args=[object_id]),
            form_class=OrganiserForm,
        )

    @action(description="Remove an organiser", icon="person_remove")
    def remove_organiser(self, request: HttpRequest, object_id: int) -> HttpResponse:
        competition = get_object_or_404(self.get_queryset(request), pk=object_id)
        own = competition.organisers.filter(pk=request.user.pk).exists()
        return ask_for_reason(
            self,
            request,
            title=f"Remove an organiser of {competition}",
            explanation="The person then sees only what everybody sees. Their past actions stay in the log.",
            undo="Undo it with “Add an organiser”.",
            button="Remove",
            rows=competition.organisers.all(),
            act=lambda **asked: organisers.remove_organiser(request.user, competition, **asked),
            done=lambda person: f"{person} no longer organises {competition}.",
            back=reverse("pages:competition", args=[competition.slug])
            if own  # who has left the organisers may no longer enter the admin
            else reverse("admin:leaderboard_competition_change", args=[object_id]),
            form_class=OrganiserForm,
        )
