"""Figures 9 and 10 of the outcome paper, drawn from finished runs of Seek: what the encoder responds to, and what λ selects."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from baseline.data.dataset import find_split, read_image, read_mask
from baseline.data.pool import Pool
from baseline.synth.pictures import stretched
from baseline.training.predictor import PerTarget, Predictor
from baseline.training.pseudo import most_confident
from baseline.training.run import Run
from evaluation.task import TASK

LAMBDAS = (0.5, 0.7, 0.9, 1.0)
_CLASSES = {0: (0.80, 0.15, 0.15), 1: (0.0, 0.0, 0.0), 255: (1.0, 1.0, 1.0)}
"""Fig. 10's colours: selected background red, selected landslide black, the rest white."""


class FigureError(ValueError):
    """A figure cannot be drawn of these runs."""


def draw_activations(runs: Mapping[str, Run], split: str, rows: Sequence[int], path: Path) -> None:
    """Fig. 9: a row for each patch (row numbers of the split): image, the response of each run's encoder, ground truth."""
    columns = {}
    for label, run in runs.items():
        predictor = run.trained()
        predictor.split = split
        columns[label] = activations(_network(predictor, split), run.pool(split), rows).numpy()
    first = next(iter(runs.values()))
    pictures = [
        [image, *(maps[place] for maps in columns.values()), *([mask] if mask is not None else [])]
        for place, (image, mask) in enumerate(_patches(first, split, rows))
    ]
    titles = ["image", *columns, "ground truth"]
    _draw(pictures, titles, path)


def activations(network: nn.Module, pool: Pool, rows: Sequence[int]) -> Tensor:
    """How strongly the encoder responds to each pixel, 0-1 in each image: float32 (len(rows), H, W).

    The norm over the channels of every stage's features, brought to the size of the image and averaged over the stages. The paper
    does not say which features its figure shows.
    """
    encoder = next((m for name, m in network.named_modules() if name.split(".")[-1] == "encoder"), None)
    if encoder is None or isinstance(encoder, nn.ModuleList):
        raise FigureError(
            "This run's network has no encoder of a library to look into: train seek with --network swin."
        )
    images = pool.take(np.array(rows))
    seen: list[Tensor] = []

    def look(_: nn.Module, __: object, features: Sequence[Tensor]) -> None:
        size = images.images.shape[1:3]
        stages = [
            f.float().norm(dim=1, keepdim=True) for f in features if f.numel() and f.shape[-1] < size[-1]
        ]
        grown = [functional.interpolate(s / s.amax(), size, mode="bilinear") for s in stages]
        seen.append(torch.stack(grown).mean(0)[:, 0])

    handle = encoder.register_forward_hook(look)
    try:
        with torch.inference_mode():
            for batch in images.chunks(8):
                network.eval()(batch)
    finally:
        handle.remove()
    maps = torch.cat(seen)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    return ((maps - low) / (high - low).clamp_min(1e-9)).cpu()


def draw_pseudo_labels(run: Run, split: str, rows: Sequence[int], path: Path) -> None:
    """Fig. 10: a row for each patch: image, and what each λ selects by the run's probabilities of the whole split.

    The run is the one before self-training (`--confident 0`, or the study's row "before").
    """
    probabilities = run.predicted(run.trained(), run.pool(split))
    chosen = [most_confident(probabilities, share)[list(rows)].cpu().numpy() for share in LAMBDAS]
    pictures = [
        [image, *(_coloured(labels[place]) for labels in chosen)]
        for place, (image, _) in enumerate(_patches(run, split, rows))
    ]
    _draw(pictures, ["image", *(f"λ = {100 * share:.0f} %" for share in LAMBDAS)], path)


def richest(run: Run, split: str, count: int) -> list[int]:
    """Row numbers of the patches with most landslide pixels, where the split has labels; else evenly spread ones."""
    pool = run.pool(split)
    if pool.labels is None:
        return np.linspace(0, len(pool) - 1, min(count, len(pool))).astype(int).tolist()
    order = (pool.labels == 1).sum((1, 2)).argsort(descending=True, stable=True)
    return order[:count].tolist()


def _network(predictor: Predictor, split: str) -> nn.Module:
    member = predictor.member(split) if isinstance(predictor, PerTarget) else predictor
    return member.networks[0]


def _coloured(labels: np.ndarray) -> np.ndarray:
    picture = np.empty((*labels.shape, 3), np.float32)
    for value, colour in _CLASSES.items():
        picture[labels == value] = colour
    return picture


def _patches(run: Run, split: str, rows: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """True-colour pictures and masks."""
    files = find_split(run.data, split, mask_root=run.labels)
    masks = [read_mask(files.masks[row]) for row in rows] if files.masks else [None] * len(rows)
    return [
        (stretched(read_image(files.images[row]), TASK.rgb), mask)
        for row, mask in zip(rows, masks, strict=True)
    ]


def _draw(pictures: Sequence[Sequence[np.ndarray]], titles: Sequence[str], path: Path) -> None:
    from matplotlib.figure import Figure

    width = len(pictures[0])
    figure = Figure(figsize=(2.1 * width, 2.1 * len(pictures) + 0.3), layout="constrained")
    axes = figure.subplots(len(pictures), width, squeeze=False)
    for line, row in zip(axes, pictures, strict=True):
        for axis, picture in zip(line, row, strict=True):
            axis.imshow(
                picture, cmap="viridis" if picture.dtype.kind == "f" else "gray", interpolation="nearest"
            )
            axis.set_xticks([])
            axis.set_yticks([])
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
