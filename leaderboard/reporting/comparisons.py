"""Two submissions of a phase beside each other: scores, their paired difference, and the pixels that changed."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from evaluation.report.phase_report import sampling_units
from evaluation.statistics.intervals import differences
from leaderboard.models import Submission
from leaderboard.models.visibility import (
    Feedback,
    Ratio,
    Scores,
    View,
    feedback_of,
    interval_decimals,
    visible_scores,
)

from .masks import counts_of, facts_of, spec_of, stored_masks, unpacked
from .snapshots import count_table


@dataclass(frozen=True)
class Line:
    """A metric of both submissions; ``delta`` is second minus first in points."""

    name: str
    first: Ratio
    second: Ratio

    @property
    def delta(self) -> float:
        return 100 * (self.second.value - self.first.value)


@dataclass(frozen=True)
class Interval:
    """The paired 95 % interval of the difference of F1 (second minus first) in points, and to how many decimals the
    viewer may see it."""

    low: float
    high: float
    decimals: int

    @property
    def is_clear(self) -> bool:
        """Whether no difference lies outside."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class PatchChange:
    """A patch in which the masks differ; ``delta`` in points of F1 where the phase tells it."""

    number: int
    changed: int
    delta: float | None


@dataclass(frozen=True)
class Comparison:
    lines: list[Line]
    interval: Interval | None
    patches: list[PatchChange]
    changed: int
    has_masks: bool


def compare(first: Submission, second: Submission, view: View, now: datetime) -> Comparison:
    """What a viewer with this view of their phase may see of two submissions; patches most changed first."""
    scores = visible_scores(first.evaluation, view), visible_scores(second.evaluation, view)
    feedback = feedback_of(first.phase, view, now)
    patches = _changes(first, second, feedback)
    return Comparison(
        _lines(*scores),
        _interval(first, second, view, now),
        patches or [],
        sum(patch.changed for patch in patches or ()),
        patches is not None,
    )


def _lines(first: Scores, second: Scores) -> list[Line]:
    pairs = (
        ("F1", first.f1, second.f1),
        ("Precision", first.precision, second.precision),
        ("Recall", first.recall, second.recall),
    )
    return [Line(name, a, b) for name, a, b in pairs if a is not None and b is not None]


def _interval(first: Submission, second: Submission, view: View, now: datetime) -> Interval | None:
    """None where it is hidden, or where the two were scored on different labels."""
    decimals = interval_decimals(first.phase, view, now)
    a, b = first.evaluation, second.evaluation
    if decimals is None or not (a and b and a.patch_counts and b.patch_counts):
        return None
    if a.label_set_id != b.label_set_id:
        return None
    try:
        table = count_table([("first", first), ("second", second)], a.label_set.sites)
        paired = differences(sampling_units(table))
    except ValueError:  # labels without positive pixels, a single patch
        return None
    delta, half = 100 * float(paired.delta[1, 0]), 100 * float(paired.half_width[1, 0])
    return Interval(delta - half, delta + half, decimals)


def _changes(first: Submission, second: Submission, feedback: Feedback) -> list[PatchChange] | None:
    """None unless both masks are stored and of the same number and size."""
    a, b = stored_masks(first), stored_masks(second)
    if a is None or b is None or first.evaluation is None or second.evaluation is None:
        return None
    spec = spec_of(first.evaluation.label_set)
    if spec != spec_of(second.evaluation.label_set):
        return None
    before, after = unpacked(a, spec), unpacked(b, spec)
    changed = np.bitwise_count(before ^ after).sum(1, dtype=np.int64).tolist()
    deltas: list[float | None] = [None] * spec.patches
    if feedback.patches:
        old = facts_of(before, spec, None, counts_of(first), feedback)
        new = facts_of(after, spec, None, counts_of(second), feedback)
        deltas = [
            None if x.f1 is None or y.f1 is None else y.f1 - x.f1 for x, y in zip(old, new, strict=True)
        ]
    found = [PatchChange(k + 1, changed[k], deltas[k]) for k in range(spec.patches) if changed[k]]
    return sorted(found, key=lambda patch: -patch.changed)
