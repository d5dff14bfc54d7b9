"""Boards and their rows."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from leaderboard.models import PublishedEntry

from .fields import Fraction, Percent


class RowSerializer(serializers.Serializer):
    rank = serializers.IntegerField(help_text="Teams with equal F1 share a rank.")
    team = serializers.CharField()
    team_id = serializers.IntegerField()
    submission = serializers.IntegerField(
        source="submission.pk", help_text="The id of the submission that counts."
    )
    f1 = Fraction(source="scores.f1")
    precision = Fraction(source="scores.precision")
    recall = Fraction(source="scores.recall")
    entries = serializers.IntegerField(help_text="Number of scored submissions.")
    date = serializers.DateTimeField(
        source="achieved_at", help_text="When the submission that counts was received."
    )


class ReferenceSerializer(RowSerializer):
    rank = serializers.IntegerField(allow_null=True, help_text="Always null: a reference entry has no rank.")
    method = serializers.CharField(source="submission.method")


class PublishedSerializer(serializers.ModelSerializer):
    f1 = Percent()
    precision = Percent(allow_null=True)
    recall = Percent(allow_null=True)

    class Meta:
        model = PublishedEntry
        fields = ["name", "method", "award", "f1", "precision", "recall", "source"]


class WindowSerializer(serializers.Serializer):
    """Which rows of a board."""

    limit = serializers.IntegerField(min_value=1, max_value=500, default=100)
    offset = serializers.IntegerField(min_value=0, max_value=10_000_000, default=0)


class BoardSerializer(serializers.Serializer):
    phase = serializers.IntegerField(source="phase.pk")
    version = serializers.IntegerField(
        source="phase.board_version", help_text="Increases with each change of the board."
    )
    data_note = serializers.CharField(
        source="phase.competition.data_note", help_text="Which data the scores are based on."
    )
    labels_public_since = serializers.DateField(source="phase.labels_public_since", allow_null=True)
    hidden = serializers.SerializerMethodField(help_text="Whether the phase hides its board from you now.")
    frozen = serializers.BooleanField(source="is_frozen", help_text="Whether the board is frozen now.")
    count = serializers.IntegerField(source="total", help_text="All ranked teams, also beyond `rows`.")
    rows = serializers.SerializerMethodField(help_text="Best first.")
    reference = ReferenceSerializer(
        many=True, source="references", help_text="The organisers' own entries, unranked."
    )
    published = PublishedSerializer(
        many=True, help_text="From publications, on the original data: not scored here, unranked."
    )
    next = serializers.SerializerMethodField(help_text="URL of the next rows; null: no more rows.")

    def get_hidden(self, board: Any) -> bool:
        return board.view.board is None

    @extend_schema_field(RowSerializer(many=True))
    def get_rows(self, board: Any) -> Any:
        return RowSerializer(board.rows or [], many=True).data

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_next(self, board: Any) -> str | None:
        return self.context["next"]
