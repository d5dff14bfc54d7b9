"""Submissions and the ledger of attempts."""

import hashlib
import math
import re
from typing import Any

from django.utils import timezone
from django.utils.cache import get_conditional_response, patch_cache_control, patch_vary_headers
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from leaderboard.actions import submissions, uploads
from leaderboard.actions.refusals import (
    ArchiveTooLarge,
    BoardFull,
    DigestMismatch,
    EmptyArchive,
    InvalidInput,
    KeyReused,
    NotAllowed,
    NoTeam,
    NotWithdrawable,
    PhaseEnded,
    PhaseNotOpen,
    PhaseWithoutLabels,
    QuotaUsedUp,
    SameArchive,
    StorageUnavailable,
    TeamNotApproved,
    TermsNotAccepted,
    TotalUsedUp,
    UploadGone,
    UploadIncomplete,
)
from leaderboard.models import Attempt, Extension, Phase, Submission, SubmissionNote, Team
from leaderboard.models.visibility import METRIC_KEY, with_metric_key
from leaderboard.platform.arrival import begun_at

from . import holding
from .base import ViewSet
from .limits import Limit, note_limit
from .pagination import Pages
from .parsers import ArchiveParser, SmallJSONParser
from .schema import ETAG, IDEMPOTENCY_KEY, PREFER_WAIT, problems
from .scopes import ORGANISING, OWN_SUBMISSIONS, READING, SUBMITTING, check_need, check_within
from .serializers.submissions import (
    AttemptFilterSerializer,
    AttemptSerializer,
    FilterSerializer,
    SelectSerializer,
    SubmissionSerializer,
    SubmitSerializer,
)
from .submission_parts import SubmissionParts
from .throttles import Uploads

ORDERINGS = {
    "id": "pk",
    "received_at": "received_at",
    "method": "method",
    "size": "size",
    **dict.fromkeys(("f1", "precision", "recall"), METRIC_KEY),
}
KEY = re.compile(r"[\x21-\x7e]{1,200}")


@extend_schema_view(
    list=extend_schema(
        summary="My submissions",
        description="Submissions of your teams, newest first; for organisers, also the reference entries.",
        responses=problems(400, 401, 404, ok=SubmissionSerializer(many=True)),
    ),
)
class SubmissionViewSet(ListModelMixin, RetrieveModelMixin, SubmissionParts):
    """A submission of one of your teams: its state, the scores that the phase shows, and its problems.

    `state` goes from `queued` to `scoring`, then to one of three final states: `scored`; `invalid`, if the archive
    cannot be scored (`problems` says why, and the attempt is given back); `failed`, if the server is at fault (the
    attempt is given back, and the organisers are notified). Wait for the next state with `Prefer: wait=30`.
    """

    serializer_class = SubmissionSerializer
    permission_classes = [IsAuthenticated]
    pagination_class = Pages
    queries = {"list": FilterSerializer}
    orderings = ORDERINGS
    queryset = Submission.objects.none()
    needs = {
        **dict.fromkeys(("list", "retrieve", "receipt"), OWN_SUBMISSIONS),
        **dict.fromkeys(("create", "withdraw", "select"), SUBMITTING),
        **dict.fromkeys(("write_note", "remove_note"), SUBMITTING),
        **dict.fromkeys(("archive", "counts", "note"), READING),
    }
    lookup_value_converter = "int"

    def get_queryset(self) -> Any:
        rows = Submission.objects.with_evaluation()
        return rows.visible_to(self.request.user) if self.detail else self.own(rows)

    def own(self, rows: Any) -> Any:
        asked = self.query()
        phases = Phase.objects.visible_to(self.request.user)
        slug = "" if asked.get("phase", "").isdecimal() else asked.get("phase", "")
        if slug and not phases.filter(slug=slug).exists():
            raise ValidationError({"phase": [f"There is no phase {slug}. Give its slug or its id."]})
        tag = asked.pop("tag", None)
        rows = rows.own(self.request.user).filter(**filters_of(asked))
        if tag is not None:
            tagged = SubmissionNote.objects.with_tag(tag).filter(
                submission__team__in=Team.objects.of(self.request.user)
            )
            rows = rows.filter(pk__in=tagged.values("submission"))
        metric = self.request.query_params.get("ordering", "").removeprefix("-")
        if self.orderings.get(metric) == METRIC_KEY:
            rows = with_metric_key(rows, metric, phases.select_related("competition"), self.viewpoint)
        return rows

    @extend_schema(
        summary="One submission",
        parameters=[PREFER_WAIT, ETAG],
        responses={304: None, **problems(401, 404, ok=SubmissionSerializer)},
    )
    def retrieve(self, request: Request, pk: int) -> Any:
        """Its state, scores and problems.

        **Waiting.** With `Prefer: wait=30` the answer to an unfinished submission is held for up to 30 seconds, until its state
        changes; `Preference-Applied` says that it was. Without that header in the answer, all places to wait were taken: ask
        again after a third of `queue.expected_seconds`. The `ETag` changes with anything in the answer: send it back in
        `If-None-Match` and get a 304 while nothing changed.
        """
        submission = self.get_object()
        seconds = holding.asked_seconds(request.headers.get("Prefer", ""))
        unfinished = submission.evaluation is not None and submission.evaluation.is_unfinished
        held = bool(seconds) and unfinished and holding.hold(submission, seconds)
        if held:
            submission = self.get_object()
        shown = self.get_serializer(submission).data
        etag = f'"{hashlib.sha256(JSONRenderer().render(shown)).hexdigest()[:32]}"'
        response: Any = get_conditional_response(request._request, etag=etag) or Response(shown)
        response["ETag"] = etag
        patch_vary_headers(response, ["Authorization", "Cookie", "Prefer"])
        patch_cache_control(response, private=True, no_cache=True)
        if held:
            response["Preference-Applied"] = f"wait={seconds}"
        return response

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        self.action = self.action_map.get(request.method.lower(), "")  # get_parsers needs it
        return super().initialize_request(request, *args, **kwargs)

    def get_parsers(self) -> Any:
        return [ArchiveParser(), SmallJSONParser()] if self.action == "create" else super().get_parsers()

    def get_throttles(self) -> Any:
        return [*super().get_throttles(), *([Uploads()] if self.action == "create" else [])]

    @extend_schema(
        summary="Submit an archive",
        request={"multipart/form-data": SubmitSerializer, "application/json": SubmitSerializer},
        parameters=[IDEMPOTENCY_KEY],
        responses={
            202: SubmissionSerializer,
            **problems(
                InvalidInput,
                DigestMismatch,
                EmptyArchive,
                401,
                NoTeam,
                PhaseNotOpen,
                PhaseEnded,
                PhaseWithoutLabels,
                TermsNotAccepted,
                TeamNotApproved,
                TotalUsedUp,
                NotAllowed,
                BoardFull,
                KeyReused,
                SameArchive,
                UploadIncomplete,
                UploadGone,
                ArchiveTooLarge,
                415,
                QuotaUsedUp,
                429,
                StorageUnavailable,
                ok=SubmissionSerializer,
            ),
        },
    )
    def create(self, request: Request) -> Response:
        """Upload an archive, or name a finished upload. It is accepted (202) and scored soon after; poll the `Location`.

        It counts as received when its upload began. A refusal has a `code`: `no_team`, `phase_not_open` (with `next_at`),
        `phase_ended` or `total_used_up` (403), `board_full` (409), `same_archive` (409, with `submission`: send
        `allow_duplicate=true` to submit the same bytes again), `empty_file` (400), `too_large` (413), `quota_used_up`
        (429, with `next_at`). The scorer lists what is wrong inside the archive in
        `problems`. `teams/mine/` says in advance whether your team may submit.
        """
        key = idempotency_key(request)
        asked = self.body(SubmitSerializer)
        if asked.get("reference"):
            check_need(request.auth, ORGANISING)
        submission = None
        try:
            submission, is_new = self.accepted(request, key, asked)
        finally:
            self.note_quota(asked["phase"], submission)
        shown = self.get_serializer(submission).data
        return Response(shown, 202 if is_new else 200, headers={"Location": str(shown["links"]["self"])})

    def accepted(self, request: Request, key: str | None, asked: dict[str, Any]) -> tuple[Submission, bool]:
        if reference := asked.pop("upload", None):
            upload = uploads.find(request.user, reference)
            check_within(request.auth, upload)
            return uploads.submit(request.user, upload, idempotency_key=key, **asked)
        sent = {name: value for name, value in asked.items() if name not in ("phase", "archive")}
        return submissions.submit(
            request.user,
            asked["phase"],
            asked.get("archive"),
            idempotency_key=key,
            begun_at=begun_at(request),
            **sent,
        )

    def note_quota(self, phase: Phase, submission: Submission | None) -> None:
        """What the phase leaves to the submission's team (or the user's), as rate limits: of a day, and in total."""
        now = timezone.now()
        attempt = getattr(submission, "attempt", None)
        usage = attempt.usage if attempt else None
        if usage is None or usage.day_ends_at <= now:
            mine = Team.objects.of(self.request.user).filter(competition=phase.competition_id)
            team = submission.team if submission else mine.first()
            if team is None:
                return
            usage = Attempt.objects.usage(team, Extension.objects.phase_of(team, phase), now)
        if usage.day_limit is not None:
            left = max(0, usage.day_limit - usage.today)
            seconds = math.ceil((usage.day_ends_at - now).total_seconds())
            note_limit(self.request, Limit("phase-day", usage.day_limit, left, 24 * 3600, seconds))
        if usage.total_limit is not None:
            left = max(0, usage.total_limit - usage.total)
            note_limit(self.request, Limit("phase-total", usage.total_limit, left))

    @extend_schema(
        summary="Withdraw a submission",
        request=None,
        responses=problems(401, NotAllowed, NotWithdrawable, 404, ok=SubmissionSerializer),
    )
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: int) -> Response:
        """Remove it from the board and free its place there, if the phase allows this. Its scores are kept.

        It still counts towards the total and the daily quota. There is no DELETE: nothing is deleted.
        """
        submission = self.get_object()
        submissions.withdraw(request.user, submission)
        return Response(self.get_serializer(submission).data)

    @extend_schema(
        summary="Select a submission",
        request=SelectSerializer,
        responses=problems(400, 401, 403, 404, 409, ok=SubmissionSerializer),
    )
    @action(detail=True, methods=["post"])
    def select(self, request: Request, pk: int) -> Response:
        """Choose whether it counts, in phases that let teams choose."""
        submission = self.get_object()
        submissions.select(request.user, submission, **self.body(SelectSerializer))
        return Response(self.get_serializer(submission).data)


def filters_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The query string of the list as filters of its rows."""
    names = {
        "state": "evaluation__state",
        "received_since": "received_at__gte",
        "received_until": "received_at__lt",
    }
    found = {names.get(name, name): value for name, value in asked.items()}
    if (phase := found.pop("phase", None)) is not None:
        found |= {"phase": int(phase)} if phase.isdecimal() else {"phase__slug": phase}
    if (withdrawn := found.pop("withdrawn", None)) is not None:
        found["withdrawn_at__isnull"] = not withdrawn
    return found


def idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not KEY.fullmatch(key):
        raise ValidationError({"Idempotency-Key": ["A key has 1 to 200 visible ASCII characters."]})
    return key


@extend_schema_view(
    list=extend_schema(
        summary="The ledger of attempts",
        responses=problems(400, 401, 404, ok=AttemptSerializer(many=True)),
    )
)
class AttemptViewSet(ListModelMixin, ViewSet):
    """What each submission of your teams used of the quotas: reserved, spent, or given back and why."""

    serializer_class = AttemptSerializer
    permission_classes = [IsAuthenticated]
    pagination_class = Pages
    queries = {"list": AttemptFilterSerializer}
    orderings = {"id": "pk", "reserved_at": "reserved_at"}
    queryset = Attempt.objects.none()
    needs = {"list": READING}

    def get_queryset(self) -> Any:
        asked = self.query()
        return Attempt.objects.own(self.request.user).filter(**asked).select_related("team", "submission")
