"""Submissions, their evaluations, and the masks read from them."""

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.files.storage import Storage, storages
from django.db import models
from django.utils import timezone

from evaluation.archive.problems import Problem, from_dicts

from .competitions import Competition, LabelSet, Phase, organises
from .locks import lock_rows
from .names import plain_name, tidy
from .teams import Team
from .text import plain_text


def uploads_storage() -> Storage:
    return storages["uploads"]


def archive_name(submission: "Submission", _original: str) -> str:
    """A generated name: no part of the uploaded file's name reaches the disk."""
    return (
        f"{submission.phase_id}/{submission.team_id}/{submission.sha256}-{timezone.now():%Y%m%dT%H%M%S%f}.zip"
    )


def _numbers(rows: models.QuerySet[Any]) -> list[int]:
    return list(rows.order_by().values_list("pk", flat=True))


class SubmissionQuerySet(models.QuerySet["Submission"]):
    def with_evaluation(self) -> "SubmissionQuerySet":
        """With everything that describes a submission, but without hidden masks and counts per patch."""
        return self.select_related("evaluation__label_set", "phase__competition", "team", "attempt").defer(
            "evaluation__label_set__masks", "evaluation__patch_counts"
        )

    def of_team(self, team: Team) -> "SubmissionQuerySet":
        return self.filter(team=team)

    def visible_to(self, user: Any) -> "SubmissionQuerySet":
        """Submissions of the person's teams, and all in competitions that the person organises."""
        if not user.is_authenticated:
            return self.none()
        if user.is_superuser and organises(user):
            return self.all()
        return self.filter(
            models.Q(team__in=Team.objects.of(user))
            | models.Q(phase__competition__in=Competition.objects.organised_by(user))
        )

    def own(self, user: Any) -> "SubmissionQuerySet":
        """Submissions of the person's teams; for organisers, also the competition's reference entries."""
        # Numbers, not subqueries, for which PostgreSQL would join everybody's teams and attempts.
        teams = _numbers(Team.objects.of(user))
        if organised := _numbers(Competition.objects.organised_by(user)):
            teams += _numbers(Team.objects.filter(is_organisers=True, competition__in=organised))
        return self.filter(team__in=teams)

    def lock(self) -> list["Submission"]:
        """Lock the teams, then the phases of these submissions until the transaction ends; returns them read afterwards.

        Anything that changes what a board shows does this first, so no score, withdrawal, merger or switch of labels
        misses another one.
        """
        held: set[int] = set()
        while moved := set(self.values_list("team_id", flat=True)) - held:  # mergers move them
            lock_rows(Team.objects.filter(pk__in=moved))
            held |= moved
        lock_rows(Phase.objects.filter(pk__in=self.values("phase")))
        return list(
            self.select_related("team", "phase__competition", "phase__labels").defer("phase__labels__masks")
        )

    def standing(self) -> "SubmissionQuerySet":
        """Neither withdrawn by the team nor disqualified."""
        return self.filter(withdrawn_at=None, disqualified_at=None)

    def received_before(self, end: datetime | None) -> "SubmissionQuerySet":
        return self if end is None else self.filter(received_at__lt=end)

    def evaluated_on(self, label_set: LabelSet) -> "SubmissionQuerySet":
        """Scored on these labels, including withdrawn and disqualified ones."""
        return self.filter(evaluation__state=Evaluation.State.SCORED, evaluation__label_set=label_set)

    def scored_on(self, label_set: LabelSet) -> "SubmissionQuerySet":
        return self.standing().evaluated_on(label_set)

    def seen_over_time(self, phase: Phase) -> "SubmissionQuerySet":
        """Scored submissions that a history of the phase may show, because a board has shown them.

        Disqualified ones are excluded. Submissions received while the board was hidden, frozen, limited by a Ladder
        or showing selected submissions are included only if they are a team's result.
        """
        if phase.labels is None:
            return self.none()
        theirs = self.filter(
            phase=phase,
            reference=False,
            team__is_organisers=False,
            team__hidden_at=None,
            disqualified_at=None,
        )
        made = theirs.evaluated_on(phase.labels)
        results = phase.standings.filter(label_set=phase.labels, kind="exact").values("submission")
        if phase.hidden_until_close or phase.ladder_step is not None or phase.counts == Phase.Counts.SELECTED:
            return made.filter(pk__in=results)
        if phase.freezes_at is not None:
            return made.filter(models.Q(received_at__lt=phase.freezes_at) | models.Q(pk__in=results))
        return made

    def counted(self, phase: Phase, team: Team, before: datetime | None = None) -> "SubmissionQuerySet":
        """A team's submissions that may count under the phase's rule: the first is its result.

        Where selected ones count, those of a team that selected some come first.
        """
        if phase.labels is None:
            return self.none()
        mine = self.filter(phase=phase, team=team, reference=False).scored_on(phase.labels)
        return mine.received_before(before).order_by(*counting_order(phase, "evaluation__rank_key"))


def counting_order(phase: Phase, rank_key: str, submission: str = "") -> list[Any]:
    """The one rule for which submission of a team counts, as an order whose first is its result.

    ``rank_key``, and ``submission`` in front of a submission's columns, say where they are found. Where selected ones
    count, a team that selected none gets its best, or its latest if scores were hidden.
    """
    received, number = models.F(f"{submission}received_at"), models.F(f"{submission}pk")
    best = [models.F(rank_key).desc(), received.asc(), number.asc()]
    latest = [received.desc(), number.desc()]
    if phase.counts == Phase.Counts.LATEST:
        return latest
    if phase.counts != Phase.Counts.SELECTED:
        return best
    selected = models.F(f"{submission}selected").desc()
    if not phase.hidden_until_close:
        return [selected, *best]
    chosen = models.When(**{f"{submission}selected": True, "then": models.F(rank_key)})
    key = models.Case(chosen, default=models.Value(None), output_field=models.BigIntegerField())
    when = models.When(**{f"{submission}selected": True, "then": received})
    first = models.Case(when, default=models.Value(None), output_field=models.DateTimeField())
    return [selected, key.desc(nulls_last=True), first.asc(nulls_last=True), *latest]


class Submission(models.Model):
    """An archive uploaded by a team to a phase. Its state is that of its current evaluation."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="submissions")
    team = models.ForeignKey(Team, models.CASCADE, related_name="submissions")
    submitted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="submissions"
    )
    method = models.CharField("method name", max_length=80, validators=[plain_text, plain_name])
    description = models.TextField(max_length=10_000, blank=True, validators=[plain_text])
    link = models.URLField("link to paper or code", blank=True)
    archive = models.FileField(storage=uploads_storage, upload_to=archive_name, max_length=200, blank=True)
    original_name = models.CharField(max_length=120, blank=True)
    size = models.PositiveBigIntegerField("size in bytes")
    sha256 = models.CharField("SHA-256 of the archive", max_length=64)
    received_at = models.DateTimeField(help_text="When its upload began. Decides deadlines and ties.")
    completed_at = models.DateTimeField(
        null=True, blank=True, help_text="When its last byte arrived. Empty: not recorded."
    )
    idempotency_key = models.CharField(max_length=200, null=True, blank=True, editable=False)  # noqa: DJ001
    reference = models.BooleanField(
        default=False, help_text="Submitted by the organisers: shown, marked, unranked."
    )
    selected = models.BooleanField(default=False, help_text="Selected by the team to count.")
    evaluation = models.ForeignKey(
        "Evaluation",
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        help_text="The current evaluation.",
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
        indexes = [
            models.Index(fields=["team", "phase", "-received_at"], name="submissions_of_a_team"),
            models.Index(
                fields=["phase"], condition=models.Q(reference=True), name="submissions_for_reference"
            ),
            models.Index(fields=["sha256"], name="submissions_by_sha256"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.method} ({self.team})"

    def clean_fields(self, exclude: Any = None) -> None:
        self.method = tidy(self.method)
        super().clean_fields(exclude)

    @property
    def took_long_to_arrive(self) -> bool:
        """Whether the upload ended in another minute than it began, so that both times are worth showing."""
        return self.completed_at is not None and self.completed_at - self.received_at >= timedelta(minutes=1)

    @property
    def state(self) -> str:
        return self.evaluation.state if self.evaluation else Evaluation.State.QUEUED


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    def queued(self) -> "EvaluationQuerySet":
        return self.filter(state=Evaluation.State.QUEUED)

    def due(self, now: datetime) -> "EvaluationQuerySet":
        """Waiting, and not postponed."""
        return self.queued().filter(models.Q(not_before=None) | models.Q(not_before__lte=now))

    def scoring(self) -> "EvaluationQuerySet":
        return self.filter(state=Evaluation.State.SCORING)

    def unfinished(self) -> "EvaluationQuerySet":
        """Waiting or being scored. Filters by finished_at, because SQLite uses no index for `state IN`."""
        return self.filter(finished_at=None)

    def unnoticed(self) -> "EvaluationQuerySet":
        """Finished, and not yet a notice to the team."""
        return self.filter(finished_at__isnull=False, noticed_at=None)

    def failed_unreported(self) -> "EvaluationQuerySet":
        """Failed by a fault of the server, and no mail has gone to the organisers."""
        return self.filter(state=Evaluation.State.FAILED, failure_reported_at=None)

    def failed_last(self) -> "EvaluationQuerySet":
        """Failed, and not scored again since."""
        later = Evaluation.objects.filter(
            submission=models.OuterRef("submission"), pk__gt=models.OuterRef("pk")
        )
        return self.filter(~models.Exists(later), state=Evaluation.State.FAILED)

    def awaited(self, phase: Phase) -> "EvaluationQuerySet":
        """Evaluations that may still change the phase's board: unfinished, on the current labels."""
        return self.unfinished().filter(label_set=phase.labels_id)

    def in_claim_order(self) -> "EvaluationQuerySet":
        """Fair order: new submissions before re-scores, idle teams before busy ones, longest-waiting team first."""
        busy = models.Q(submission__team__in=Evaluation.objects.scoring().values("submission__team"))
        return (
            self.queued()
            .annotate(team_is_busy=models.ExpressionWrapper(busy, output_field=models.BooleanField()))
            .order_by(
                "priority",
                "team_is_busy",
                models.F("submission__team__served_at").asc(nulls_first=True),
                "queued_at",
                "pk",
            )
        )


class Evaluation(models.Model):
    """One scoring of a submission against one label set by one scorer version. The row is the queue entry.

    ``tries`` is the fencing number: whoever claimed the n-th try may write only while it is n.
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
    postponed = models.PositiveSmallIntegerField(
        default=0,
        db_default=0,
        db_column="put_off",  # its first name: workers still on the old version keep reading and writing it
        editable=False,
        help_text="Number of tries in which the storage did not answer.",
    )
    not_before = models.DateTimeField(null=True, editable=False, help_text="Postponed until then.")
    worker = models.CharField(max_length=120, blank=True)
    queued_at = models.DateTimeField(default=timezone.now)
    rung_at = models.DateTimeField(default=timezone.now, help_text="When workers were last notified.")
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
    noticed_at = models.DateTimeField(
        null=True, editable=False, help_text="When its end became a notice to the team, or was passed over."
    )
    failure_reported_at = models.DateTimeField(
        null=True, editable=False, help_text="When the organisers were mailed about the failure."
    )

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
            models.CheckConstraint(
                name="finished_means_ended",
                condition=models.Q(state__in=["queued", "scoring"], finished_at=None)
                | (~models.Q(state__in=["queued", "scoring"]) & models.Q(finished_at__isnull=False)),
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
            models.Index(
                fields=["label_set"],
                condition=models.Q(finished_at=None),
                name="evaluations_unfinished",
            ),
            models.Index(
                fields=["-finished_at"],
                condition=models.Q(finished_at__isnull=False),
                name="evaluations_finished",
            ),
            models.Index(
                fields=["-finished_at"], condition=models.Q(state="failed"), name="evaluations_failed"
            ),
            models.Index(
                fields=["finished_at"],
                condition=models.Q(finished_at__isnull=False, noticed_at=None),
                name="evaluations_unnoticed",
            ),
            models.Index(
                fields=["incident"], condition=~models.Q(incident=""), name="evaluations_by_incident"
            ),
        ]

    def __str__(self) -> str:
        return f"evaluation {self.pk} of submission {self.submission_id}: {self.state}"

    @property
    def found_problems(self) -> list[Problem]:
        """`problems`, grouped: one for all files of which the same is said."""
        return from_dicts(self.problems)

    @property
    def counted_tries(self) -> int:
        """Tries that may have failed because of the archive."""
        return self.tries - self.postponed

    @property
    def waits_for_storage(self) -> bool:
        return self.state == self.State.QUEUED and self.postponed > 0

    @property
    def is_unfinished(self) -> bool:
        return self.state in self.UNFINISHED


class Prediction(models.Model):
    """A submission's masks, bit-packed and compressed: re-scoring needs neither the archive nor HDF5."""

    submission = models.OneToOneField(Submission, models.CASCADE, related_name="prediction", primary_key=True)
    masks = models.BinaryField()
    sha256 = models.CharField("SHA-256 of the packed masks", max_length=64, db_index=True)

    def __str__(self) -> str:
        return f"masks of submission {self.submission_id}"
