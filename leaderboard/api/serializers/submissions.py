"""Submissions and the ledger of attempts."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from evaluation.archive.problems import MOST_NAMED
from evaluation.task import TASK
from leaderboard.models import Attempt, Evaluation, Phase, Submission
from leaderboard.models.visibility import Viewpoint
from leaderboard.scoring.waiting import expected_waits

from .fields import LARGEST_ID, ChosenById, Fraction, SearchText, Upload


class SubmitSerializer(serializers.ModelSerializer):
    """A new submission: a multipart form with the archive, or JSON with the address of a finished upload."""

    phase = ChosenById(queryset=Phase.objects.none(), help_text="The phase's id.")
    archive = Upload(
        required=False,
        help_text=f"The ZIP archive: {TASK.mask_name(1)} to {TASK.mask_name('N')} at its top level.",
    )
    upload = serializers.CharField(
        required=False,
        max_length=500,
        help_text="Instead of `archive`: the `Location` of a finished upload (tus).",
    )
    allow_duplicate = serializers.BooleanField(
        default=False, help_text="Submit even if your team has submitted the same bytes to this phase."
    )

    class Meta:
        model = Submission
        fields = [
            "phase",
            "archive",
            "upload",
            "method",
            "description",
            "link",
            "reference",
            "allow_duplicate",
        ]

    def validate(self, asked: dict[str, Any]) -> dict[str, Any]:
        if ("archive" in asked) == ("upload" in asked):
            raise serializers.ValidationError(
                {"archive": ["Send either the file `archive` or the address `upload`."]}
            )
        return asked

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        fields["archive"].required = "upload" not in getattr(self, "initial_data", ())
        if request := self.context.get("request"):
            fields["phase"].queryset = Phase.objects.visible_to(request.user).with_labels()  # type: ignore[attr-defined]
        return fields


class ProblemOfArchive(serializers.Serializer):
    code = serializers.CharField()
    file = serializers.CharField(help_text="The first file with this problem; empty: the archive as a whole.")
    message = serializers.CharField()
    count = serializers.IntegerField(help_text="How many files have this problem.")
    files = serializers.ListField(
        child=serializers.CharField(), help_text=f"Their names, at most {MOST_NAMED} of them."
    )


class SubmissionAttemptSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attempt
        fields = ["state", "reason"]


class PlaceSerializer(serializers.Serializer):
    place = serializers.IntegerField(help_text="1: next in line.")
    expected_seconds = serializers.FloatField()


class CountsSerializer(serializers.Serializer):
    tp = serializers.IntegerField()
    fp = serializers.IntegerField()
    fn = serializers.IntegerField()


class PatchScoresSerializer(serializers.Serializer):
    """One value per patch, in the order of the patches."""

    submission = serializers.IntegerField(source="submission.pk", help_text="The submission's id.")
    labels_version = serializers.IntegerField(
        source="submission.evaluation.label_set.version", help_text="The version of the labels compared with."
    )
    f1 = serializers.ListField(
        child=serializers.FloatField(allow_null=True),
        source="scores.f1",
        help_text="F1 of each patch as a fraction of 1; null where neither mask nor label has a pixel.",
    )
    tp = serializers.ListField(
        child=serializers.IntegerField(),
        source="scores.tp",
        allow_null=True,
        help_text="True positives; null: hidden.",
    )
    fp = serializers.ListField(
        child=serializers.IntegerField(),
        source="scores.fp",
        allow_null=True,
        help_text="False positives; null: hidden.",
    )
    fn = serializers.ListField(
        child=serializers.IntegerField(),
        source="scores.fn",
        allow_null=True,
        help_text="False negatives; null: hidden.",
    )

    def to_representation(self, found: Any) -> Any:
        shown = super().to_representation(found)
        return {**shown, "f1": [None if value != value else value for value in shown["f1"]]}


class SubmissionLinks(serializers.Serializer):
    self = serializers.HyperlinkedIdentityField(view_name="api:submission-detail")
    withdraw = serializers.HyperlinkedIdentityField(view_name="api:submission-withdraw")
    select = serializers.HyperlinkedIdentityField(view_name="api:submission-select")
    receipt = serializers.HyperlinkedIdentityField(view_name="api:submission-receipt")
    archive = serializers.HyperlinkedIdentityField(view_name="api:submission-archive")
    counts = serializers.HyperlinkedIdentityField(view_name="api:submission-counts")
    note = serializers.HyperlinkedIdentityField(view_name="api:submission-note")
    phase = serializers.HyperlinkedIdentityField(
        view_name="api:phase-detail", lookup_field="phase_id", lookup_url_kwarg="pk"
    )
    leaderboard = serializers.HyperlinkedIdentityField(
        view_name="api:phase-leaderboard", lookup_field="phase_id", lookup_url_kwarg="pk"
    )


class SubmissionList(serializers.ListSerializer):
    """Reads the queue once for the whole list."""

    def to_representation(self, submissions: Any) -> Any:
        self.context["waits"] = expected_waits(each.evaluation for each in submissions)  # type: ignore[index]
        return super().to_representation(submissions)


class SubmissionSerializer(serializers.ModelSerializer):
    team: Any = serializers.SlugRelatedField("name", read_only=True)
    link = serializers.CharField(read_only=True, help_text="To a paper or code; may be empty.")
    state = serializers.ChoiceField(
        choices=Evaluation.State.choices, read_only=True, help_text="The last three are final."
    )
    precision = Fraction(source="scores.precision")
    recall = Fraction(source="scores.recall")
    f1 = Fraction(source="scores.f1")
    counts = serializers.SerializerMethodField(
        help_text="True positives, false positives, false negatives; organisers only."
    )
    problems = ProblemOfArchive(many=True, source="evaluation.found_problems", default=list, read_only=True)
    incident = serializers.CharField(
        source="evaluation.incident", read_only=True, default="", help_text="Set after a server error."
    )
    attempt = SubmissionAttemptSerializer(
        allow_null=True, read_only=True, help_text="What it uses of the quota; null: nothing."
    )
    queue = serializers.SerializerMethodField(help_text="While it waits; otherwise null.")
    labels_version = serializers.IntegerField(source="evaluation.label_set.version", read_only=True)
    scorer = serializers.CharField(source="evaluation.scorer", read_only=True)
    finished_at = serializers.DateTimeField(source="evaluation.finished_at", read_only=True, allow_null=True)
    links = SubmissionLinks(source="*", read_only=True)

    class Meta:
        model = Submission
        list_serializer_class = SubmissionList
        fields = [
            "id",
            "phase",
            "team",
            "method",
            "description",
            "link",
            "reference",
            "state",
            "precision",
            "recall",
            "f1",
            "counts",
            "problems",
            "incident",
            "attempt",
            "queue",
            "selected",
            "withdrawn_at",
            "disqualified_at",
            "disqualified_reason",
            "received_at",
            "completed_at",
            "finished_at",
            "original_name",
            "size",
            "sha256",
            "labels_version",
            "scorer",
            "links",
        ]
        read_only_fields = fields

    def to_representation(self, submission: Submission) -> Any:
        viewpoint: Viewpoint = self.context["viewpoint"]
        submission.scores = viewpoint.scores(submission)  # type: ignore[attr-defined]
        return super().to_representation(submission)

    @extend_schema_field(CountsSerializer(allow_null=True))
    def get_counts(self, submission: Any) -> Any:
        counts = submission.scores.counts
        return dict(zip(("tp", "fp", "fn"), counts, strict=True)) if counts else None

    @extend_schema_field(PlaceSerializer(allow_null=True))
    def get_queue(self, submission: Submission) -> Any:
        waits = self.context["waits"] if "waits" in self.context else expected_waits([submission.evaluation])
        wait = waits.get(submission.evaluation_id or 0)
        return wait and {"place": wait[0], "expected_seconds": round(wait[1], 1)}


class FilterSerializer(serializers.Serializer):
    """Which submissions."""

    phase = serializers.RegexField(
        r"^([1-9][0-9]{0,17}|[a-zA-Z_-][a-zA-Z0-9_-]{0,49})$",
        required=False,
        help_text="Only this phase: its id or slug.",
    )
    state = serializers.ChoiceField(
        required=False, choices=Evaluation.State.choices, help_text="Only this state."
    )
    method = SearchText(required=False, max_length=80, help_text="Only with exactly this method name.")
    sha256 = serializers.RegexField(
        r"^[0-9a-f]{64}$", required=False, help_text="Only archives with this SHA-256, in lower case."
    )
    received_since = serializers.DateTimeField(required=False, help_text="Only received then or later.")
    received_until = serializers.DateTimeField(required=False, help_text="Only received before then.")
    tag = SearchText(
        required=False,
        max_length=30,
        help_text="Only those whose note has this tag of your team.",
    )
    withdrawn = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="Only withdrawn ones, or only others."
    )


class AttemptFilterSerializer(serializers.Serializer):
    """Which attempts."""

    phase = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="Only this phase."
    )


class SelectSerializer(serializers.Serializer):
    selected = serializers.BooleanField(help_text="true: it counts; false: it does not.")


class AttemptSerializer(serializers.ModelSerializer):
    submission = serializers.IntegerField(source="submission_id", read_only=True)
    team: Any = serializers.SlugRelatedField("name", read_only=True)
    completed_at = serializers.DateTimeField(
        source="submission.completed_at",
        read_only=True,
        allow_null=True,
        help_text="When the last byte arrived; `reserved_at` is when the upload began.",
    )
    holds_total = serializers.SerializerMethodField(help_text="Whether it counts towards the phase's total.")
    holds_day = serializers.SerializerMethodField(help_text="Whether it counts towards the daily quota.")
    holds_board = serializers.SerializerMethodField(help_text="Whether it holds a place on the board.")

    class Meta:
        model = Attempt
        fields = [
            "submission",
            "phase",
            "team",
            "state",
            "reason",
            "reserved_at",
            "completed_at",
            "settled_at",
            "day",
            "holds_total",
            "holds_day",
            "holds_board",
        ]
        read_only_fields = fields

    def get_holds_total(self, attempt: Attempt) -> bool:
        return attempt.total_slot is not None

    def get_holds_day(self, attempt: Attempt) -> bool:
        return attempt.day_slot is not None

    def get_holds_board(self, attempt: Attempt) -> bool:
        return attempt.board_slot is not None
