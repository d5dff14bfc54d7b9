"""A large image, such as a Sentinel-2 tile with slope and elevation: predicted in overlapping windows, written as a GeoTIFF.

The windows overlap by half, and their probabilities are averaged with weights that fall to zero towards a window's edge, so that no
seams show. Memory holds one row of windows, whatever the size of the image.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from baseline.data.dataset import BANDS, SIZE, Statistics
from baseline.deploying.deployable import Deployable, deployable
from baseline.training.run import Run

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

NOTHING = 255
"""In the written mask: no data in the image."""
FAR = 5.0
"""A band whose mean lies more standard deviations from the training data's is probably in other units."""


class SceneError(ValueError):
    """An image cannot be predicted; the message names the file and the fix."""


@dataclass(frozen=True)
class Written:
    """What `predict` wrote: two files, and the pixels of the mask by value."""

    mask: Path
    probabilities: Path
    landslide: int
    background: int
    nothing: int


def predict(run: Run, image: Path, out: Path, split: str, threshold: float = 0.5, batch: int = 16) -> Written:
    """Predict a GeoTIFF of the 14 bands, in order and in the units of the training data.

    Writes `out` (uint8: 0 background, 1 landslide, 255 no data) and, beside it, `out` with "-probability" in its name (float32, NaN
    where there is no data), georeferenced as the image. A run with separated normalisation takes the scene's own statistics.
    split: whose networks predict, where the method adapted to several.
    """
    rasterio = _rasterio()
    try:
        with rasterio.open(image) as source:
            _check(source, image)
            statistics = _statistics(source)
            _warn(run, statistics)
            own = statistics if run.options.normalise == "separated" else None
            module = deployable(run, split, own)
            return _write(rasterio, module, source, statistics, out, threshold, batch)
    except rasterio.errors.RasterioIOError as error:
        raise SceneError(f"{image} cannot be read as an image ({error}).") from error


def _rasterio() -> Any:
    try:
        import rasterio
        import rasterio.errors
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("scene needs the package: pip install rasterio") from error
    return rasterio


def _check(source: DatasetReader, image: Path) -> None:
    if source.count != len(BANDS):
        raise SceneError(
            f"{image} has {source.count} bands; {len(BANDS)} are expected, in this order: {', '.join(BANDS)}."
        )
    if min(source.shape) < SIZE:
        raise SceneError(
            f"{image} is {source.width} × {source.height} pixels; at least {SIZE} × {SIZE} are needed."
        )


def _rows(source: DatasetReader, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the image, float32 (14, rows, width), and where all bands have data, bool (rows, width)."""
    values = source.read(window=((start, stop), (0, source.width)), masked=True).astype(np.float32)
    data = np.isfinite(values.data) & ~np.ma.getmaskarray(values)
    return np.where(data, values.data, np.float32(0)), data.all(axis=0)


def _statistics(source: DatasetReader) -> Statistics:
    """Of the scene's pixels that have data."""
    count, total, squares = 0, np.zeros(len(BANDS)), np.zeros(len(BANDS))
    for start in range(0, source.height, SIZE):
        values, data = _rows(source, start, min(start + SIZE, source.height))
        chosen = values[:, data].astype(np.float64)
        count += chosen.shape[1]
        total += chosen.sum(1)
        squares += (chosen * chosen).sum(1)
    if not count:
        raise SceneError(f"{source.name} has no pixel with data in every band.")
    mean = total / count
    return Statistics(mean, np.sqrt(np.maximum(squares / count - mean**2, 0)))


def _warn(run: Run, scene: Statistics) -> None:
    if run.options.normalise != "train":
        return
    train = run.statistics("train")
    far = np.abs(scene.mean - train.mean) > FAR * np.maximum(train.std, 1e-6)
    if far.any():
        named = ", ".join(
            f"{BANDS[i]} (mean {scene.mean[i]:.3g}, in training {train.mean[i]:.3g})"
            for i in np.flatnonzero(far)
        )
        print(f"warning: are these bands in the units of the training data? {named}", file=sys.stderr)


def _starts(length: int) -> list[int]:
    """First pixels of windows that overlap by half and end with the image."""
    return [*range(0, length - SIZE, SIZE // 2), length - SIZE]


def _weights() -> np.ndarray:
    """float32 (SIZE, SIZE): highest in the middle, above zero everywhere."""
    line = np.sin(np.pi * (np.arange(SIZE) + 0.5) / SIZE) ** 2
    return np.outer(line, line).astype(np.float32) + 1e-3


def _strips(
    module: Deployable, source: DatasetReader, fill: np.ndarray, batch: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Finished rows from the top: the first row's number, and probabilities float32 (rows, width), NaN without data."""
    width, weights = source.width, _weights()
    columns, tops = _starts(width), _starts(source.height)
    device = module.mean.device
    total, weight = (np.zeros((SIZE, width), np.float32) for _ in range(2))
    for top, below in zip(tops, [*tops[1:], source.height], strict=True):
        values, data = _rows(source, top, top + SIZE)
        values = np.where(data, values, fill[:, None, None])
        for first in range(0, len(columns), batch):
            chosen = columns[first : first + batch]
            windows = torch.from_numpy(np.stack([values[:, :, left : left + SIZE] for left in chosen]))
            with torch.inference_mode():
                found = module(windows.to(device)).cpu().numpy()
            for left, probabilities in zip(chosen, found, strict=True):
                total[:, left : left + SIZE] += weights * probabilities
                weight[:, left : left + SIZE] += weights
        done = min(below - top, SIZE)
        yield top, np.where(data[:done], total[:done] / weight[:done], np.float32(np.nan))
        for sums in (total, weight):
            sums[: SIZE - done] = sums[done:]
            sums[SIZE - done :] = 0


def _write(
    rasterio: Any,
    module: Deployable,
    source: DatasetReader,
    statistics: Statistics,
    out: Path,
    threshold: float,
    batch: int,
) -> Written:
    beside = out.with_name(f"{out.stem}-probability{out.suffix}")
    profile = {"driver": "GTiff", "width": source.width, "height": source.height, "count": 1}
    profile |= {"crs": source.crs, "transform": source.transform, "compress": "deflate", "tiled": True}
    profile |= {"blockxsize": 256, "blockysize": 256, "BIGTIFF": "IF_SAFER"}
    fill = statistics.mean.astype(np.float32)
    pixels = np.zeros(3, np.int64)
    partial = [path.with_name(path.name + ".partial") for path in (out, beside)]
    with (
        rasterio.open(partial[0], "w", **profile, dtype="uint8", nodata=NOTHING) as masks,
        rasterio.open(partial[1], "w", **profile, dtype="float32", nodata=float("nan")) as probabilities,
    ):
        for top, rows in _strips(module, source, fill, batch):
            window = ((top, top + len(rows)), (0, source.width))
            mask = np.where(np.isnan(rows), NOTHING, rows >= threshold).astype(np.uint8)
            masks.write(mask, 1, window=window)
            probabilities.write(rows, 1, window=window)
            pixels += [(mask == value).sum() for value in (1, 0, NOTHING)]
    for path, whole in zip(partial, (out, beside), strict=True):
        path.replace(whole)
    return Written(out, beside, *map(int, pixels))
