"""The shape of every error."""

from rest_framework import serializers


class Problem(serializers.Serializer):
    """Any error: application/problem+json."""

    type = serializers.CharField()
    title = serializers.CharField(help_text="The status in words.")
    status = serializers.IntegerField()
    code = serializers.CharField(help_text="For programs, e.g. quota_used_up.")
    detail = serializers.CharField(help_text="A sentence for people.")
    errors = serializers.DictField(  # type: ignore[assignment]
        required=False, help_text="Messages for each field of the request."
    )
    next_at = serializers.DateTimeField(
        required=False, help_text="When the same request can succeed. Absent: waiting does not help."
    )
    submission = serializers.IntegerField(
        required=False, help_text="The earlier submission that stands in the way."
    )
    address = serializers.URLField(
        required=False, help_text="Where a person removes what stands in the way, such as terms to accept."
    )
    scopes = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="With code insufficient_scope: the token lacks these; one is enough unless `detail` asks for all.",
    )
    incident = serializers.CharField(required=False, help_text="With status 500: please report it.")
