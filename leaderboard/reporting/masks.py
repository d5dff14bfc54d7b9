"""The masks of a submission patch by patch: how much they mark, what changed, which look odd, how each scored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.utils.safestring import SafeString, mark_safe

from evaluation.scoring import labels, metrics
from evaluation.scoring.counts import Counts, Packed
from evaluation.task import MaskSpec
from leaderboard.models import LabelSet, Prediction, Submission
from leaderboard.models.visibility import Feedback

from . import charts

BINS = 10


@dataclass(frozen=True)
class PatchFacts:
    """What is known of a patch (``number`` from 1): pixels marked; pixels that differ from the other masks; its F1 in
    percent where the phase tells it and it is defined; TP, FP and FN for who may see errors."""

    number: int
    marked: int
    pixels: int
    changed: int | None = None
    was_marked: int | None = None
    f1: float | None = None
    counts: tuple[int, int, int] | None = None

    @property
    def share(self) -> float:
        """Percent of the pixels marked."""
        return 100 * self.marked / self.pixels

    @property
    def is_full(self) -> bool:
        return self.marked == self.pixels

    @property
    def is_newly_empty(self) -> bool:
        """Empty, and not known to have been so before."""
        return self.marked == 0 and self.was_marked != 0

    @property
    def oddity(self) -> str:
        """Why it is an outlier, in a word; "" if it is none."""
        if self.is_full:
            return "full"
        return "empty" if self.is_newly_empty else ""


Key = Callable[[PatchFacts], Any]
ORDERS: dict[str, tuple[str, Key]] = {
    "outliers": (
        "Outliers first",
        lambda patch: (not patch.is_full, not patch.is_newly_empty, -(patch.changed or 0), -patch.marked),
    ),
    "changed": ("Most changed first", lambda patch: -(patch.changed or 0)),
    "marked": ("Most marked first", lambda patch: -patch.marked),
    "worst": ("Lowest F1 first", lambda patch: (patch.f1 is None, patch.f1)),
    "number": ("By number", lambda patch: patch.number),
}


def in_order(patches: Sequence[PatchFacts], order: str) -> list[PatchFacts]:
    """The patches in one of ORDERS; ties by number."""
    return sorted(patches, key=ORDERS[order][1])


def spec_of(label_set: LabelSet) -> MaskSpec:
    return MaskSpec(label_set.patches, label_set.height, label_set.width)


def stored_masks(submission: Submission) -> bytes | None:
    """The masks as stored (``evaluation.scoring.labels.compress``); None unless it has been scored."""
    kept = Prediction.objects.filter(submission=submission.pk).values_list("masks", flat=True).first()
    return None if kept is None else bytes(kept)


def with_masks(submission: Submission) -> list[Submission]:
    """The team's other submissions of the phase whose masks are stored, newest first."""
    others = Submission.objects.filter(phase=submission.phase_id, team=submission.team_id)
    stored = others.exclude(pk=submission.pk).filter(prediction__isnull=False)
    return list(stored.only("pk", "method", "received_at", "phase_id", "team_id"))


def facts_of(
    masks: Packed, spec: MaskSpec, before: Packed | None, counts: Counts | None, feedback: Feedback
) -> list[PatchFacts]:
    """The facts of every patch, as far as ``feedback`` allows. ``before``: masks to compare with."""
    marked = np.bitwise_count(masks).sum(1, dtype=np.int64).tolist()
    none: list[Any] = [None] * spec.patches
    changed, was = none, none
    if before is not None:
        changed = np.bitwise_count(masks ^ before).sum(1, dtype=np.int64).tolist()
        was = np.bitwise_count(before).sum(1, dtype=np.int64).tolist()
    shown = none
    if counts is not None and feedback.patches:
        shown = list(zip(counts.tp.tolist(), counts.fp.tolist(), counts.fn.tolist(), strict=True))
    return [
        PatchFacts(
            number=k + 1,
            marked=marked[k],
            pixels=spec.pixels,
            changed=changed[k],
            was_marked=was[k],
            f1=None if shown[k] is None else _f1(*shown[k]),
            counts=shown[k] if feedback.errors else None,
        )
        for k in range(spec.patches)
    ]


def _f1(tp: int, fp: int, fn: int) -> float | None:
    """F1 in percent; None where neither mask nor label has a pixel."""
    value = metrics.fraction(2 * tp, 2 * tp + fp + fn)
    return None if value is None else 100 * value


def counts_of(submission: Submission) -> Counts | None:
    """The counts per patch of a scored submission."""
    evaluation = submission.evaluation
    if evaluation is None or not evaluation.patch_counts:
        return None
    return Counts.from_bytes(bytes(evaluation.patch_counts))


def histogram(counts: Counts) -> SafeString:
    """How many patches scored how much: bars of ten points of F1, over the patches where it is defined."""
    size = 2 * counts.tp.astype(np.int64) + counts.fp + counts.fn
    scores = 2 * counts.tp.astype(np.int64)[size > 0] / size[size > 0]
    numbers, _ = np.histogram(scores, BINS, (0, 1))
    step = 100 // BINS
    bars = [(f"{k * step}–{(k + 1) * step}", float(number)) for k, number in enumerate(numbers)]
    return mark_safe(charts.bar_chart("F1 of the patches", bars, "patches"))  # noqa: S308 - it escapes all text


def unpacked(stored: bytes, spec: MaskSpec) -> Packed:
    return labels.decompress(stored, spec)
