"""A team as everybody sees it: its places and its results over time."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from leaderboard.models import Team

from .boards import ReferenceSerializer
from .fields import Fraction


class ResultSerializer(serializers.Serializer):
    at = serializers.DateTimeField(help_text="When the submission was received.")
    f1 = serializers.FloatField(
        help_text="F1 with which the team stood on the board from then on, as a fraction of 1."
    )


class PlaceOnBoardSerializer(serializers.Serializer):
    """A team on the board of a phase."""

    phase = serializers.IntegerField(source="phase.pk", help_text="The phase's id.")
    slug = serializers.CharField(source="phase.slug", help_text="The phase's slug.")
    rank = serializers.IntegerField(source="row.rank", help_text="Its rank now.")
    teams = serializers.IntegerField(source="total", help_text="How many teams are ranked.")
    method = serializers.CharField(
        source="row.submission.method", help_text="The method of the submission that counts."
    )
    submission = serializers.IntegerField(source="row.submission.pk", help_text="Its id.")
    f1 = Fraction(source="row.scores.f1", help_text="F1 as a fraction of 1.")
    precision = Fraction(
        source="row.scores.precision", help_text="Precision as a fraction of 1; null: hidden."
    )
    recall = Fraction(source="row.scores.recall", help_text="Recall as a fraction of 1; null: hidden.")
    entries = serializers.IntegerField(source="row.entries", help_text="Number of scored submissions.")
    history = serializers.SerializerMethodField(
        help_text="Its results, oldest first; empty where only the current result is public."
    )

    @extend_schema_field(ResultSerializer(many=True))
    def get_history(self, place: Any) -> Any:
        return ResultSerializer([{"at": at, "f1": f1 / 100} for at, f1 in place.history], many=True).data


class ReferencePlaceSerializer(ReferenceSerializer):
    """An organisers' entry on the board of a phase."""

    phase = serializers.IntegerField(help_text="The phase's id.")


class TeamHistorySerializer(serializers.ModelSerializer):
    competition: Any = serializers.SlugRelatedField(
        "slug", read_only=True, help_text="The competition's slug."
    )
    members = serializers.SerializerMethodField(help_text="The members who agreed to be named, by user name.")
    places = serializers.SerializerMethodField(
        help_text="Its place in each phase where it stands on the board."
    )
    reference = serializers.SerializerMethodField(help_text="Entries of the organisers' own team.")

    class Meta:
        model = Team
        fields = ["id", "name", "affiliation", "competition", "members", "places", "reference"]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_members(self, team: Team) -> list[str]:
        named = team.memberships.filter(is_named=True).select_related("user")
        return [membership.user.username for membership in named]

    @extend_schema_field(PlaceOnBoardSerializer(many=True))
    def get_places(self, team: Team) -> Any:
        return PlaceOnBoardSerializer(self.context["public"].places, many=True).data

    @extend_schema_field(ReferencePlaceSerializer(many=True))
    def get_reference(self, team: Team) -> Any:
        found = self.context["public"].references
        return [{**ReferenceSerializer(row).data, "phase": phase.pk} for phase, row in found]
