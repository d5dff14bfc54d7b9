"""What the API takes and shows. Times are UTC; scores are fractions of 1, null where the viewer may not see them."""

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from leaderboard.actions.refusals import Refusal
from leaderboard.actions.submissions import check_may_submit
from leaderboard.models import (
    ApiToken,
    Attempt,
    Competition,
    Evaluation,
    LabelSet,
    Membership,
    Page,
    Phase,
    PublishedEntry,
    Submission,
    Team,
)
from leaderboard.models.visibility import Ratio, Viewpoint
from leaderboard.waiting import expected_waits

LARGEST_ID = 2**63 - 1


class Fraction(serializers.FloatField):
    """A metric as a fraction of 1; null where it is hidden."""

    def __init__(self, **options: Any) -> None:
        super().__init__(read_only=True, allow_null=True, **options)

    def to_representation(self, ratio: Ratio) -> float:  # type: ignore[override]
        return ratio.value


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


# Competitions and phases


class LabelsSerializer(serializers.ModelSerializer):
    commitment = serializers.CharField(
        read_only=True,
        help_text="SHA-256 of salt and masks' SHA-256: fixes the labels, tells nothing of them.",
    )

    class Meta:
        model = LabelSet
        fields = ["version", "commitment"]


class QuotasSerializer(serializers.ModelSerializer):
    total = serializers.IntegerField(source="quota_total", allow_null=True, help_text="Submissions in all.")
    per_day = serializers.IntegerField(
        source="quota_per_day", allow_null=True, help_text="Submissions per UTC day."
    )
    on_board = serializers.IntegerField(
        source="quota_on_board", allow_null=True, help_text="Results that may stand at a time."
    )

    class Meta:
        model = Phase
        fields = ["total", "per_day", "on_board"]


class PhaseLinks(serializers.Serializer):
    self = serializers.HyperlinkedIdentityField(view_name="api:phase-detail")
    leaderboard = serializers.HyperlinkedIdentityField(view_name="api:phase-leaderboard")


class PhaseSerializer(serializers.ModelSerializer):
    competition: Any = serializers.SlugRelatedField("slug", read_only=True)
    is_open = serializers.SerializerMethodField(help_text="Are submissions accepted now?")
    quotas = QuotasSerializer(source="*", help_text="Of one team; null: no limit.")
    visible_metrics = serializers.SerializerMethodField(help_text="The metrics that you may see now.")
    patches = serializers.IntegerField(
        source="labels.patches", allow_null=True, help_text="Masks in an archive: mask_1.h5 to mask_N.h5."
    )
    patch_height = serializers.IntegerField(source="labels.height", allow_null=True)
    patch_width = serializers.IntegerField(source="labels.width", allow_null=True)
    labels = LabelsSerializer(allow_null=True, help_text="The hidden labels in force.")
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
            "is_open",
            "quotas",
            "allows_withdrawal",
            "counts",
            "selected_limit",
            "visible_metrics",
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
        return phase.is_open(self.context["viewpoint"].now)

    def get_visible_metrics(self, phase: Phase) -> list[str]:
        return sorted(self.context["viewpoint"].view(phase).metrics)

    def get_max_upload_bytes(self, phase: Phase) -> int:
        return settings.MAX_UPLOAD_BYTES


class PageSerializer(serializers.ModelSerializer):
    class Meta:
        model = Page
        fields = ["slug", "title", "body"]


class CompetitionSerializer(serializers.ModelSerializer):
    phases = PhaseSerializer(many=True, read_only=True)
    pages = PageSerializer(many=True, read_only=True, help_text="Its texts in Markdown.")
    url = serializers.HyperlinkedIdentityField(view_name="api:competition-detail", lookup_field="slug")

    class Meta:
        model = Competition
        fields = [
            "slug",
            "name",
            "summary",
            "data_note",
            "max_team_size",
            "roster_locks_at",
            "phases",
            "pages",
            "url",
        ]


# Boards


class RowSerializer(serializers.Serializer):
    rank = serializers.IntegerField(help_text="Equal F1 shares a rank.")
    team = serializers.CharField()
    f1 = Fraction(source="scores.f1")
    precision = Fraction(source="scores.precision")
    recall = Fraction(source="scores.recall")
    entries = serializers.IntegerField(help_text="The team's scored submissions.")
    date = serializers.DateTimeField(
        source="achieved_at", help_text="When the submission that counts was received."
    )


class ReferenceSerializer(RowSerializer):
    rank = serializers.IntegerField(allow_null=True, help_text="Always null: a reference entry has no rank.")
    method = serializers.CharField(source="submission.method")


class Percent(serializers.FloatField):
    """A published percentage as a fraction of 1."""

    def to_representation(self, percent: Any) -> float:  # type: ignore[override]
        return round(float(percent) / 100, 6)


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
        source="phase.board_version", help_text="Counts the changes of the board."
    )
    data_note = serializers.CharField(
        source="phase.competition.data_note", help_text="What data the scores are on."
    )
    labels_public_since = serializers.DateField(source="phase.labels_public_since", allow_null=True)
    hidden = serializers.SerializerMethodField(help_text="The phase hides its board from you for now.")
    frozen = serializers.BooleanField(source="is_frozen", help_text="The board stands still until the end.")
    count = serializers.IntegerField(source="total", help_text="Ranked teams, of which `rows` may be a part.")
    rows = serializers.SerializerMethodField(help_text="Best first.")
    reference = ReferenceSerializer(
        many=True, source="references", help_text="The organisers' entries: unranked."
    )
    published = PublishedSerializer(
        many=True, help_text="From publications, on the original data: not scored here, unranked."
    )
    next = serializers.SerializerMethodField(help_text="The address of the rows that follow; null: none.")

    def get_hidden(self, board: Any) -> bool:
        return board.view.board is None

    @extend_schema_field(RowSerializer(many=True))
    def get_rows(self, board: Any) -> Any:
        return RowSerializer(board.rows or [], many=True).data

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_next(self, board: Any) -> str | None:
        return self.context["next"]


# Teams


class MemberSerializer(serializers.ModelSerializer):
    username = serializers.CharField(source="user.username", read_only=True)

    class Meta:
        model = Membership
        fields = ["username", "role", "joined_at"]


class UsageSerializer(serializers.Serializer):
    """What a team has used of a phase's quotas, and whether it may submit now."""

    phase = serializers.IntegerField(source="phase.pk")
    name = serializers.CharField(source="phase.name")
    total = serializers.IntegerField(source="usage.total")
    total_limit = serializers.IntegerField(source="usage.total_limit", allow_null=True)
    today = serializers.IntegerField(source="usage.today")
    day_limit = serializers.IntegerField(source="usage.day_limit", allow_null=True)
    on_board = serializers.IntegerField(source="usage.on_board")
    board_limit = serializers.IntegerField(source="usage.board_limit", allow_null=True)
    remaining = serializers.IntegerField(
        source="usage.remaining", allow_null=True, help_text="Places left now; null: no limit."
    )
    may_submit = serializers.BooleanField()
    refusal = serializers.CharField(allow_null=True, help_text="Why not, in a sentence.")
    next_at = serializers.DateTimeField(
        allow_null=True, help_text="When the next submission is accepted, if only waiting is needed."
    )


class TeamSerializer(serializers.ModelSerializer):
    competition: Any = serializers.SlugRelatedField("slug", read_only=True)
    members = MemberSerializer(many=True, read_only=True, source="memberships")
    quotas = serializers.SerializerMethodField(help_text="One entry for each phase.")

    class Meta:
        model = Team
        fields = ["id", "name", "affiliation", "competition", "members", "quotas"]

    @extend_schema_field(UsageSerializer(many=True))
    def get_quotas(self, team: Team) -> Any:
        now = self.context["viewpoint"].now
        phases = team.competition.phases.with_labels()
        return UsageSerializer([usage_of(team, phase, now) for phase in phases], many=True).data


def usage_of(team: Team, phase: Phase, now: Any) -> dict[str, Any]:
    refusal: Refusal | None = None
    try:
        check_may_submit(team, phase, now)
    except Refusal as refused:
        refusal = refused
    return {
        "phase": phase,
        "usage": Attempt.objects.usage(team, phase, now),
        "may_submit": refusal is None,
        "refusal": refusal and refusal.message,
        "next_at": refusal and refusal.facts.get("next_at"),
    }


# Submissions


class SubmitSerializer(serializers.ModelSerializer):
    """A new submission, as a multipart form."""

    phase = serializers.PrimaryKeyRelatedField(queryset=Phase.objects.none(), help_text="The phase's id.")
    archive = serializers.FileField(
        allow_empty_file=True, help_text="The ZIP archive: mask_1.h5 to mask_N.h5, directly in it."
    )

    class Meta:
        model = Submission
        fields = ["phase", "archive", "method", "description", "link", "reference"]

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        if request := self.context.get("request"):
            fields["phase"].queryset = Phase.objects.visible_to(request.user).with_labels()  # type: ignore[attr-defined]
        return fields


class ProblemOfArchive(serializers.Serializer):
    code = serializers.CharField()
    file = serializers.CharField(help_text="The file in the archive; empty: the archive as a whole.")
    message = serializers.CharField()


class SubmissionAttemptSerializer(serializers.ModelSerializer):
    class Meta:
        model = Attempt
        fields = ["state", "reason"]


class PlaceSerializer(serializers.Serializer):
    place = serializers.IntegerField(help_text="1: it is next.")
    expected_seconds = serializers.FloatField()


class CountsSerializer(serializers.Serializer):
    tp = serializers.IntegerField()
    fp = serializers.IntegerField()
    fn = serializers.IntegerField()


class SubmissionLinks(serializers.Serializer):
    self = serializers.HyperlinkedIdentityField(view_name="api:submission-detail")
    withdraw = serializers.HyperlinkedIdentityField(view_name="api:submission-withdraw")
    select = serializers.HyperlinkedIdentityField(view_name="api:submission-select")
    receipt = serializers.HyperlinkedIdentityField(view_name="api:submission-receipt")
    phase = serializers.HyperlinkedIdentityField(
        view_name="api:phase-detail", lookup_field="phase_id", lookup_url_kwarg="pk"
    )
    leaderboard = serializers.HyperlinkedIdentityField(
        view_name="api:phase-leaderboard", lookup_field="phase_id", lookup_url_kwarg="pk"
    )


class SubmissionList(serializers.ListSerializer):
    """Reads the queue once for all."""

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
        help_text="True and false positives, false negatives: organisers only."
    )
    problems = ProblemOfArchive(many=True, source="evaluation.problems", default=list, read_only=True)
    incident = serializers.CharField(
        source="evaluation.incident", read_only=True, default="", help_text="After a fault of the server."
    )
    attempt = SubmissionAttemptSerializer(
        allow_null=True, read_only=True, help_text="What it takes from the quota; null: nothing."
    )
    queue = serializers.SerializerMethodField(help_text="While it waits; else null.")
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

    phase = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="Of this phase."
    )
    state = serializers.ChoiceField(
        required=False, choices=Evaluation.State.choices, help_text="In this state."
    )


class AttemptFilterSerializer(serializers.Serializer):
    """Which attempts."""

    phase = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="Of this phase."
    )


class SelectSerializer(serializers.Serializer):
    selected = serializers.BooleanField(help_text="true: it counts; false: it does not.")


class AttemptSerializer(serializers.ModelSerializer):
    submission = serializers.IntegerField(source="submission_id", read_only=True)
    team: Any = serializers.SlugRelatedField("name", read_only=True)
    holds_total = serializers.SerializerMethodField(help_text="Does it take a place of the phase's total?")
    holds_day = serializers.SerializerMethodField(help_text="… of the day's quota?")
    holds_board = serializers.SerializerMethodField(help_text="… of the results that may stand?")

    class Meta:
        model = Attempt
        fields = [
            "submission",
            "phase",
            "team",
            "state",
            "reason",
            "reserved_at",
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


# Tokens


class TokenSerializer(serializers.ModelSerializer):
    prefix = serializers.CharField(source="token_key", help_text="Its first characters, which name it.")
    expires_at = serializers.DateTimeField(source="expiry", allow_null=True)

    class Meta:
        model = ApiToken
        fields = ["prefix", "name", "created", "expires_at"]
        read_only_fields = fields


class CreatedTokenSerializer(TokenSerializer):
    token = serializers.CharField(read_only=True, help_text="The token itself. It is not shown again.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class NewTokenSerializer(serializers.ModelSerializer):
    days = serializers.IntegerField(
        required=False, min_value=1, max_value=3650, help_text="How long it holds."
    )

    class Meta:
        model = ApiToken
        fields = ["name", "days"]
        extra_kwargs = {"name": {"required": True}}


# The account


class PasswordSerializer(serializers.Serializer):
    password = serializers.CharField(trim_whitespace=False, max_length=4096)
