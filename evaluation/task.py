"""The task: what is Landslide4Sense's own, in one place, and what a phase expects of an archive.

Checker, labels, problem sentences, guide page, viewer, report and the trainers' data read `TASK`. A competition with
other classes, bands or files changes it here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Packed = npt.NDArray[np.uint8]
"""Masks of one bit a pixel, shape (n, height * width / 8); evaluation.scoring.counts says in which order."""


@dataclass(frozen=True)
class Composite:
    """How a patch is shown to people: three bands (from 0) as red, green and blue, or one band in grey."""

    key: str
    name: str
    bands: tuple[int, ...]


@dataclass(frozen=True)
class Task:
    """One class against the rest, in patches of a multispectral image: files, classes, bands, limits.

    Images and masks are HDF5 files named by a stem and the patch's number (from 1), each with one dataset: an image
    of shape (height, width, bands), a mask of shape (height, width).
    """

    name: str
    image_stem: str
    image_dataset: str
    mask_stem: str
    mask_dataset: str
    classes: tuple[str, str]
    """What the mask values 0 and 1 mean, in words."""
    objects: str
    """Connected pixels of value 1, in words and in the plural."""
    bands: tuple[str, ...]
    """Short names, in the order of the image's last axis."""
    composites: tuple[Composite, ...]
    """The pictures of an image; the first one is in true colour."""
    metres: float
    """Side of a pixel on the ground."""
    height: int = 128
    width: int = 128
    """Pixels of a patch, where a phase does not say otherwise."""
    extension: str = ".h5"

    @property
    def rgb(self) -> tuple[int, int, int]:
        """The bands (from 0) of the picture in true colour."""
        red, green, blue = self.composites[0].bands
        return red, green, blue

    @property
    def positive(self) -> str:
        """The class that is scored."""
        return self.classes[1]

    def mask_name(self, number: int | str) -> str:
        """File name of the mask of patch `number`."""
        return f"{self.mask_stem}{number}{self.extension}"

    def archive_format(self, spec: MaskSpec) -> dict[str, Any]:
        """What an archive must hold, as data: enough to write one."""
        return {
            "container": "zip",
            "files": spec.patches,
            "first_number": 1,
            "file_name": self.mask_name("{number}"),
            "file_format": "hdf5",
            "dataset": self.mask_dataset,
            "dtype": "uint8",
            "shape": [spec.height, spec.width],
            "values": [*range(len(self.classes))],
            "classes": [*self.classes],
        }

    def image_name(self, number: int | str) -> str:
        """File name of the image of patch `number`."""
        return f"{self.image_stem}{number}{self.extension}"


TASK = Task(
    name="Landslide4Sense",
    image_stem="image_",
    image_dataset="img",
    mask_stem="mask_",
    mask_dataset="mask",
    classes=("no landslide", "landslide"),
    objects="landslides",
    # Sentinel-2's bands of 10, 20 and 60 m, all at 10 m; slope and elevation from ALOS PALSAR.
    bands=("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11", "B12", "slope", "DEM"),
    composites=(
        Composite("true", "True colour", (3, 2, 1)),
        Composite("false", "False colour", (7, 3, 2)),  # near infrared, red, green: vegetation is red
        Composite("slope", "Slope", (12,)),
    ),
    metres=10,
)


@dataclass(frozen=True)
class MaskSpec:
    """`patches` masks of `height` x `width` pixels, numbered from 1."""

    patches: int
    height: int = TASK.height
    width: int = TASK.width

    def __post_init__(self) -> None:
        if self.patches < 1 or self.height < 1 or self.width < 1:
            raise ValueError(f"{self} is not possible: patches, height and width start at 1.")
        if self.pixels % 8:
            raise ValueError(f"{self} cannot be packed: height x width must be a multiple of 8.")

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

    @property
    def most_bytes(self) -> int:
        """No honest mask file is larger: 8 bytes a pixel, and room for metadata and small chunks."""
        return 8 * self.pixels + (384 << 10)

    @property
    def most_entries(self) -> int:
        """Entries of an archive that are looked at: the masks, and what operating systems add to them."""
        return 4 * self.patches + 1000

    def name(self, index: int) -> str:
        """File name of the mask at `index` (from 0)."""
        return TASK.mask_name(index + 1)
