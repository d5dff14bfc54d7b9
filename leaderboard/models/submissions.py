"""Submissions, what they take from the quota, and their evaluations."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.db import models
from django.utils import timezone

from .competitions import Competition, LabelSet, Phase
from .teams import Team
from .text import plain_text


def uploads_storage() -> Storage:
    return storages["uploads"]


def archive_name(submission: "Submission", _original: str) -> str:
    """A name of our own: nothing of a stranger's file name reaches the disk."""
    return (
        f"{submission.phase_id}/{submission.team_id}/{submission.sha256}-{timezone.now():%Y%m%dT%H%M%S%f}.zip"
    )


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def with_evaluation(self) -> "SubmissionQuerySet":
        """With all that describes one submission, but without the hidden masks and the counts per patch."""
        return self.select_related("evaluation__label_set", "phase__competition", "team", "attempt").defer(
            "evaluation__label_set__masks", "evaluation__patch_counts"
        )

    def of_team(self, team: Team) -> "SubmissionQuerySet":
        return self.filter(team=team)

    def visible_to(self, user: Any) -> "SubmissionQuerySet":
        """Those of the person's teams, and all of the competitions that the person organises."""
        if not user.is_authenticated:
            return self.none()
        if user.is_superuser:
            return self.all()
        return self.filter(
            models.Q(team__in=Team.objects.of(user))
            | models.Q(phase__competition__in=Competition.objects.organised_by(user))
        )

    def own(self, user: Any) -> "SubmissionQuerySet":
        """Those of the person's teams; for an organiser also the competition's reference entries."""
        return self.filter(
            models.Q(team__in=Team.objects.of(user))
            | models.Q(reference=True, phase__competition__in=Competition.objects.organised_by(user))
        )

    def standing(self) -> "SubmissionQuerySet":
        """Neither withdrawn by the team nor disqualified."""
        return self.filter(withdrawn_at=None, disqualified_at=None)

    def received_before(self, end: datetime | None) -> "SubmissionQuerySet":
        return self if end is None else self.filter(received_at__lt=end)

    def evaluated_on(self, label_set: LabelSet) -> "SubmissionQuerySet":
        """Scored on these labels, whatever became of them since."""
        return self.filter(evaluation__state=Evaluation.State.SCORED, evaluation__label_set=label_set)

    def scored_on(self, label_set: LabelSet) -> "SubmissionQuerySet":
        return self.standing().evaluated_on(label_set)

    def counted(self, phase: Phase, team: Team, before: datetime | None = None) -> "SubmissionQuerySet":
        """A team's submissions among which the best one is its result, by the phase's rule, best first."""
        if phase.labels is None:
            return self.none()
        mine = (
            self.filter(phase=phase, team=team, reference=False)
            .scored_on(phase.labels)
            .received_before(before)
        )
        if phase.counts == Phase.Counts.LATEST:
            mine = mine.filter(pk__in=mine.order_by("-received_at", "-pk").values("pk")[:1])
        elif phase.counts == Phase.Counts.SELECTED:
            mine = mine.filter(selected=True)
        return mine.order_by("-evaluation__rank_key", "received_at", "pk")


class Submission(models.Model):
    """One uploaded archive of a team in a phase. Its state is that of its evaluation in force."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="submissions")
    team = models.ForeignKey(Team, models.CASCADE, related_name="submissions")
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="submissions"
    )
    method = models.CharField("method name", max_length=80, validators=[plain_text])
    description = models.TextField(max_length=10_000, blank=True, validators=[plain_text])
    link = models.URLField("link to paper or code", blank=True)
    archive = models.FileField(storage=uploads_storage, upload_to=archive_name, max_length=200, blank=True)
    original_name = models.CharField(max_length=120, blank=True)
    size = models.PositiveBigIntegerField("size in bytes")
    sha256 = models.CharField("SHA-256 of the archive", max_length=64)
    received_at = models.DateTimeField(help_text="When the last byte arrived. Decides windows and ties.")
    idempotency_key = models.CharField(max_length=200, null=True, blank=True, editable=False)  # noqa: DJ001
    reference = models.BooleanField(
        default=False, help_text="Made by the organisers: shown, marked, unranked."
    )
    selected = models.BooleanField(default=False, help_text="Selected by the team as one that counts.")
    evaluation = models.ForeignKey(
        "Evaluation",
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        help_text="The one in force.",
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)
    disqualified_at = models.DateTimeField(null=True, blank=True, editable=False)
    disqualified_reason = models.CharField(max_length=300, blank=True, editable=False)

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        ordering = ["-received_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "idempotency_key"], name="one_submission_per_idempotency_key"
            )
        ]
        indexes = [models.Index(fields=["team", "phase", "-received_at"], name="submissions_of_a_team")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.method} ({self.team})"

    @property
    def state(self) -> str:
        return self.evaluation.state if self.evaluation else Evaluation.State.QUEUED


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    def queued(self) -> "EvaluationQuerySet":
        return self.filter(state=Evaluation.State.QUEUED)

    def scoring(self) -> "EvaluationQuerySet":
        return self.filter(state=Evaluation.State.SCORING)

    def unfinished(self) -> "EvaluationQuerySet":
        return self.filter(state__in=Evaluation.UNFINISHED)

    def in_claim_order(self) -> "EvaluationQuerySet":
        """The fair order: fresh before re-scores, idle teams before busy ones, the longest unserved team first."""
        busy = Evaluation.objects.scoring().filter(submission__team=models.OuterRef("submission__team"))
        return (
            self.queued()
            .annotate(team_is_busy=models.Exists(busy))
            .order_by(
                "priority",
                "team_is_busy",
                models.F("submission__team__served_at").asc(nulls_first=True),
                "queued_at",
                "pk",
            )
        )


class Evaluation(models.Model):
    """One scoring of a submission against one label set by one scorer version. The row is its place in the queue.

    ``tries`` is the fencing number: who claimed the row as its n-th try may only write while it is n.
    """

    class State(models.TextChoices):
        QUEUED = "queued", "waiting"
        SCORING = "scoring", "being scored"
        SCORED = "scored", "scored"
        INVALID = "invalid", "invalid"
        FAILED = "failed", "failed"

    UNFINISHED = (State.QUEUED, State.SCORING)

    class Priority(models.IntegerChoices):
        FRESH = 0, "fresh submission"
        RESCORE = 10, "re-score"

    submission = models.ForeignKey(Submission, models.CASCADE, related_name="evaluations")
    label_set = models.ForeignKey(LabelSet, models.PROTECT, related_name="evaluations")
    scorer = models.CharField("scorer version", max_length=20, blank=True)
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.FRESH)
    tries = models.PositiveSmallIntegerField(default=0)
    worker = models.CharField(max_length=120, blank=True)
    queued_at = models.DateTimeField(default=timezone.now)
    rung_at = models.DateTimeField(default=timezone.now, help_text="When a worker was last told of it.")
    lease_until = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    tp = models.PositiveBigIntegerField("true positives", null=True, blank=True)
    fp = models.PositiveBigIntegerField("false positives", null=True, blank=True)
    fn = models.PositiveBigIntegerField("false negatives", null=True, blank=True)
    rank_key = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        editable=False,
        help_text="F1 as an exact integer: floor(2 TP 2^62 / (2 TP + FP + FN)).",
    )
    patch_counts = models.BinaryField(null=True, blank=True, editable=False)
    problems = models.JSONField(default=list, blank=True)
    incident = models.CharField(max_length=40, blank=True)

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="scored_means_counted",
                condition=models.Q(
                    state="scored",
                    tp__isnull=False,
                    fp__isnull=False,
                    fn__isnull=False,
                    rank_key__isnull=False,
                    finished_at__isnull=False,
                )
                | (~models.Q(state="scored") & models.Q(tp=None, fp=None, fn=None, rank_key=None)),
            ),
            models.CheckConstraint(
                name="scoring_has_a_lease",
                condition=models.Q(state="scoring", lease_until__isnull=False)
                | (~models.Q(state="scoring") & models.Q(lease_until=None)),
            ),
            models.UniqueConstraint(
                fields=["submission", "label_set"],
                condition=models.Q(state__in=["queued", "scoring"]),
                name="one_unfinished_evaluation",
            ),
        ]
        indexes = [
            models.Index(
                fields=["priority", "queued_at"],
                condition=models.Q(state="queued"),
                name="evaluations_queued",
            ),
            models.Index(
                fields=["lease_until"], condition=models.Q(state="scoring"), name="evaluations_scoring"
            ),
            models.Index(
                fields=["submission", "-rank_key"],
                condition=models.Q(state="scored"),
                name="evaluations_scored",
            ),
        ]

    def __str__(self) -> str:
        return f"evaluation {self.pk} of submission {self.submission_id}: {self.state}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in self.UNFINISHED


class Prediction(models.Model):
    """A submission's masks, bit-packed and compressed: a re-score needs neither the archive nor HDF5."""

    submission = models.OneToOneField(Submission, models.CASCADE, related_name="prediction", primary_key=True)
    masks = models.BinaryField()
    sha256 = models.CharField("SHA-256 of the packed masks", max_length=64, db_index=True)

    def __str__(self) -> str:
        return f"masks of submission {self.submission_id}"


@dataclass(frozen=True)
class QuotaUsage:
    """What a team has used of a phase's quotas; a limit of None does not bind."""

    total: int
    total_limit: int | None
    today: int
    day_limit: int | None
    on_board: int
    board_limit: int | None
    day_ends_at: datetime

    @property
    def exhausted(self) -> str:
        """Which quota is used up: "total", "day", "board" or "" (none)."""
        if self.total_limit is not None and self.total >= self.total_limit:
            return "total"
        if self.day_limit is not None and self.today >= self.day_limit:
            return "day"
        if self.board_limit is not None and self.on_board >= self.board_limit:
            return "board"
        return ""

    @property
    def remaining(self) -> int | None:
        """How many more submissions would be accepted now; None: no limit."""
        left = [
            limit - used
            for used, limit in (
                (self.total, self.total_limit),
                (self.today, self.day_limit),
                (self.on_board, self.board_limit),
            )
            if limit is not None
        ]
        return max(0, min(left)) if left else None


def utc_day(now: datetime) -> datetime:
    """The beginning of the UTC day: quotas per day are counted in UTC."""
    return datetime.combine(now.astimezone(UTC).date(), time.min, tzinfo=UTC)


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def of(self, team: Team, phase: Phase) -> "AttemptQuerySet":
        return self.filter(team=team, phase=phase)

    def own(self, user: Any) -> "AttemptQuerySet":
        """The ledger of the person's teams."""
        return self.filter(team__in=Team.objects.of(user))

    def given_back_on(self, now: datetime) -> "AttemptQuerySet":
        return self.filter(state=Attempt.State.GIVEN_BACK, day=utc_day(now).date())

    def usage(self, team: Team, phase: Phase, now: datetime) -> QuotaUsage:
        """One query: what the team's attempts hold of the phase's quotas at this moment."""
        today = utc_day(now)
        held = self.of(team, phase).aggregate(
            total=models.Count("total_slot"),
            today=models.Count("day_slot", filter=models.Q(day=today.date())),
            on_board=models.Count("board_slot"),
        )
        return QuotaUsage(
            total=held["total"],
            total_limit=phase.quota_total,
            today=held["today"],
            day_limit=phase.quota_per_day,
            on_board=held["on_board"],
            board_limit=phase.quota_on_board,
            day_ends_at=today + timedelta(days=1),
        )

    def reserve(self, submission: Submission, now: datetime) -> "Attempt":
        """Take the lowest free slot of every quota. The unique constraints refuse what the lock let through."""
        mine = self.of(submission.team, submission.phase)
        day = utc_day(now).date()
        return self.create(
            submission=submission,
            team=submission.team,
            phase=submission.phase,
            reserved_at=now,
            day=day,
            total_slot=_lowest_free(mine, "total_slot"),
            day_slot=_lowest_free(mine.filter(day=day), "day_slot"),
            board_slot=_lowest_free(mine, "board_slot"),
        )

    def spend(self, submission_id: int, now: datetime) -> None:
        self.filter(submission=submission_id, state=Attempt.State.RESERVED).update(
            state=Attempt.State.SPENT, settled_at=now, reason="scored"
        )

    def give_back(self, submission_id: int, reason: str, now: datetime) -> None:
        self.filter(submission=submission_id).exclude(state=Attempt.State.GIVEN_BACK).update(
            state=Attempt.State.GIVEN_BACK,
            settled_at=now,
            reason=reason,
            total_slot=None,
            day_slot=None,
            board_slot=None,
        )

    def free_board_place(self, submission_id: int) -> None:
        """A withdrawn result leaves the board; what it took of the total and the day stays taken."""
        self.filter(submission=submission_id).update(board_slot=None)


def _lowest_free(attempts: AttemptQuerySet, field: str) -> int:
    taken = set(attempts.exclude(**{field: None}).values_list(field, flat=True))
    return next(slot for slot in range(len(taken) + 1) if slot not in taken)


class Attempt(models.Model):
    """What a submission takes from its team's quotas: the ledger.

    A slot is a number that is unique within team and phase (and day); given back, it is NULL, which is never
    equal to anything. So the database itself refuses two submissions on one place.
    """

    class State(models.TextChoices):
        RESERVED = "reserved", "reserved"
        SPENT = "spent", "spent"
        GIVEN_BACK = "given_back", "given back"

    submission = models.OneToOneField(Submission, models.CASCADE, related_name="attempt", primary_key=True)
    team = models.ForeignKey(Team, models.CASCADE, related_name="attempts")
    phase = models.ForeignKey(Phase, models.CASCADE, related_name="attempts")
    state = models.CharField(max_length=10, choices=State, default=State.RESERVED)
    reason = models.CharField(max_length=120, blank=True)
    reserved_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True, blank=True)
    day = models.DateField(help_text="UTC")
    total_slot = models.PositiveIntegerField(null=True, blank=True)
    day_slot = models.PositiveIntegerField(null=True, blank=True)
    board_slot = models.PositiveIntegerField(null=True, blank=True)

    objects = AttemptQuerySet.as_manager()

    class Meta:
        ordering = ["-reserved_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "phase", "total_slot"], name="one_attempt_per_total_slot"
            ),
            models.UniqueConstraint(
                fields=["team", "phase", "day", "day_slot"], name="one_attempt_per_day_slot"
            ),
            models.UniqueConstraint(
                fields=["team", "phase", "board_slot"], name="one_attempt_per_board_slot"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.state} attempt of submission {self.submission_id}"
