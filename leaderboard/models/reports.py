"""The report of a phase: requested, built by a worker, published by an organiser."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import LabelSet, Phase
from .visibility import View, snapshots_may_be_public

TRIES = 3


class PhaseReportQuerySet(models.QuerySet["PhaseReport"]):
    def built(self) -> "PhaseReportQuerySet":
        return self.exclude(built_at=None)

    def waiting(self, now: datetime) -> "PhaseReportQuerySet":
        """Requested, not built, and without a live worker: not started, or the worker has died."""
        dead = now - timedelta(seconds=settings.EVALUATION_TIME_LIMIT_SECONDS)
        begun = models.Q(started_at=None) | models.Q(started_at__lt=dead)
        return self.filter(begun, built_at=None, error="", tries__lt=TRIES).order_by("requested_at", "pk")

    def for_viewer(self, phase: Phase, view: View, now: datetime) -> "PhaseReportQuerySet":
        """The reports that a viewer with this view of the phase may read, the one to show first.

        Organisers may read all built reports, newest first; others only published ones, after the end of the phase or,
        in a phase without end, while it shows its exact board.
        """
        reports = self.filter(phase=phase).built().select_related("label_set").defer("label_set__masks")
        if view.shows("counts"):
            return reports.order_by("-pk")
        if not (phase.uploads_have_ended(now) or snapshots_may_be_public(phase, view)):
            return reports.none()
        return reports.exclude(published_at=None).order_by("-published_at", "-pk")


class PhaseReport(models.Model):
    """The statistics of a phase at one moment (``evaluation.report.phase_report``), as data. Never edited; a new one is built."""

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="reports")
    label_set = models.ForeignKey(LabelSet, models.PROTECT, null=True, editable=False, related_name="+")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, editable=False, related_name="+"
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    tries = models.PositiveSmallIntegerField(default=0, editable=False)
    built_at = models.DateTimeField(null=True, editable=False)
    error = models.CharField(max_length=300, blank=True, editable=False)
    snapshot = models.CharField("SHA-256 of the counts", max_length=64, blank=True, editable=False)
    content = models.JSONField(default=dict, editable=False)
    published_at = models.DateTimeField(null=True, editable=False)
    as_of = models.DateTimeField(
        "as of",
        null=True,
        blank=True,
        help_text="Include only submissions received before this. Empty: all; in a phase without end, all until now.",
    )

    objects = PhaseReportQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"report {self.pk} of {self.phase}"

    @property
    def state(self) -> str:
        """One word: published, built, failed, being built or waiting."""
        if self.published_at:
            return "published"
        if self.built_at:
            return "built"
        if self.error:
            return "failed"
        return "being built" if self.started_at else "waiting"


class PatchPicture(models.Model):
    """A picture of one of a report's hardest patches. It shows the label; see ``visibility.gallery_is_public``."""

    class Kind(models.TextChoices):
        IMAGE = "image", "the image"
        VOTE = "vote", "the majority of the teams"
        SHARE = "share", "how many of the teams"

    report = models.ForeignKey(PhaseReport, models.CASCADE, related_name="pictures")
    patch = models.PositiveIntegerField()
    kind = models.CharField(max_length=5, choices=Kind)
    png = models.BinaryField(editable=False)

    class Meta:
        ordering = ["report", "patch", "kind"]
        constraints = [
            models.UniqueConstraint(fields=["report", "patch", "kind"], name="one_picture_of_a_kind")
        ]

    def __str__(self) -> str:
        return f"{self.kind} of patch {self.patch} in {self.report}"
