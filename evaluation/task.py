"""What a phase expects of an archive: how many masks, and how large."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Packed = npt.NDArray[np.uint8]
"""Masks of one bit a pixel, shape (n, height * width / 8); evaluation.scoring.counts says in which order."""


@dataclass(frozen=True)
class MaskSpec:
    """`patches` masks of `height` x `width` pixels, named mask_1.h5 ... mask_<patches>.h5."""

    patches: int
    height: int = 128
    width: int = 128

    def __post_init__(self) -> None:
        if self.patches < 1 or self.height < 1 or self.width < 1:
            raise ValueError(f"{self} is not possible: patches, height and width start at 1.")
        if self.pixels % 8:
            raise ValueError(f"{self} cannot be packed: height x width has to be a multiple of 8.")

    @property
    def pixels(self) -> int:
        """Pixels of one mask."""
        return self.height * self.width

    @property
    def row_bytes(self) -> int:
        """Bytes of one packed mask, one bit a pixel."""
        return self.pixels // 8

    @property
    def packed_shape(self) -> tuple[int, int]:
        return self.patches, self.row_bytes

    def name(self, index: int) -> str:
        """File name of the mask at `index` (from 0)."""
        return f"mask_{index + 1}.h5"
