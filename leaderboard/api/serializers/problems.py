"""The one shape of an error."""

from rest_framework import serializers


class Problem(serializers.Serializer):
    """Any error: application/problem+json."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="What a program can act on, e.g. quota_used_up.")
    detail = serializers.CharField(help_text="A sentence for a person.")
    errors = serializers.DictField(  # type: ignore[assignment]
        required=False, help_text="Sentences for each field of the request."
    )
    next_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="With status 429: when it can be tried again; null when not by waiting alone.",
    )
    incident = serializers.CharField(required=False, help_text="With status 500: tell it to the organisers.")
