"""Tokens and the account."""

from rest_framework import serializers

from leaderboard.models import ApiToken


class TokenSerializer(serializers.ModelSerializer):
    prefix = serializers.CharField(source="token_key", help_text="The first characters: they identify it.")
    expires_at = serializers.DateTimeField(source="expiry", allow_null=True)

    class Meta:
        model = ApiToken
        fields = ["prefix", "name", "created", "expires_at"]
        read_only_fields = fields


class CreatedTokenSerializer(TokenSerializer):
    token = serializers.CharField(read_only=True, help_text="The token itself. It is not shown again.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class NewTokenSerializer(serializers.ModelSerializer):
    days = serializers.IntegerField(
        required=False, min_value=1, max_value=3650, help_text="Days until it expires."
    )

    class Meta:
        model = ApiToken
        fields = ["name", "days"]
        extra_kwargs = {"name": {"required": True}}


class PasswordSerializer(serializers.Serializer):
    password = serializers.CharField(trim_whitespace=False, max_length=4096)
