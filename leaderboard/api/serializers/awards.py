"""Awards and prizes."""

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from leaderboard.models import Award, Prize


class AwardSerializer(serializers.ModelSerializer):
    team: Any = serializers.SlugRelatedField("name", read_only=True)
    certificate = serializers.SerializerMethodField(help_text="A page to print or to save as PDF.")

    class Meta:
        model = Award
        fields = ["title", "team", "citation", "given_at", "certificate"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_certificate(self, award: Award) -> str:
        path = reverse("pages:certificate", args=[award.competition.slug, award.title])
        return self.context["request"].build_absolute_uri(path)


class PrizeSerializer(serializers.ModelSerializer):
    phase: Any = serializers.SlugRelatedField("slug", read_only=True, allow_null=True)
    rank = serializers.IntegerField(
        allow_null=True, help_text="Among the eligible teams of the phase; null: the committee chooses."
    )

    class Meta:
        model = Prize
        fields = ["title", "phase", "rank", "note"]
        read_only_fields = fields


class WinnersSerializer(serializers.Serializer):
    awards = AwardSerializer(many=True, help_text="The awards given, first prize first.")
    waiting = PrizeSerializer(many=True, help_text="Not given yet.")
