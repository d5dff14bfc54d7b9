"""A submission's scores per patch as data, as far as a viewer may see them."""

import io
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from leaderboard.models import Submission
from leaderboard.models.visibility import View, feedback_of

from .masks import counts_of


@dataclass(frozen=True, eq=False)
class PatchScores:
    """Arrays of one value per patch: ``f1`` as a fraction, NaN where it is not defined; counts, None where hidden."""

    f1: Any
    tp: Any = None
    fp: Any = None
    fn: Any = None

    def arrays(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def as_npz(self) -> bytes:
        """Compressed, as numpy.load reads it."""
        content = io.BytesIO()
        np.savez_compressed(content, **self.arrays())
        return content.getvalue()


def patch_scores(submission: Submission, view: View, now: datetime) -> PatchScores | tuple[()] | None:
    """None where the phase hides scores per patch from this viewer; empty where there is no score."""
    feedback = feedback_of(submission.phase, view, now)
    if not feedback.patches:
        return None
    counts = counts_of(submission)
    if counts is None:
        return ()
    twice = 2 * counts.tp.astype(np.int64)
    size = twice + counts.fp + counts.fn
    f1 = np.full(len(counts), np.nan)
    np.divide(twice, size, out=f1, where=size > 0)
    return PatchScores(f1, counts.tp, counts.fp, counts.fn) if feedback.errors else PatchScores(f1)
