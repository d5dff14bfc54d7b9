"""One tile of a site: 9 patches of continuous ground."""

import numpy as np

from baseline.data.dataset import SPLITS

from .landcover import make_cover, paint
from .noise import TILE
from .radiometry import make_image
from .scars import make_scars
from .settings import FIXED, Setting
from .sites import VERSION
from .spectra import NAMES
from .terrain import make_terrain

PATCH = 128
ACROSS = TILE // PATCH
CELLS = ACROSS**2
"""Patches of a tile."""


def stream(seed: int, split: str, *keys: int) -> np.random.Generator:
    """The random numbers of one thing: they depend on nothing but version, seed, split and keys."""
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence((VERSION, seed, SPLITS.index(split), *keys)))
    )


def make_tile(
    seed: int, split: str, site_number: int, tile: int, setting: Setting = FIXED
) -> tuple[np.ndarray, np.ndarray]:
    """Image float32 (14, TILE, TILE) and mask uint8 (TILE, TILE) of one tile."""
    image, mask, _ = draw_tile(seed, split, site_number, tile, setting)
    return image, mask


def draw_tile(
    seed: int, split: str, site_number: int, tile: int, setting: Setting
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image and mask of a tile, and what covered the ground before its landslides: shares, float32 (surfaces, TILE, TILE)."""
    site = setting.sites(seed, split)[site_number]
    jitter = stream(seed, split, site_number, 0).standard_normal((2, 14))
    shape, sky, scene = (stream(seed, split, site_number, 1 + tile, part) for part in range(3))
    jitter += 0.7 * scene.standard_normal((2, 14))  # a site's tiles come from several scenes
    ground = make_terrain(shape, site)
    cover = make_cover(shape, site, ground)
    before = cover[: len(NAMES)].copy()
    scars = make_scars(shape, site, ground)
    paint(cover, scars.bare, scar=0.85, rock=0.15)
    paint(cover, scars.bare * scars.soil, soil=1)
    shift = calibrated(*setting.shift(seed, split), jitter)
    image, cloud = make_image(sky, site, ground, cover, scars.tone, shift)
    mask = scars.label * (cloud < 0.5)  # nobody can draw what a cloud hides
    return image, mask.astype(np.uint8), before


def calibrated(gain: np.ndarray, offset: np.ndarray, jitter: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gain and offset of a tile's 14 layers: those of its split, and `jitter` (2, 14), the part of its site and scene."""
    gain = gain * (1 + 0.03 * jitter[0])
    offset = offset + 0.03 * jitter[1]
    gain[12:], offset[12:] = 1, 0  # slope and height are not reflectances
    return gain.astype(np.float32), offset.astype(np.float32)


def cell(array: np.ndarray, number: int) -> np.ndarray:
    """Patch `number` (0-8, row by row) of a tile's array (..., TILE, TILE)."""
    row, column = divmod(number, ACROSS)
    return array[..., row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
