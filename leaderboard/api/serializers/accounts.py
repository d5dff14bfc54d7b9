"""Tokens and the account."""

from typing import Any

from rest_framework import serializers

from leaderboard.models import ApiToken, Competition, NoticeKind, Scope

from .fields import ChosenBySlug, FromRequest


class TokenSerializer(serializers.ModelSerializer):
    prefix = serializers.CharField(source="token_key", help_text="The first characters: they identify it.")
    expires_at = serializers.DateTimeField(source="expiry", allow_null=True)
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices), read_only=True)
    competition: Any = serializers.SlugRelatedField(
        "slug",
        read_only=True,
        allow_null=True,
        help_text="The only competition in which it works; null: all.",
    )

    class Meta:
        model = ApiToken
        fields = [
            *("prefix", "name", "note", "scopes", "competition", "created", "expires_at"),
            *("last_used_at", "last_used_from"),
        ]
        read_only_fields = fields


class CreatedTokenSerializer(TokenSerializer):
    token = serializers.CharField(read_only=True, help_text="The token itself. It is not shown again.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class NewTokenSerializer(FromRequest, serializers.ModelSerializer):
    scopes = serializers.MultipleChoiceField(
        choices=Scope.choices,
        allow_empty=False,
        help_text="What it may be used for. `submit` sees your own submissions too.",
    )
    competition = ChosenBySlug(
        "slug",
        queryset=Competition.objects.none(),
        required=False,
        help_text="The slug of the only competition in which it works. Without it: all.",
    )
    days = serializers.IntegerField(
        required=False, min_value=1, max_value=3650, help_text="Days until it expires."
    )

    class Meta:
        model = ApiToken
        fields = ["name", "scopes", "competition", "days", "note"]
        extra_kwargs = {"name": {"required": True}}

    def choices(self, user: Any) -> dict[str, Any]:
        return {"competition": Competition.objects.visible_to(user)}


class PasswordSerializer(serializers.Serializer):
    password = serializers.CharField(trim_whitespace=False, max_length=4096)


class NotificationsSerializer(serializers.Serializer):
    """Whether the person gets each kind of mail."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return {
            kind.value: serializers.BooleanField(required=False, help_text=kind.label) for kind in NoticeKind
        }
