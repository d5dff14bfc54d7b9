"""The score of predicted masks, by the server's own count."""

from dataclasses import dataclass

import numpy as np

from evaluation.scoring import counts, metrics


@dataclass(frozen=True)
class Score:
    """TP, FP and FN of the landslide class over all pixels of all patches."""

    tp: int
    fp: int
    fn: int

    @property
    def precision(self) -> float:
        return metrics.precision(self.tp, self.fp)

    @property
    def recall(self) -> float:
        return metrics.recall(self.tp, self.fn)

    @property
    def f1(self) -> float:
        return metrics.f1(self.tp, self.fp, self.fn)

    def to_dict(self) -> dict[str, float]:
        return {
            "tp": self.tp,
            "fp": self.fp,
            "fn": self.fn,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
        }

    def __str__(self) -> str:
        return f"precision {100 * self.precision:.2f} %, recall {100 * self.recall:.2f} %, F1 {100 * self.f1:.2f} %"


def score(predicted: np.ndarray, labels: np.ndarray) -> Score:
    """The score of masks (N, H, W) with values 0 and 1 against labels of the same shape and values."""
    return Score(*counts.count(counts.pack(predicted), counts.pack(labels)).total)
