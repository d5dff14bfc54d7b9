"""Helpers and jurors of competitions, and the jury's votes."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from unfold.decorators import action

from leaderboard.actions import roles
from leaderboard.models import JuryVote, Role

from .base import Exported, OrganiserAdmin, ScopedRelatedFilter, Who
from .exports import resource
from .reasons import PublicReasonForm, ask_for_reason


@admin.register(Role)
class RoleAdmin(OrganiserAdmin):
    """Added on the competition's page; taken away here, with a reason."""

    adds = changes = deletes = Who.NOBODY
    list_display = ("user", "kind", "competition", "granted_by", "granted_at")
    list_filter = (("competition", ScopedRelatedFilter), "kind")
    list_select_related = ("user", "competition", "granted_by")
    search_fields = ("user__username",)
    ordering = ("-pk",)
    fields = readonly_fields = ("user", "kind", "competition", "granted_by", "granted_at")
    actions_detail = ("revoke",)

    @action(description="Take the role away", icon="person_remove")
    def revoke(self, request: HttpRequest, object_id: int) -> HttpResponse:
        role = get_object_or_404(
            self.get_queryset(request).select_related("competition", "user"), pk=object_id
        )
        return ask_for_reason(
            self,
            request,
            title=f"Take the role away: {role}",
            explanation="The person then sees only what everybody sees. Votes and past acts stay.",
            undo="Undo it with “Add a helper or juror” on the competition's page.",
            button="Take it away",
            rows=[role],
            act=lambda **asked: roles.revoke(request.user, role, **asked),
            done=lambda _: f"{role.user} is no longer {role.kind} of {role.competition}.",
            back=reverse("admin:leaderboard_role_changelist"),
            form_class=PublicReasonForm,
        )


@admin.register(JuryVote)
class JuryVoteAdmin(Exported, OrganiserAdmin):
    """Who voted for whom, and why."""

    adds = changes = deletes = Who.NOBODY
    resource_classes = [resource(JuryVote)]
    list_display = ("prize", "team", "juror", "reason", "voted_at")
    list_filter = (("prize__competition", ScopedRelatedFilter),)
    list_select_related = ("prize", "team", "juror")
    search_fields = ("team__name", "juror__username", "reason")
    ordering = ("-pk",)
    fields = readonly_fields = ("prize", "team", "juror", "reason", "voted_at")
