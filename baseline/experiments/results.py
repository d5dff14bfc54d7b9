"""Scores of a finished run on splits whose labels are available.

    metrics.json      totals of each split: counts, precision, recall, F1; the F1 at the best threshold
    counts/SPLIT.npz  TP, FP and FN of each patch

Besides "validation" and "test" there is "held-out": training patches that were left out of training, from sites that it trained on.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baseline.data import dataset as data
from baseline.training.predictor import Predictor
from baseline.training.run import Run, finished_weights
from baseline.training.scores import Score
from evaluation.scoring import metrics
from evaluation.scoring.counts import Counts, count, pack

SPLITS = ("validation", "test")
HELD_OUT = "held-out"
# Candidate thresholds, in even steps of log-odds, because a shifted model's probabilities are near 0 or 1.
THRESHOLDS = torch.sigmoid(torch.linspace(-9, 9, 361, dtype=torch.float64)).float()


@dataclass(frozen=True, eq=False)
class Result:
    """Counts of each patch at `threshold`; and the threshold at which F1 on these labels is highest, with that F1.

    sites: of the patches, where they are known. The best threshold was chosen by the labels: a bound on what a better threshold could gain, not a score.
    """

    counts: Counts
    threshold: float
    best_threshold: float
    best_f1: float
    data_sha256: str
    sites: tuple[str, ...] = ()

    @property
    def score(self) -> Score:
        return Score(*self.counts.total)

    def to_dict(self) -> dict[str, Any]:
        names = ("threshold", "best_threshold", "best_f1", "data_sha256")
        return self.score.to_dict() | {name: getattr(self, name) for name in names}

    def __str__(self) -> str:
        return str(self.score)


def score_run(
    run: Run, predictor: Predictor, splits: Iterable[str] | None = None, threshold: float = 0.5
) -> dict[str, Result]:
    """Results on the splits that have labels; also written to the run's folder, beside existing results of other splits.

    splits: by default validation, test and, where the run held patches out, "held-out".
    """
    if splits is None:
        splits = (*SPLITS, HELD_OUT) if run.holds_out else SPLITS
    found = {}
    for split in splits:
        if split == HELD_OUT or data.has_masks(run.data, split, run.labels):
            found[split] = _result(run, predictor, split, threshold)
    if run.world.main:
        for split, result in found.items():
            _write_counts(run.folder / "counts" / f"{split}.npz", result)
    kept = load_results(run.folder) | found
    run.write_json("metrics.json", {split: result.to_dict() for split, result in kept.items()})
    return found


def load_results(folder: Path) -> dict[str, Result]:
    """What `score_run` wrote; empty if it has written nothing since the weights were finished."""
    written, weights = folder / "metrics.json", finished_weights(folder)
    if not written.exists() or (weights and written.stat().st_mtime < weights.stat().st_mtime):
        return {}
    found = {}
    contents = json.loads(written.read_text())
    for split in (*SPLITS, HELD_OUT):
        if split not in contents:
            continue
        content = contents[split]
        counts = folder / "counts" / f"{split}.npz"
        if not counts.exists() or "best_f1" not in content:
            return {}
        with np.load(counts) as stored:
            of_patches = Counts(stored["tp"], stored["fp"], stored["fn"])
            sites = tuple(stored["sites"].tolist()) if "sites" in stored else ()
        names = ("threshold", "best_threshold", "best_f1", "data_sha256")
        found[split] = Result(of_patches, **{name: content[name] for name in names}, sites=sites)
    return found


def is_scored(run: Run) -> bool:
    """Whether the run's folder has the results of every split with labels, at the threshold 0.5."""
    found = load_results(run.folder)
    needed = {s for s in SPLITS if data.has_masks(run.data, s, run.labels)}
    needed |= {HELD_OUT} if run.holds_out else set()
    return needed <= set(found) and all(result.threshold == 0.5 for result in found.values())


def _result(run: Run, predictor: Predictor, split: str, threshold: float) -> Result:
    """One pass over the pool: counts at `threshold`, and the pixels of either class between every two thresholds."""
    pool = run.held_out if split == HELD_OUT else run.pool(split)
    assert pool.labels is not None
    masks, start = [], 0
    pixels = torch.zeros(2, len(THRESHOLDS) + 1, dtype=torch.int64)
    for probabilities in run.probabilities(predictor, pool):
        labels = pool.labels[start : start + len(probabilities)]
        masks.append((probabilities >= threshold).to(torch.uint8).cpu().numpy())
        pixels += _between_thresholds(probabilities, labels)
        start += len(probabilities)
    counts = count(pack(np.concatenate(masks)), pack(pool.labels.cpu().numpy()))
    best_threshold, best_f1 = best(pixels.numpy())
    return Result(counts, threshold, best_threshold, best_f1, run.hashes[pool.name], run.sites(split))


def _between_thresholds(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Pixels of background (row 0) and landslide (row 1) whose probability reaches exactly k of the thresholds: (2, K + 1)."""
    reached = torch.bucketize(probabilities, THRESHOLDS.to(probabilities.device), right=True)
    bins = len(THRESHOLDS) + 1
    return torch.bincount((reached + bins * labels.long()).flatten(), minlength=2 * bins).view(2, bins).cpu()


def best(pixels: np.ndarray) -> tuple[float, float]:
    """The threshold with the highest F1, and that F1, from what `_between_thresholds` counts."""
    above = pixels[:, ::-1].cumsum(1)[:, ::-1][:, 1:]  # pixels that reach threshold k, for each k
    landslide = int(pixels[1].sum())
    scores = [metrics.f1(int(tp), int(fp), landslide - int(tp)) for fp, tp in above.T]
    k = int(np.argmax(scores))
    return float(THRESHOLDS[k]), scores[k]


def _write_counts(path: Path, result: Result) -> None:
    counts, sites = result.counts, np.array(result.sites, dtype=str)
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez_compressed(file, tp=counts.tp, fp=counts.fp, fn=counts.fn, sites=sites)
    partial.replace(path)
