"""The definition of the benchmark: its version, its nine sites and the radiometric shift of each split.

The environment of a site is fixed; a seed draws its terrain, land cover, landslides and a small jitter of the
radiometry. Changing anything that alters a file is a new VERSION.
"""

from dataclasses import dataclass

import numpy as np

VERSION = 0  # not frozen yet


@dataclass(frozen=True)
class Site:
    name: str
    # relief
    slope: float  # mean slope, degrees
    elevation: float  # lowest point, m
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
        ("ash hills",       17, 120, 0.8, 0.15, .85, .5, .2, .35, .0, .3, .1, .8, .8, .1, "ash",       .024, .35, 2.2, .95, .12, False, 52, 150, .006),
        ("laterite coast",  20, 600, 0.7, 0.10, .80, .1, .1, .30, .3, .3, .1, 1., .7, .3, "laterite",  .018, .50, 2.0, .90, .15, False, 60, 130, .014),
        ("high gorges",     29, 1500, 1.3, 0.05, .60, .4, .4, .25, .5, .3, .4, .6, .6, .1, "schist",   .020, .60, 2.2, .92, .15, True,  50, 160, .004),
        ("typhoon range",   27, 400, 1.0, 0.12, .90, .2, .1, .15, .1, .3, .2, .7, 1., .2, "shale",     .020, .60, 2.4, .95, .15, False, 46, 145, .010),
    ),
    "validation": (
        ("granite sierra",  25, 900, 1.1, 0.08, .70, .5, .3, .25, .3, .3, .3, .8, .6, .1, "granite",   .021, .50, 2.1, .92, .15, False, 45, 185, .009),
        ("loess hills",     21, 1100, 0.9, 0.14, .60, .3, .4, .35, .3, .3, .1, 1., .7, .1, "loess",    .021, .40, 2.2, .92, .15, True,  50, 170, .013),
    ),
    "test": (
        ("limestone ridge", 26, 300, 1.2, 0.08, .75, .5, .2, .20, .2, .3, .3, .8, .6, .2, "limestone", .021, .50, 2.1, .92, .15, False, 44, 190, .008),
        ("slate valleys",   28, 800, 1.0, 0.06, .75, .3, .3, .20, .4, .3, .3, .8, .8, .1, "slate",     .021, .60, 2.1, .92, .15, True,  54, 130, .012),
        ("red plateau rim", 19, 200, 0.8, 0.12, .75, .1, .3, .35, .2, .3, .1, 1., .7, .3, "red marl",  .022, .45, 2.1, .92, .15, False, 58, 110, .016),
    ),
}
# fmt: on
SITES = {split: tuple(Site(*row) for row in rows) for split, rows in _SITES.items()}

# Shift of a split: gain and offset of each of the 14 layers, in units of the stored values (means about 1).
# It differs from band to band, as between sensors, seasons and processing chains.
_GAIN = {
    "train": (1,) * 14,
    "validation": (1.03, 0.95, 1.06, 0.88, 0.92, 1.08, 1.10, 1.12, 1.05, 0.90, 0.90, 0.86, 1, 1),
    "test": (0.97, 1.06, 0.93, 1.12, 1.08, 0.92, 0.90, 0.88, 0.95, 1.12, 1.10, 1.14, 1, 1),
}
_OFFSET = {
    "train": (0,) * 14,
    "validation": (0.06, 0.08, 0.02, 0.14, 0.08, -0.04, -0.06, -0.08, 0.03, 0.06, 0.08, 0.12, 0, 0),
    "test": (-0.04, -0.05, 0.06, -0.08, -0.04, 0.08, 0.10, 0.12, 0.03, -0.08, -0.05, -0.06, 0, 0),
}


def calibration(split: str, jitter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of a site's 14 layers; `jitter` (2, 14) standard normal is the site's own part."""
    gain = np.array(_GAIN[split]) * (1 + 0.03 * jitter[0])
    offset = np.array(_OFFSET[split]) + 0.03 * jitter[1]
    gain[12:], offset[12:] = 1, 0  # slope and height are no reflectances
    return gain.astype(np.float32), offset.astype(np.float32)
