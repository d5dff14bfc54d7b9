"""Competitions and their phases."""

from datetime import datetime
from typing import Any

from django.conf import settings
from rest_framework import serializers

from evaluation.task import TASK
from leaderboard.actions.participation import terms_address
from leaderboard.models import Competition, LabelSet, Page, Phase, Terms


class LabelsSerializer(serializers.ModelSerializer):
    commitment = serializers.CharField(
        read_only=True,
        help_text="SHA-256 of a salt and the masks' SHA-256: commits to the labels without revealing them.",
    )

    class Meta:
        model = LabelSet
        fields = ["version", "commitment"]


class QuotasSerializer(serializers.ModelSerializer):
    total = serializers.IntegerField(source="quota_total", allow_null=True, help_text="Submissions in total.")
    per_day = serializers.IntegerField(
        source="quota_per_day", allow_null=True, help_text="Submissions per UTC day."
    )
    on_board = serializers.IntegerField(
        source="quota_on_board", allow_null=True, help_text="Results on the board at a time."
    )

    class Meta:
        model = Phase
        fields = ["total", "per_day", "on_board"]


class PhaseLinks(serializers.Serializer):
    self = serializers.HyperlinkedIdentityField(view_name="api:phase-detail")
    leaderboard = serializers.HyperlinkedIdentityField(view_name="api:phase-leaderboard")


class PhaseSerializer(serializers.ModelSerializer):
    competition: Any = serializers.SlugRelatedField("slug", read_only=True)
    is_open = serializers.SerializerMethodField(help_text="Whether submissions are accepted now.")
    uploads_end_at = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        help_text="Until when an upload that began before `closes_at` may finish. It counts as received when it began.",
    )
    quotas = QuotasSerializer(source="*", help_text="Per team; null: no limit.")
    visible_metrics = serializers.SerializerMethodField(help_text="The metrics that you may see now.")
    patches = serializers.IntegerField(
        source="labels.patches",
        allow_null=True,
        help_text=f"Masks in an archive: {TASK.mask_name(1)} to {TASK.mask_name('N')}.",
    )
    patch_height = serializers.IntegerField(source="labels.height", allow_null=True)
    patch_width = serializers.IntegerField(source="labels.width", allow_null=True)
    labels = LabelsSerializer(allow_null=True, help_text="The hidden labels in use now.")
    max_upload_bytes = serializers.SerializerMethodField()
    links = PhaseLinks(source="*")

    class Meta:
        model = Phase
        fields = [
            "id",
            "competition",
            "slug",
            "name",
            "summary",
            "opens_at",
            "closes_at",
            "grace_minutes",
            "uploads_end_at",
            "is_open",
            "quotas",
            "allows_withdrawal",
            "counts",
            "selected_limit",
            "visible_metrics",
            "feedback",
            "hidden_until_close",
            "freezes_at",
            "patches",
            "patch_height",
            "patch_width",
            "labels",
            "labels_public_since",
            "max_upload_bytes",
            "links",
        ]

    def get_is_open(self, phase: Phase) -> bool:
        return phase.accepts_submissions(self.context["viewpoint"].now)

    def get_visible_metrics(self, phase: Phase) -> list[str]:
        return sorted(self.context["viewpoint"].view(phase).metrics)

    def get_max_upload_bytes(self, phase: Phase) -> int:
        return settings.MAX_UPLOAD_BYTES


class PageSerializer(serializers.ModelSerializer):
    class Meta:
        model = Page
        fields = ["slug", "title", "body"]


class TermsSerializer(serializers.ModelSerializer):
    """The terms in force, and whether you accepted them."""

    accepted_at = serializers.SerializerMethodField(
        help_text="When you accepted this version; null: not yet."
    )
    address = serializers.SerializerMethodField(help_text="The page on which a person reads and accepts it.")

    class Meta:
        model = Terms
        fields = ["version", "body", "published_at", "accepted_at", "address"]

    def get_accepted_at(self, terms: Terms) -> datetime | None:
        return terms.accepted_at(self.context["viewpoint"].viewer)

    def get_address(self, terms: Terms) -> str:
        return terms_address(terms.competition)


class AcceptedVersionSerializer(serializers.Serializer):
    version = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, help_text="The version that was read."
    )


class CompetitionSerializer(serializers.ModelSerializer):
    phases = PhaseSerializer(many=True, read_only=True)
    pages = PageSerializer(many=True, read_only=True, help_text="Its pages, in Markdown.")
    url = serializers.HyperlinkedIdentityField(view_name="api:competition-detail", lookup_field="slug")
    awards = serializers.HyperlinkedIdentityField(view_name="api:competition-awards", lookup_field="slug")
    calendar = serializers.HyperlinkedIdentityField(
        view_name="pages:calendar",
        lookup_field="slug",
        help_text="The dates as an iCalendar file (RFC 5545), to subscribe to.",
    )

    class Meta:
        model = Competition
        fields = [
            "slug",
            "name",
            "summary",
            "data_note",
            "max_team_size",
            "roster_locks_at",
            "roster_reopens_at",
            "mergers_until",
            "descriptions_due_at",
            "approval_needed_from",
            "takes_questions",
            "phases",
            "pages",
            "url",
            "awards",
            "calendar",
        ]
