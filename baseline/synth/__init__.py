"""SynthL4S: a synthetic benchmark in the file format of Landslide4Sense (see ../DATASHEET.md).

numpy and h5py only. A *split* (train, validation, test) is a list of *sites*; a site has its own relief, land cover,
geology, sun and radiometry (sites.py). A site is drawn in square *tiles* of continuous terrain (tiles.py), which are
cut into the patches of 128 × 128 pixels that the competition uses.
"""

from baseline.data.dataset import SPLITS

from .generate import PRESETS, generate
from .sites import VERSION

__all__ = ["PRESETS", "SPLITS", "VERSION", "generate"]
