"""Spectral selection (Table III of the outcome paper): which bands, or which mixtures of them, a network gets."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from baseline.data.pool import Pool

# Indices of the 14 bands. "SWIR" is the paper's "3-band far infrared in Sentinel-2": B10, B11 and B12.
SETS = {
    "rgb": (3, 2, 1),
    "swir": (9, 10, 11),
    "ngb": (7, 2, 1),
    "rgb+nir": (3, 2, 1, 7),
    "rgb+swir": (3, 2, 1, 9, 10, 11),
    "rgb+nir+swir": (3, 2, 1, 7, 9, 10, 11),
    "all": tuple(range(14)),
}
PCA_COMPONENTS = 3


def inputs(name: str) -> int:
    """The number of channels that a network on this set gets."""
    return PCA_COMPONENTS if name == "pca" else len(SETS[name])


class Spectral(nn.Module):
    """A network behind a fixed linear mixture of the bands; "pca" must be fitted to a pool before training."""

    mixture: Tensor
    network: Any

    def __init__(self, name: str, network: nn.Module, bands: int = 14):
        super().__init__()
        self.network = network
        chosen = torch.zeros(inputs(name), bands)
        if name != "pca":
            chosen[torch.arange(len(SETS[name])), list(SETS[name])] = 1
        self.register_buffer("mixture", chosen)

    def fit(self, pool: Pool) -> None:
        """Use the pool's principal components as the mixture."""
        self.mixture.copy_(principal_components(pool, len(self.mixture)))

    def mixed(self, images: Tensor) -> Tensor:
        """The channels (N, K, H, W) that the network gets."""
        return functional.conv2d(images, self.mixture[:, :, None, None])

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.mixed(images))


def principal_components(pool: Pool, count: int) -> Tensor:
    """float32 (count, B): the directions of greatest variance of the pool's pixels, each scaled to unit variance."""
    total = torch.zeros(pool.bands, dtype=torch.float64)
    products = torch.zeros(pool.bands, pool.bands, dtype=torch.float64)
    pixels = 0
    for images in pool.chunks(64):
        values = images.movedim(1, -1).reshape(-1, pool.bands).cpu().double()
        total += values.sum(0)
        products += values.T @ values
        pixels += len(values)
    mean = total / pixels
    variances, directions = torch.linalg.eigh(products / pixels - torch.outer(mean, mean))
    chosen = directions[:, -count:].flip(1) / variances[-count:].flip(0).clamp_min(1e-12).sqrt()
    signs = torch.where(
        chosen.sum(0) < 0, -1.0, 1.0
    )  # an eigenvector's sign is arbitrary; this makes it repeatable
    return (chosen * signs).T.float()
