"""Competitions, their phases, and the hidden labels of a phase."""

from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from evaluation.scoring.ladder import Ladder
from evaluation.task import TASK
from evaluation.trust.receipts import commitment


def organises(user: Any) -> bool:
    """Whether the person may act as an organiser at all, here and now."""
    return user.is_authenticated and user.may_organise


class CompetitionQuerySet(models.QuerySet["Competition"]):
    def published(self) -> "CompetitionQuerySet":
        return self.filter(is_published=True)

    def visible_to(self, user: Any) -> "CompetitionQuerySet":
        if not organises(user):
            return self.published()
        if user.is_superuser:
            return self.all()
        helped = models.Q(roles__user=user, roles__kind="helper")
        return self.filter(models.Q(is_published=True) | models.Q(organisers=user) | helped).distinct()

    def with_phases(self) -> "CompetitionQuerySet":
        return self.prefetch_related("pages", models.Prefetch("phases", Phase.objects.with_labels()))

    def organised_by(self, user: Any) -> "CompetitionQuerySet":
        if not organises(user):
            return self.none()
        return self.all() if user.is_superuser else self.filter(organisers=user)

    def helped_by(self, user: Any) -> "CompetitionQuerySet":
        """Those that the person organises or helps with."""
        if not organises(user):
            return self.none()
        if user.is_superuser:
            return self.all()
        helped = models.Q(roles__user=user, roles__kind="helper")
        return self.filter(models.Q(organisers=user) | helped).distinct()


class Competition(models.Model):
    """A contest with pages, rules and phases. A server hosts one or more."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=120)
    summary = models.CharField(max_length=300, blank=True)
    is_published = models.BooleanField(
        "published", default=False, help_text="A draft is seen by its organisers alone."
    )
    organisers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="organised_competitions"
    )
    logo = models.CharField(
        max_length=80,
        blank=True,
        default="",
        db_default="",
        help_text="The name of one of the competition's pictures.",
    )
    data_note = models.CharField(
        max_length=300,
        blank=True,
        help_text="Shown next to every board: the data that the scores are based on, for example synthetic data.",
    )
    max_team_size = models.PositiveSmallIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    roster_locks_at = models.DateTimeField(
        null=True, blank=True, help_text="From this date, nobody can join, leave or be removed."
    )
    roster_reopens_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="From this date, new teams may form, for a phase open to everybody; existing teams stay locked.",
    )
    mergers_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Teams may merge until this date. Empty: as long as the roster is open.",
    )
    descriptions_due_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Only teams that hand in a method description by this date are eligible.",
    )
    approval_needed_from = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Teams created from this date wait until an organiser approves them. Empty: no approval.",
    )
    takes_questions = models.BooleanField(
        default=True, db_default=True, help_text="Participants may ask questions on the competition's page."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = CompetitionQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(roster_reopens_at=None)
                | models.Q(roster_reopens_at__gt=models.F("roster_locks_at")),
                name="roster_reopens_after_it_locks",
                violation_error_message="The roster can reopen only after the date that locks it.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def is_organised_by(self, user: Any) -> bool:
        if not organises(user):
            return False
        return user.is_superuser or self.organisers.filter(pk=user.pk).exists()

    def is_helped_by(self, user: Any) -> bool:
        """Whether the person organises it or is one of its helpers."""
        if self.is_organised_by(user):
            return True
        return bool(organises(user) and self.roles.filter(user=user, kind="helper").exists())

    def roster_is_locked(self, now: datetime, made_at: datetime | None = None) -> bool:
        """Whether a team created at ``made_at`` is locked; None: whether creating a team is blocked now."""
        if self.roster_locks_at is None or now < self.roster_locks_at:
            return False
        again = self.roster_reopens_at
        return again is None or now < again or (made_at is not None and made_at < again)


class Page(models.Model):
    """A page in Markdown: overview, data, rules, prizes. The first one is the competition's home page."""

    RESERVED = (
        "announcements",
        "board",
        "images",
        "jury",
        "labels",
        "pictures",
        "questions",
        "report",
        "statistics",
        "submissions",
        "winners",
        "submit",
        "team",
        "teams",
        "terms",
        "trust",
    )  # used in the competition's own URLs

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="pages")
    slug = models.SlugField()
    title = models.CharField(max_length=80)
    body = models.TextField(help_text="Markdown. Raw HTML is removed.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["competition", "slug"], name="one_page_of_a_slug")]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        if self.slug in self.RESERVED:
            raise ValidationError({"slug": f"{self.slug} is reserved by the site. Choose another word."})


class PhaseQuerySet(models.QuerySet["Phase"]):
    def visible_to(self, user: Any) -> "PhaseQuerySet":
        return self.filter(competition__in=Competition.objects.visible_to(user))

    def open_at(self, now: datetime) -> "PhaseQuerySet":
        return self.filter(opens_at__lte=now).filter(models.Q(closes_at=None) | models.Q(closes_at__gt=now))

    def with_labels(self) -> "PhaseQuerySet":
        """With the competition and the current label set, but without its masks, which only workers need."""
        return self.select_related("competition", "labels").defer("labels__masks")

    def to_review(self, now: datetime, pause: timedelta) -> "PhaseQuerySet":
        """Phases with new scores since the last run of the detectors, if that was some time ago."""
        in_force = {"pk": models.OuterRef("labels"), "evaluations__state": "scored"}
        later = {"evaluations__finished_at__gt": models.OuterRef("reviewed_at")}
        since = LabelSet.objects.filter(**in_force, **later)
        never = models.Q(models.Exists(LabelSet.objects.filter(**in_force)), reviewed_at=None)
        return self.filter(never | models.Q(models.Exists(since), reviewed_at__lt=now - pause)).order_by(
            models.F("reviewed_at").asc(nulls_first=True), "pk"
        )

    def bump_board(self, phase_id: int) -> None:
        """Increase the version of the phase's board, on which its ETag depends."""
        self.filter(pk=phase_id).update(board_version=models.F("board_version") + 1)


class Phase(models.Model):
    """A period of a competition with its own labels, quotas, withdrawal rule and visible metrics."""

    class Metrics(models.TextChoices):
        ALL = "all", "precision, recall and F1"
        F1 = "f1", "F1 alone"

    class Counts(models.TextChoices):
        BEST = "best", "the team's best submission"
        LATEST = "latest", "the team's latest submission"
        SELECTED = "selected", "the best of those that the team selected"

    class Gallery(models.TextChoices):
        AUTO = "auto", "organisers; everyone if the labels are public"
        ORGANISERS = "organisers", "organisers only"
        PUBLIC = "public", "everyone, once the phase has ended"

    class Feedback(models.TextChoices):
        """What teams see of their own submissions beyond the scores; ``visibility.feedback_of`` is the rule."""

        NONE = "none", "nothing more"
        HISTOGRAM = "histogram", "a histogram of the scores per patch"
        PATCHES = "patches", "the score of each patch"
        ERRORS = "errors", "after the end: the error map of each patch"

    competition = models.ForeignKey(Competition, models.CASCADE, related_name="phases")
    slug = models.SlugField()
    name = models.CharField(max_length=80)
    summary = models.CharField(max_length=300, blank=True)
    position = models.PositiveSmallIntegerField(default=0)
    opens_at = models.DateTimeField()
    closes_at = models.DateTimeField(null=True, blank=True, help_text="Empty: no end.")
    grace_minutes = models.PositiveSmallIntegerField(
        default=15,
        db_default=15,
        validators=[MaxValueValidator(24 * 60)],
        help_text="How long after the end an upload that began in time may finish. It counts from its beginning.",
    )
    labels = models.ForeignKey(
        "LabelSet", models.PROTECT, null=True, blank=True, related_name="+", help_text="The current version."
    )
    labels_public_since = models.DateField(
        null=True, blank=True, help_text="Set if these labels are publicly known; the board says so."
    )
    # Quotas: each optional, in any combination.
    quota_total = models.PositiveIntegerField(
        null=True, blank=True, help_text="Submissions per team in total."
    )
    quota_per_day = models.PositiveIntegerField(
        null=True, blank=True, help_text="Submissions per team and UTC day."
    )
    quota_on_board = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Results per team on the board at a time; withdrawing one frees its place.",
    )
    allows_withdrawal = models.BooleanField(default=False, help_text="Teams may withdraw submissions.")
    # What is shown, and which submission counts
    visible_metrics = models.CharField(max_length=10, choices=Metrics, default=Metrics.ALL)
    counts = models.CharField(max_length=10, choices=Counts, default=Counts.BEST)
    selected_limit = models.PositiveSmallIntegerField(default=2, help_text="How many each team may select.")
    hidden_until_close = models.BooleanField(
        default=False, help_text="Until the end, only organisers can see scores."
    )
    freezes_at = models.DateTimeField(
        null=True, blank=True, help_text="From this date until the end, the public board does not change."
    )
    ladder_step = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Ladder step as a fraction of F1, such as 0.005.",
    )
    ladder_start = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Start of the Ladder: the baseline's F1.",
    )
    gallery = models.CharField(
        "pictures of the hardest patches",
        max_length=10,
        choices=Gallery,
        default=Gallery.AUTO,
        help_text="Who can see them in a published report. They show the hidden labels of these patches.",
    )
    feedback = models.CharField(
        max_length=10,
        choices=Feedback,
        default=Feedback.NONE,
        help_text="What teams see of their own submissions beyond the scores. Scores per patch tell much about the "
        "labels, and an error map shows them.",
    )
    extended_until = models.DateTimeField(
        null=True, editable=False, help_text="The latest end of a single team (``Extension``)."
    )
    reviewed_at = models.DateTimeField(
        null=True, editable=False, help_text="Last run of the detectors on this phase."
    )
    board_version = models.PositiveBigIntegerField(default=0, editable=False)

    objects = PhaseQuerySet.as_manager()

    class Meta:
        ordering = ["competition", "position", "opens_at"]
        constraints = [
            models.UniqueConstraint(fields=["competition", "slug"], name="one_phase_of_a_slug"),
            models.CheckConstraint(
                condition=models.Q(closes_at=None) | models.Q(closes_at__gt=models.F("opens_at")),
                name="phase_closes_after_it_opens",
                violation_error_message="A phase must close after it opens.",
            ),
            models.CheckConstraint(
                condition=models.Q(ladder_step=None)
                | models.Q(ladder_step__gt=0, ladder_start__isnull=False),
                name="ladder_has_step_and_start",
                violation_error_message="A Ladder needs a step above 0 and a start (the baseline's F1).",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.competition}: {self.name}"

    def clean(self) -> None:
        if self.labels is not None and self.labels.phase_id != self.pk:
            raise ValidationError({"labels": "This label set belongs to another phase."})

    def has_opened(self, now: datetime) -> bool:
        return now >= self.opens_at

    def has_closed(self, now: datetime) -> bool:
        return self.closes_at is not None and now >= self.closes_at

    @property
    def grace_ends_at(self) -> datetime | None:
        """Until when uploads that began before the end may finish; None: the phase has no end."""
        return self.closes_at and self.closes_at + timedelta(minutes=self.grace_minutes)

    @property
    def uploads_end_at(self) -> datetime | None:
        """The same of the team that has most time: what the end reveals is revealed then."""
        if self.closes_at is None:
            return None
        last = max(self.closes_at, self.extended_until or self.closes_at)
        return last + timedelta(minutes=self.grace_minutes)

    def uploads_have_ended(self, now: datetime) -> bool:
        """Whether no upload of any team can arrive any more: from here on, the phase's entries are complete."""
        return self.uploads_end_at is not None and now >= self.uploads_end_at

    def labels_are_public(self, now: datetime) -> bool:
        return self.labels_public_since is not None and self.labels_public_since <= now.date()

    def is_open(self, now: datetime) -> bool:
        return self.has_opened(now) and not self.has_closed(now)

    def accepts_submissions(self, now: datetime) -> bool:
        """For teams in general; whether one team may still submit depends on its quota."""
        return self.is_open(now) and self.labels_id is not None

    @property
    def ladder(self) -> Ladder | None:
        """The Ladder that releases scores before the end, if the phase uses one."""
        if self.ladder_step is None or self.ladder_start is None:
            return None
        return Ladder(Fraction(self.ladder_step), Fraction(self.ladder_start))

    @property
    def shows_a_board_of_its_own(self) -> bool:
        """Whether the public board may differ from the exact one before the end (freeze or Ladder)."""
        return self.freezes_at is not None or self.ladder_step is not None


class LabelSet(models.Model):
    """One version of a phase's hidden masks: replaced by a new version, never edited.

    ``masks`` holds them bit-packed and compressed (``evaluation.scoring.labels``), so workers on any host can
    read them from the database, while code that parses uploads cannot.
    """

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="label_sets")
    version = models.PositiveIntegerField()
    patches = models.PositiveIntegerField()
    height = models.PositiveIntegerField(default=TASK.height)
    width = models.PositiveIntegerField(default=TASK.width)
    positive_pixels = models.PositiveBigIntegerField()
    sha256 = models.CharField("SHA-256 of the packed masks", max_length=64)
    salt = models.CharField(max_length=64, editable=False)
    masks = models.BinaryField(editable=False)
    sites = models.JSONField(
        default=list, editable=False, help_text="The site of each patch, in order; empty if unknown."
    )
    note = models.CharField(max_length=300, blank=True)
    revealed_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="The date on which the salt became public."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["phase", "version"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "version"], name="one_label_set_of_a_version")
        ]

    def __str__(self) -> str:
        return f"{self.phase} labels v{self.version}"

    @property
    def commitment(self) -> str:
        """SHA-256 of a salt and the masks' SHA-256: commits to the labels without revealing them."""
        return commitment(self.salt, self.sha256)


class QuickLook(models.Model):
    """A picture of a patch's public image, for the report's gallery and for masks drawn over it."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="quick_looks")
    patch = models.PositiveIntegerField(help_text="The patch number, from 1.")
    kind = models.CharField(
        max_length=10,
        default=TASK.composites[0].key,
        help_text="Which bands it shows: a key of TASK.composites.",
    )
    png = models.BinaryField(editable=False)

    class Meta:
        ordering = ["phase", "patch", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "patch", "kind"], name="one_quick_look_of_a_kind")
        ]

    def __str__(self) -> str:
        return f"patch {self.patch} of {self.phase}, {self.kind}"
