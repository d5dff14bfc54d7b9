"""Join requests, invitations and offers to merge."""

from typing import Any

from rest_framework import serializers

from leaderboard.models import Competition, Invitation, JoinRequest, Merger, Team

from .fields import LARGEST_ID, ChosenById, ChosenBySlug, FromRequest


class TeamLine(serializers.ModelSerializer):
    """A team as any logged-in person sees it."""

    competition: Any = serializers.SlugRelatedField("slug", read_only=True)

    class Meta:
        model = Team
        fields = ["id", "name", "affiliation", "competition"]
        read_only_fields = fields


class TeamFilterSerializer(serializers.Serializer):
    """Which teams."""

    competition = serializers.SlugField(required=False, help_text="Only teams of this competition.")


def competing(user: Any) -> Any:
    """The teams that a person may ask: the competing ones of all visible competitions."""
    seen = Competition.objects.visible_to(user)
    return Team.objects.competing().filter(competition__in=seen).select_related("competition")


def own(user: Any) -> Any:
    return Team.objects.of(user).select_related("competition")


class NewTeamSerializer(FromRequest, serializers.ModelSerializer):
    competition = ChosenBySlug(slug_field="slug", queryset=Competition.objects.none())

    class Meta:
        model = Team
        fields = ["competition", "name", "affiliation"]
        validators: list[Any] = []  # the action reports it

    def choices(self, user: Any) -> dict[str, Any]:
        return {"competition": Competition.objects.visible_to(user)}


class TeamChangesSerializer(serializers.ModelSerializer):
    class Meta:
        model = Team
        fields = ["name", "affiliation"]
        extra_kwargs = {"name": {"required": False}, "affiliation": {"required": False}}


class MemberNameSerializer(serializers.Serializer):
    username = serializers.CharField(max_length=150, help_text="A member of the team.")


class JoinRequestSerializer(serializers.ModelSerializer):
    team = TeamLine(read_only=True)
    username = serializers.CharField(source="user.username", read_only=True, help_text="The person who asks.")

    class Meta:
        model = JoinRequest
        fields = ["id", "team", "username", "message", "created_at", "decided_at", "accepted", "withdrawn"]
        read_only_fields = fields


class NewJoinRequestSerializer(FromRequest, serializers.ModelSerializer):
    team = ChosenById(queryset=Team.objects.none(), help_text="The team's id.")

    class Meta:
        model = JoinRequest
        fields = ["team", "message"]
        validators: list[Any] = []

    def choices(self, user: Any) -> dict[str, Any]:
        return {"team": competing(user)}


class InvitationSerializer(serializers.ModelSerializer):
    team = TeamLine(read_only=True)
    email = serializers.CharField(read_only=True, help_text="Where it was sent; empty: not sent.")

    class Meta:
        model = Invitation
        fields = ["id", "team", "email", "created_at", "expires_at"]
        read_only_fields = fields


class MadeInvitationSerializer(InvitationSerializer):
    token = serializers.CharField(read_only=True, help_text="It is not shown again.")
    link = serializers.URLField(read_only=True, help_text="The link for the invited person.")

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "token", "link"]
        read_only_fields = fields


class NewInvitationSerializer(FromRequest, serializers.ModelSerializer):
    team = ChosenById(queryset=Team.objects.none(), help_text="The id of your team.")

    class Meta:
        model = Invitation
        fields = ["team", "email"]

    def choices(self, user: Any) -> dict[str, Any]:
        return {"team": own(user)}


class InvitationTokenSerializer(serializers.Serializer):
    token = serializers.CharField(max_length=200, help_text="The part after `invitation=` in the link.")


class MergerSerializer(serializers.ModelSerializer):
    team = TeamLine(read_only=True, help_text="The team that takes the other one in.")
    other = TeamLine(read_only=True, help_text="The team that becomes part of `team`.")

    class Meta:
        model = Merger
        fields = ["id", "team", "other", "created_at", "decided_at", "accepted", "withdrawn"]
        read_only_fields = fields


class NewMergerSerializer(FromRequest, serializers.ModelSerializer):
    team = ChosenById(queryset=Team.objects.none(), help_text="The id of your team.")
    other = ChosenById(queryset=Team.objects.none(), help_text="The id of the team to take in.")

    class Meta:
        model = Merger
        fields = ["team", "other"]
        validators: list[Any] = []

    def choices(self, user: Any) -> dict[str, Any]:
        return {"team": own(user), "other": competing(user)}


class OpenSerializer(serializers.Serializer):
    """Filters of a list."""

    open = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="true: only those awaiting a decision."
    )
    team = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="Only those about this team."
    )
