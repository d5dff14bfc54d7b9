"""Patches as tensors, wholly in the memory of the device that trains on them, or of its host where they do not fit.

3,799 patches are 1.74 GB as float16: less than a small GPU has, and no loader has to keep up with the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from baseline.data.dice import Dice


@dataclass(frozen=True, eq=False)
class Pool:
    """images (N, H, W, B) float16, normalised; labels uint8, 255 = ignored, (N, H, W) or several kinds (N, K, H, W), or None.

    name: of its stream of orders; crop: pixels of the random squares that batches are made of, 0 = whole patches; device: where
    batches go, None = where the images are.

    Images are stored channels last, as the files are: a batch of them is then channels last in torch's sense without a copy.
    """

    images: Tensor
    labels: Tensor | None = None
    name: str = ""
    crop: int = 0
    device: torch.device | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def bands(self) -> int:
        return self.images.shape[-1]

    def batch(self, dice: Dice) -> tuple[Tensor, Tensor]:
        """The step's images (n, B, H, W) float32 and labels (n, [K,] H, W) uint8."""
        if self.labels is None:
            raise ValueError(f"The pool {self.name!r} has no labels to train on.")
        patches = dice.patches(len(self), self.name)
        room = self.images.shape[1] - self.crop
        if not self.crop or room <= 0:
            rows = torch.from_numpy(patches).to(self.images.device)
            return self._images(rows), self.labels[rows].to(self.device)
        squares = [
            (row, slice(top, top + self.crop), slice(left, left + self.crop))
            for row, top, left in zip(patches, dice.integers(room + 1), dice.integers(room + 1), strict=True)
        ]
        images = torch.stack([self.images[row, down, right].float() for row, down, right in squares])
        labels = torch.stack([self.labels[row, ..., down, right] for row, down, right in squares])
        return images.to(self.device).permute(0, 3, 1, 2), labels.to(self.device)

    def chunks(self, size: int) -> Iterator[Tensor]:
        """All images in order, `size` at a time: (n, B, H, W) float32."""
        for start in range(0, len(self), size):
            yield self._images(slice(start, start + size))

    def _images(self, rows: Tensor | slice) -> Tensor:
        return self.images[rows].to(self.device).permute(0, 3, 1, 2).float()

    def labelled(self, labels: Tensor) -> "Pool":
        """The same images with other labels, as pseudo-labels are."""
        return replace(self, labels=labels.to(self.images.device, torch.uint8))

    def take(self, rows: np.ndarray) -> "Pool":
        """The patches of these numbers."""
        where = torch.from_numpy(rows).to(self.images.device)
        labels = None if self.labels is None else self.labels[where]
        return replace(self, images=self.images[where], labels=labels)


def joined(first: Pool, second: Pool) -> Pool:
    """The patches of two labelled pools as one."""
    if first.labels is None or second.labels is None:
        raise ValueError("Only labelled pools can be joined.")
    return Pool(
        torch.cat([first.images, second.images]),
        torch.cat([first.labels, second.labels]),
        f"{first.name}+{second.name}",
        first.crop,
        first.device,
    )


def landslide_share(pool: Pool) -> float:
    """The share of landslide pixels among a pool's labels."""
    assert pool.labels is not None
    return float((pool.labels == 1).float().mean())
