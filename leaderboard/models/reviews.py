"""The detectors' findings in a phase, for organisers to review: not verdicts, never shown to participants."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from .competitions import Phase
from .teams import Team


class ReviewQuerySet(models.QuerySet["Review"]):
    def to_look_at(self) -> "ReviewQuerySet":
        """Not reviewed yet, or changed since."""
        unseen = models.Q(looked_at=None) | models.Q(looked_at__lt=models.F("changed_at"))
        return self.filter(unseen, stands=True)


class Review(models.Model):
    """One thing to look at: a team that may be probing the labels, or two teams that may have copied.

    ``evidence`` holds the detector's figures (``evaluation.report.detectors``). A shared baseline, pre-trained weights or
    an ensemble look the same, so the figures alone prove nothing.
    """

    class Kind(models.TextChoices):
        PROBING = "probing", "probing the labels"
        SAME_MASKS = "same_masks", "the same masks"
        SAME_COUNTS = "same_counts", "same counts on many patches"
        SAME_ERRORS = "same_errors", "unusually similar errors"

    phase = models.ForeignKey(Phase, models.CASCADE, related_name="reviews")
    kind = models.CharField(max_length=12, choices=Kind)
    team = models.ForeignKey(Team, models.CASCADE, related_name="+")
    other = models.ForeignKey(Team, models.CASCADE, null=True, related_name="+")
    evidence = models.JSONField(default=dict)
    weight = models.FloatField(default=0, help_text="Comparable within one kind; higher is more suspicious.")
    stands = models.BooleanField("still found", default=True)
    found_at = models.DateTimeField(default=timezone.now)
    changed_at = models.DateTimeField(default=timezone.now)
    looked_at = models.DateTimeField(null=True)
    looked_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    note = models.CharField(max_length=300, blank=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-changed_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["phase", "kind", "team", "other"],
                condition=models.Q(other__isnull=False),
                name="one_review_of_a_pair",
            ),
            models.UniqueConstraint(
                fields=["phase", "kind", "team"],
                condition=models.Q(other__isnull=True),
                name="one_review_of_a_team",
            ),
        ]

    def __str__(self) -> str:
        who = f"{self.team} and {self.other}" if self.other else str(self.team)
        return f"{who}: {self.get_kind_display()}"

    @property
    def state(self) -> str:
        if self.looked_at is None:
            return "to look at"
        return "changed since" if self.looked_at < self.changed_at else "looked at"

    @property
    def figures(self) -> str:
        """The evidence as one sentence."""
        return _SENTENCES[self.Kind(self.kind)](self.evidence)


def _probing(found: dict[str, Any]) -> str:
    return (
        f"{found['suspicious']} of {found['submissions']} submissions: {found['tiny']} predict under a tenth of the "
        f"usual pixels, {found['nearly_repeated']} differ from an earlier one by the same team on at most two patches, "
        f"{found['under_half_baseline']} score under half of the baseline"
    )


def _same_masks(found: dict[str, Any]) -> str:
    return f"{found['masks']} identical masks were submitted by both teams"


def _same_counts(found: dict[str, Any]) -> str:
    return f"{found['value']:.1%} of the patches; beyond {found['limit']:.1%} a pair stands out in this field"


def _same_errors(found: dict[str, Any]) -> str:
    return f"Jaccard index {found['value']:.3f}; beyond {found['limit']:.3f} a pair stands out in this field"


_SENTENCES = {
    Review.Kind.PROBING: _probing,
    Review.Kind.SAME_MASKS: _same_masks,
    Review.Kind.SAME_COUNTS: _same_counts,
    Review.Kind.SAME_ERRORS: _same_errors,
}
