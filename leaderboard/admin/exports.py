"""The admin's lists as files. Columns are named one by one, so that no new field leaks hidden data."""

from typing import Any

from import_export import resources
from import_export.fields import Field
from import_export.formats import base_formats

from leaderboard.models import (
    Attempt,
    AuditEntry,
    Award,
    Evaluation,
    JoinRequest,
    Membership,
    Merger,
    MethodDescription,
    PublishedEntry,
    Submission,
    Team,
)
from leaderboard.reporting.spreadsheets import write_csv


class SafeCSV(base_formats.CSV):
    """CSV by RFC 4180 in which no cell is a formula."""

    def export_data(self, dataset: Any, **_: Any) -> str:
        return write_csv(dataset.headers or [], dataset)

    def can_import(self) -> bool:
        return False


FORMATS = [SafeCSV, base_formats.JSON]


class SubmissionResource(resources.ModelResource):
    competition = Field("phase__competition__slug")
    phase = Field("phase__slug")
    team = Field("team__name")
    submitted_by = Field("submitted_by__username")
    state = Field("evaluation__state")
    labels_version = Field("evaluation__label_set__version")
    scorer = Field("evaluation__scorer")
    tp = Field("evaluation__tp")
    fp = Field("evaluation__fp")
    fn = Field("evaluation__fn")

    class Meta:
        model = Submission
        fields = (
            "id", "competition", "phase", "team", "submitted_by", "method", "description", "link", "original_name",
            "size", "sha256", "received_at", "reference", "selected", "withdrawn_at", "disqualified_at",
            "disqualified_reason", "state", "labels_version", "scorer", "tp", "fp", "fn",
        )  # fmt: skip
        export_order = fields


class EvaluationResource(resources.ModelResource):
    competition = Field("submission__phase__competition__slug")
    phase = Field("submission__phase__slug")
    team = Field("submission__team__name")
    submission = Field("submission_id")
    labels_version = Field("label_set__version")

    class Meta:
        model = Evaluation
        fields = (
            "id", "competition", "phase", "team", "submission", "labels_version", "scorer", "state", "priority",
            "tries", "queued_at", "started_at", "finished_at", "tp", "fp", "fn", "incident",
        )  # fmt: skip
        export_order = fields


class AttemptResource(resources.ModelResource):
    competition = Field("phase__competition__slug")
    phase = Field("phase__slug")
    team = Field("team__name")
    submission = Field("submission_id")

    class Meta:
        model = Attempt
        import_id_fields = ("submission",)
        fields = (
            "submission",
            "competition",
            "phase",
            "team",
            "state",
            "reason",
            "reserved_at",
            "settled_at",
            "day",
        )
        export_order = fields


class TeamResource(resources.ModelResource):
    competition = Field("competition__slug")
    merged_into = Field("merged_into__name")

    class Meta:
        model = Team
        fields = ("id", "competition", "name", "affiliation", "is_organisers", "merged_into", "created_at")
        export_order = fields


class MembershipResource(resources.ModelResource):
    competition = Field("competition__slug")
    team = Field("team__name")
    username = Field("user__username")
    email = Field("user__email")
    affiliation = Field("user__affiliation")
    country = Field("user__country")

    class Meta:
        model = Membership
        fields = (
            "id",
            "competition",
            "team",
            "username",
            "email",
            "affiliation",
            "country",
            "role",
            "joined_at",
        )
        export_order = fields


class JoinRequestResource(resources.ModelResource):
    competition = Field("team__competition__slug")
    team = Field("team__name")
    username = Field("user__username")

    class Meta:
        model = JoinRequest
        fields = (
            "id",
            "competition",
            "team",
            "username",
            "message",
            "created_at",
            "decided_at",
            "accepted",
            "withdrawn",
        )
        export_order = fields


class MergerResource(resources.ModelResource):
    competition = Field("team__competition__slug")
    team = Field("team__name")
    other = Field("other__name")
    proposed_by = Field("proposed_by__username")

    class Meta:
        model = Merger
        fields = (
            "id",
            "competition",
            "team",
            "other",
            "proposed_by",
            "created_at",
            "decided_at",
            "accepted",
            "withdrawn",
        )
        export_order = fields


class MethodDescriptionResource(resources.ModelResource):
    competition = Field("team__competition__slug")
    team = Field("team__name")
    members = Field()
    uploaded_by = Field("uploaded_by__username")

    class Meta:
        model = MethodDescription
        import_id_fields = ("team",)
        fields = (
            "competition",
            "team",
            "members",
            "uploaded_by",
            "uploaded_at",
            "sha256",
            "verdict",
            "verdict_reason",
        )
        export_order = fields

    def dehydrate_members(self, description: MethodDescription) -> str:
        return ", ".join(description.members)


class AwardResource(resources.ModelResource):
    competition = Field("competition__slug")
    team = Field("team__name")

    class Meta:
        model = Award
        fields = ("id", "competition", "title", "team", "citation", "given_at")
        export_order = fields


class PublishedEntryResource(resources.ModelResource):
    competition = Field("phase__competition__slug")
    phase = Field("phase__slug")

    class Meta:
        model = PublishedEntry
        fields = (
            "id",
            "competition",
            "phase",
            "name",
            "method",
            "award",
            "precision",
            "recall",
            "f1",
            "source",
        )
        export_order = fields


class AuditEntryResource(resources.ModelResource):
    competition = Field("competition__slug")

    class Meta:
        model = AuditEntry
        fields = (
            "id", "at", "competition", "actor_name", "act", "subject", "reason", "details", "public", "previous",
            "digest",
        )  # fmt: skip
        export_order = fields
