"""The nine sites of version 1 and the radiometric shift of each split.

The environment of a site is fixed; a seed draws its terrain, land cover, landslides and a small jitter of the
radiometry. Changing anything that alters a file is a new VERSION. settings.py has the sites that a seed draws.
"""

from dataclasses import dataclass

import numpy as np

VERSION = 1


@dataclass(frozen=True)
class Site:
    name: str
    # relief
    slope: float  # mean slope, degrees
    elevation: float  # foot of the lowest tile, m
    roughness: float  # amplitude of the finest relief, about 1
    valley_floor: float  # width of valley floors, about 0.1
    # land cover: shares between 0 and 1
    forest: float
    dark: float  # share of dark (needle-leaved) forest
    dry: float  # share of dry grass: the season
    crops: float
    terraces: float  # fields on slopes too
    fallow: float  # share of fields that lie bare
    rock: float
    roads: float  # density, about 1
    water: float  # rivers that carry water
    clouds: float  # share of tiles with clouds
    # landslides
    material: str  # what a scar lays open
    positives: float  # share of landslide pixels
    flows: float  # share of long thin debris flows; the others are short slides
    size: float  # width of a source area, pixels
    freshness: float  # share of a scar's pixel that is bare
    old: float  # share of unlabelled, overgrown scars
    generous: bool  # annotator draws the outline with a margin
    # light and air
    sun_elevation: float
    sun_azimuth: float
    haze: float  # added path reflectance in blue


# fmt: off
# columns in the order of Site's fields
_SITES: dict[str, tuple[tuple, ...]] = {
    "train": (
        ("ash hills",       18, 100, 0.8, 0.15, .85, .5, .2, .35, .0, .3, .1, .8, .8, .1, "ash",       .022, .35, 2.2, .95, .15, False, 52, 150, .006),
        ("laterite coast",  20, 100, 0.7, 0.10, .80, .1, .1, .30, .3, .3, .1, 1., .7, .3, "laterite",  .018, .50, 2.0, .90, .15, False, 60, 130, .014),
        ("high gorges",     29, 600, 1.3, 0.05, .60, .4, .4, .25, .5, .3, .4, .6, .6, .1, "schist",    .020, .60, 2.2, .92, .15, True,  50, 160, .004),
        ("typhoon range",   27, 200, 1.0, 0.12, .90, .2, .1, .15, .1, .3, .2, .7, 1., .2, "shale",     .020, .60, 2.4, .95, .15, False, 46, 145, .010),
    ),
    "validation": (
        ("granite sierra",  25, 500, 1.1, 0.08, .75, .4, .3, .25, .3, .3, .3, .8, .6, .1, "granite",   .020, .50, 2.1, .92, .15, False, 46, 185, .010),
        ("loess hills",     21, 400, 0.9, 0.14, .70, .3, .3, .30, .2, .3, .1, 1., .7, .1, "loess",     .020, .40, 2.2, .92, .15, True,  50, 170, .012),
    ),
    "test": (
        ("limestone ridge", 26, 300, 1.1, 0.08, .75, .4, .2, .20, .2, .3, .3, .8, .6, .2, "limestone", .020, .50, 2.1, .92, .15, False, 46, 180, .009),
        ("slate valleys",   28, 500, 1.0, 0.06, .80, .3, .3, .20, .3, .3, .3, .8, .8, .1, "slate",     .020, .60, 2.2, .92, .15, True,  52, 130, .012),
        ("marl plateau",    20, 200, 0.8, 0.12, .75, .2, .3, .30, .2, .3, .1, 1., .7, .3, "red marl",  .022, .45, 2.1, .92, .15, False, 56, 120, .012),
    ),
}
# fmt: on
SITES = {split: tuple(Site(*row) for row in rows) for split, rows in _SITES.items()}

# Shift of a split: gain and offset of each of the 14 layers, in units of the stored values (means about 1).
# It differs from band to band, as between sensors, seasons and processing chains: some bands are brighter and some
# darker than in training, so that spectra change their form. No threshold on a model's output corrects that.
_GAIN = {
    "train": (1,) * 14,
    "validation": (1.02, 0.95, 1.05, 0.88, 0.92, 1.08, 1.08, 1.10, 1.05, 0.90, 1.12, 1.10, 1, 1),
    "test": (0.98, 1.06, 0.94, 1.12, 1.08, 0.92, 0.92, 0.90, 0.95, 1.12, 0.90, 0.92, 1, 1),
}
_OFFSET = {
    "train": (0,) * 14,
    "validation": (0.05, 0.17, -0.11, 0.34, 0.06, -0.23, -0.11, -0.28, 0.05, 0.10, -0.40, -0.40, 0, 0),
    "test": (-0.05, -0.13, 0.18, -0.26, -0.06, 0.26, 0.20, 0.32, 0.05, -0.10, 0.38, 0.36, 0, 0),
}


GAIN = {split: np.array(values) for split, values in _GAIN.items()}
OFFSET = {split: np.array(values) for split, values in _OFFSET.items()}
