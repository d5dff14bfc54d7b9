"""A team's webhook."""

from rest_framework import serializers

from leaderboard.models import Webhook, WebhookEvent


class WebhookSerializer(serializers.ModelSerializer):
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=WebhookEvent.choices),
        read_only=True,
        help_text="For what it is called.",
    )
    waiting = serializers.IntegerField(
        source="calls.count", read_only=True, help_text="Calls that wait for their next try."
    )

    class Meta:
        model = Webhook
        fields = [
            *("url", "events", "is_active", "created_at", "last_at", "last_ok", "last_result"),
            *("failing_since", "old_secret_until", "waiting"),
        ]
        read_only_fields = fields
        extra_kwargs = {
            "is_active": {
                "help_text": "False: switched off after three days of failures. PUT switches it on."
            },
            "last_ok": {"help_text": "Whether the last call was accepted with a status of 200 to 299."},
            "last_result": {"help_text": "What came of the last call, for people."},
            "failing_since": {"help_text": "Since when no call was accepted; null: none failed."},
            "old_secret_until": {"help_text": "Until when the secret before the last change signs too."},
        }


class WebhookWithSecretSerializer(WebhookSerializer):
    secret = serializers.CharField(
        read_only=True, help_text="Signs the calls. Only in the answer that makes it; empty if it is not new."
    )

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]
        read_only_fields = fields


class NewWebhookSerializer(serializers.Serializer):
    url = serializers.CharField(max_length=500, help_text="https, on the public internet.")
    events = serializers.ListField(
        child=serializers.ChoiceField(choices=WebhookEvent.choices),
        required=False,
        allow_empty=False,
        help_text="For what it is called. Left out: for all, or as before.",
    )
