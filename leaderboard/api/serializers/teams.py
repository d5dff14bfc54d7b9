"""A team as its members see it."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from leaderboard.actions.descriptions import why_not_eligible
from leaderboard.actions.participation import why_not_take_part
from leaderboard.actions.refusals import Refusal
from leaderboard.actions.submissions import why_not_submit
from leaderboard.models import Attempt, Extension, Membership, MethodDescription, Phase, QuotaUsage, Team

from .fields import Upload


class MemberSerializer(serializers.ModelSerializer):
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Membership
        fields = ["username", "role", "joined_at", "is_named"]


class OwnMembershipSerializer(serializers.ModelSerializer):
    """What a member decides about the own membership."""

    class Meta:
        model = Membership
        fields = ["is_named"]
        extra_kwargs = {
            "is_named": {
                "required": True,
                "help_text": "Whether your name may stand on the team's public page.",
            }
        }


class UsageSerializer(serializers.Serializer):
    """A team's quota usage in a phase, and whether it may submit now."""

    phase = serializers.IntegerField(source="phase.pk")
    name = serializers.CharField(source="phase.name")
    total = serializers.IntegerField(source="usage.total")
    total_limit = serializers.IntegerField(source="usage.total_limit", allow_null=True)
    today = serializers.IntegerField(source="usage.today")
    day_limit = serializers.IntegerField(source="usage.day_limit", allow_null=True)
    on_board = serializers.IntegerField(source="usage.on_board")
    board_limit = serializers.IntegerField(source="usage.board_limit", allow_null=True)
    remaining = serializers.IntegerField(
        source="usage.remaining", allow_null=True, help_text="Submissions left now; null: no limit."
    )
    closes_at = serializers.DateTimeField(
        source="phase.closes_at",
        allow_null=True,
        help_text="When the phase ends for this team; the organisers may have given it more time.",
    )
    may_submit = serializers.BooleanField()
    refusal = serializers.CharField(allow_null=True, help_text="Why it may not submit; null: it may.")
    refusal_code = serializers.CharField(allow_null=True, help_text="Its code, as in a problem.")
    next_at = serializers.DateTimeField(
        allow_null=True, help_text="When the next submission is accepted, if waiting is enough."
    )


class DescriptionSerializer(serializers.ModelSerializer):
    """The team's method description."""

    members = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="The members that it names."
    )
    unnamed_members = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Members who joined later: hand in a new one that names them.",
    )

    class Meta:
        model = MethodDescription
        fields = ["sha256", "members", "unnamed_members", "uploaded_at", "verdict", "verdict_reason"]
        read_only_fields = fields
        extra_kwargs = {
            "verdict": {"help_text": "ineligible: ruled out by the organisers; `verdict_reason` says why."},
        }


class NewDescriptionSerializer(serializers.Serializer):
    """A method description, as a multipart form."""

    file = Upload(help_text="A PDF of at most 5 MiB.")


class TeamSerializer(serializers.ModelSerializer):
    competition: Any = serializers.SlugRelatedField("slug", read_only=True)
    members = MemberSerializer(many=True, read_only=True, source="memberships")
    quotas = serializers.SerializerMethodField(help_text="One entry per phase.")
    approval = serializers.SerializerMethodField(
        help_text="What the organisers decided about the team; null: no approval is needed."
    )
    description = serializers.SerializerMethodField(help_text="The method description; null: none handed in.")
    eligible = serializers.SerializerMethodField(help_text="Whether the team can receive awards as it is.")
    why_not_eligible = serializers.CharField(
        source="why_not", read_only=True, help_text="The reason; empty if it is eligible."
    )

    class Meta:
        model = Team
        fields = [
            "id",
            "name",
            "affiliation",
            "competition",
            "members",
            "quotas",
            "approval",
            "description",
            "eligible",
            "why_not_eligible",
        ]

    def to_representation(self, team: Team) -> Any:
        team.why_not = why_not_eligible(team)  # type: ignore[attr-defined]
        return super().to_representation(team)

    @extend_schema_field(DescriptionSerializer(allow_null=True))
    def get_description(self, team: Team) -> Any:
        found = MethodDescription.objects.filter(team=team).defer("pdf").first()
        return found and DescriptionSerializer(found).data

    @extend_schema_field(serializers.ChoiceField(Team.Approval.values, allow_null=True))
    def get_approval(self, team: Team) -> str | None:
        return team.approval if team.needs_approval else None

    def get_eligible(self, team: Any) -> bool:
        return team.why_not == ""

    @extend_schema_field(UsageSerializer(many=True))
    def get_quotas(self, team: Team) -> Any:
        now = self.context["viewpoint"].now
        phases = Extension.objects.applied(team, team.competition.phases.with_labels())
        usages = Attempt.objects.usages(team, phases, now)
        taking_part = why_not_take_part(self.context["viewpoint"].viewer, team)
        rows = [usage_of(phase, usages[phase.pk], now, taking_part) for phase in phases]
        return UsageSerializer(rows, many=True).data


def usage_of(phase: Phase, usage: QuotaUsage, now: Any, taking_part: Refusal | None) -> dict[str, Any]:
    refusal = why_not_submit(phase, usage, now, taking_part)
    return {
        "phase": phase,
        "usage": usage,
        "may_submit": refusal is None,
        "refusal": refusal and refusal.message,
        "refusal_code": refusal and refusal.code,
        "next_at": refusal and refusal.facts.get("next_at"),
    }
