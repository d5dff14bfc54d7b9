"""Augmentations of whole batches, on the device that holds them.

images (N, B, H, W) float, normalised; labels (N, H, W) integer. Random numbers come from the step's `Dice`, one per patch.
None is used unless a method asks for it; the organisers' recipe uses none.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from baseline.data.dice import Dice
from baseline.training.losses import Loss

SPECTRAL_BANDS = (
    12  # bands 0-11 are Sentinel-2; 12 is the slope and 13 the DEM, whose values no sensor or haze changes
)


def flips_and_turns(images: Tensor, labels: Tensor, dice: Dice) -> tuple[Tensor, Tensor]:
    """Each patch in one of its eight orientations: quarter turns, and flips with probability one half."""
    orientation = dice.integers(8)
    images, labels = images.clone(), labels.clone()
    for k in np.unique(orientation[orientation > 0]).tolist():
        rows = torch.from_numpy(np.flatnonzero(orientation == k)).to(images.device)
        images[rows] = oriented(images[rows], k)
        labels[rows] = oriented(labels[rows], k)
    return images, labels


def oriented(x: Tensor, k: int) -> Tensor:
    """Images or labels (..., H, W) in orientation k of 0-7: k mod 4 quarter turns, then flipped from 4 up."""
    turned = torch.rot90(x, k % 4, dims=(-2, -1))
    return turned.flip(-1) if k >= 4 else turned


def unoriented(x: Tensor, k: int) -> Tensor:
    """The inverse of `oriented`."""
    return torch.rot90(x.flip(-1) if k >= 4 else x, -(k % 4), dims=(-2, -1))


def perturb_colours(images: Tensor, dice: Dice, gain: float = 0.1, offset: float = 0.1) -> Tensor:
    """Spectral bands times 1 ± gain plus ± offset (in standard deviations), drawn per patch and band; slope and DEM stay."""
    shape = (min(SPECTRAL_BANDS, images.shape[1]), 1, 1)
    factors = torch.from_numpy(dice.uniform(1 - gain, 1 + gain, *shape)).to(images)
    offsets = torch.from_numpy(dice.uniform(-offset, offset, *shape)).to(images)
    spectral = images[:, :SPECTRAL_BANDS] * factors + offsets
    return torch.cat([spectral, images[:, SPECTRAL_BANDS:]], dim=1)


def scale_up(images: Tensor, size: int) -> Tensor:
    """Bicubic interpolation to size × size pixels; unchanged if they have that size."""
    if images.shape[-1] == size:
        return images
    return functional.interpolate(images, size=(size, size), mode="bicubic", align_corners=False)


class MixUp:
    """Each patch mixed with the next of the batch (Zhang et al., 2018): share (λ) of itself, 1 - share of the other; 1 = not mixed.

    With several processes, each mixes its own part of the batch.

    The loss is λ times the loss against a patch's own labels plus 1 − λ times that against its partner's.
    """

    def __init__(self, images: Tensor, labels: Tensor, share: float):
        self.share = share
        self.images = images if share == 1 else images.lerp(images.roll(1, dims=0), 1 - share)
        self.labels = labels
        self.partners = labels.roll(1, dims=0)

    def loss(self, loss: Loss, logits: Tensor) -> Tensor:
        own = loss(logits, self.labels)
        return own if self.share == 1 else self.share * own + (1 - self.share) * loss(logits, self.partners)
