"""Normalisation: each band minus a mean, divided by a standard deviation. The option `normalise` chooses which.

"official": constants of the organisers' loader; "train": statistics of the training split; "separated": each split's own
(the winner's separated normalisation, section IV-B of the outcome paper), which removes differences between the sensors,
seasons and atmospheres of the splits.
"""

import numpy as np
import torch

from baseline.data.dataset import Patches, Statistics
from baseline.data.pool import Pool

_AT_ONCE = 256  # patches normalised at a time


def to_pool(patches: Patches, statistics: Statistics, device: torch.device, images_on: str = "auto") -> Pool:
    """The normalised patches, float16, with labels if the patches have masks; batches of them are on the device.

    images_on: see `Options`.
    """
    home = torch.device("cpu") if on_host(patches.images.size * 2, device, images_on) else device
    mean, std = (values.astype(np.float32)[:, None, None] for values in (statistics.mean, statistics.std))
    count, bands, height, width = patches.images.shape
    images = torch.empty((count, height, width, bands), dtype=torch.float16, device=home)
    for start in range(0, count, _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        normalised = (patches.images[rows] - mean) / np.maximum(std, 1e-6)
        images[rows] = torch.from_numpy(normalised).permute(0, 2, 3, 1).to(home)
    labels = None if patches.masks is None else torch.from_numpy(patches.masks).to(home)
    return Pool(images, labels, patches.split.name, device=device)


def on_host(size: int, device: torch.device, images_on: str) -> bool:
    """Whether images of that many bytes stay in the host's memory."""
    if images_on != "auto":
        return images_on == "host"
    return device.type == "cuda" and size > torch.cuda.mem_get_info(device)[0] / 2


def to_json(statistics: Statistics) -> dict[str, list[float]]:
    return {"mean": statistics.mean.tolist(), "std": statistics.std.tolist()}


def from_json(content: dict[str, list[float]]) -> Statistics:
    return Statistics(np.array(content["mean"]), np.array(content["std"]))
