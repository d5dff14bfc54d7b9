"""Competitions and their phases."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from evaluation.task import TASK, MaskSpec
from leaderboard.actions.participation import terms_address
from leaderboard.models import Announcement, Competition, DataFile, LabelSet, Page, Phase, Terms


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


class FormatSerializer(serializers.Serializer):
    """What an archive must hold: enough to write one."""

    container = serializers.CharField(help_text="The kind of the archive. The files lie at its top level.")
    files = serializers.IntegerField(help_text="How many files it holds.")
    first_number = serializers.IntegerField(help_text="The number of the first file; the others follow.")
    file_name = serializers.CharField(help_text="The name of a file, with its number instead of `{number}`.")
    file_format = serializers.CharField(help_text="The format of each file.")
    dataset = serializers.CharField(help_text="The name of the one dataset in each file.")
    dtype = serializers.CharField(help_text="The type of its elements, as NumPy names it.")
    shape = serializers.ListField(child=serializers.IntegerField(), help_text="Its shape: height, width.")
    values = serializers.ListField(
        child=serializers.IntegerField(),
        help_text="The values that a pixel may have, in the order of `classes`.",
    )
    classes = serializers.ListField(child=serializers.CharField(), help_text="What each value means.")


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
    format = serializers.SerializerMethodField(
        help_text="What an archive must hold, enough to write one; null: not known before there are labels."
    )
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
            "format",
            "labels",
            "labels_public_since",
            "max_upload_bytes",
            "links",
        ]

    def get_is_open(self, phase: Phase) -> bool:
        return phase.accepts_submissions(self.context["viewpoint"].now)

    def get_visible_metrics(self, phase: Phase) -> list[str]:
        return sorted(self.context["viewpoint"].view(phase).metrics)

    @extend_schema_field(FormatSerializer(allow_null=True))
    def get_format(self, phase: Phase) -> Any:
        labels = phase.labels
        return labels and TASK.archive_format(MaskSpec(labels.patches, labels.height, labels.width))

    def get_max_upload_bytes(self, phase: Phase) -> int:
        return settings.MAX_UPLOAD_BYTES


class AnnouncementSerializer(serializers.ModelSerializer):
    published_at = serializers.DateTimeField(
        source="publish_at", read_only=True, help_text="When it appeared."
    )
    url = serializers.SerializerMethodField(help_text="Its place on the competition's page.")

    class Meta:
        model = Announcement
        fields = ["id", "title", "body", "published_at", "url"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, announcement: Announcement) -> str:
        page = reverse("pages:announcements", args=[announcement.competition.slug])
        return self.context["request"].build_absolute_uri(f"{page}#announcement-{announcement.pk}")


class DataFileSerializer(serializers.ModelSerializer):
    phase: Any = serializers.SlugRelatedField(
        "slug", read_only=True, allow_null=True, help_text="The slug of the phase that it belongs to."
    )
    url = serializers.SerializerMethodField(help_text="Where to download it, also with `Range`.")

    class Meta:
        model = DataFile
        fields = ["name", "note", "phase", "size", "sha256", "url"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, file: DataFile) -> str:
        path = reverse("api:competition-data-file", args=[file.competition.slug, file.name])
        return self.context["request"].build_absolute_uri(path)


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
    data_files = serializers.HyperlinkedIdentityField(view_name="api:competition-data", lookup_field="slug")
    announcements = serializers.HyperlinkedIdentityField(
        view_name="api:announcement-list", lookup_field="slug"
    )
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
            "data_files",
            "announcements",
            "calendar",
        ]
