"""What covers the ground of one tile, before any landslide: shares of pure surfaces in every pixel.

Many of the things drawn here are there to be taken for landslides: bare and fallow fields (on terraces also on
slopes), clearings, gullies, gravel beds, roads cut into slopes.
"""

from statistics import NormalDist

import numpy as np

from . import spectra
from .noise import TILE, field_pair, ramp
from .sites import Site
from .terrain import PIXEL, Terrain

_INDEX = {name: i for i, name in enumerate((*spectra.NAMES, "scar"))}


def paint(cover: np.ndarray, alpha: np.ndarray, **shares: float) -> None:
    """Cover the ground in place with a mixture of surfaces (`shares` add up to 1), opaque where alpha is 1."""
    flat, weights = cover.reshape(len(cover), -1), alpha.reshape(-1)
    where = np.flatnonzero(weights > 0)
    weights = weights[where]
    flat[:, where] *= 1 - weights
    for name, share in shares.items():
        flat[_INDEX[name.replace("_", " ")], where] += weights * np.float32(share)


def quantile(share: float) -> float:
    """Shift that makes a standard normal field positive on this share of the ground."""
    return NormalDist().inv_cdf(min(max(share, 1e-6), 1 - 1e-6))


def parcels(rng: np.random.Generator, width: float, length: float) -> np.ndarray:
    """One uniform number per parcel of a turned grid of fields, float32 (TILE, TILE)."""
    angle, along = rng.uniform(0, np.pi), np.arange(TILE)
    across, down = along * (np.cos(angle) / width), along * (np.sin(angle) / width)
    u = np.floor(across[None, :] + down[:, None]).astype(np.int32)
    across, down = along * (-np.sin(angle) / length), along * (np.cos(angle) / length)
    v = np.floor(across[None, :] + down[:, None]).astype(np.int32)
    return rng.random(1 << 14, dtype=np.float32)[(u & 127) << 7 | (v & 127)]


def make_cover(rng: np.random.Generator, site: Site, ground: Terrain) -> np.ndarray:
    """Shares of surfaces, float32 (surfaces + 1, TILE, TILE), adding up to 1; the last is bare landslide material."""
    stand, moisture = field_pair(rng, 1.5, 2, 64)
    species, gate = field_pair(rng, 1.7, 2, 64)
    cover = np.zeros((len(_INDEX), TILE, TILE), np.float32)
    _vegetation(cover, site, stand, species)
    outcrop = 54 - 32 * site.rock
    paint(cover, ramp(ground.slope + 6 * moisture, outcrop, outcrop + 8), rock=1)
    _fields(rng, cover, site, ground, moisture)
    _clearings(rng, cover, site, ground)
    _channels(cover, site, ground, gate, moisture)
    _roads(cover, site, ground, gate)
    return cover


def _vegetation(cover: np.ndarray, site: Site, stand: np.ndarray, species: np.ndarray) -> None:
    forest = ramp(stand + np.float32(quantile(site.forest)), -0.3, 0.3)
    dark = ramp(species + np.float32(quantile(site.dark)), -0.6, 0.6)
    dry = ramp(species + np.float32(quantile(site.dry)), -1, 1)
    cover[_INDEX["dark forest"]] = forest * dark
    cover[_INDEX["bright forest"]] = forest * (1 - dark)
    cover[_INDEX["dry grass"]] = (1 - forest) * dry
    cover[_INDEX["green grass"]] = (1 - forest) * (1 - dry)


def _fields(rng, cover: np.ndarray, site: Site, ground: Terrain, moisture: np.ndarray) -> None:
    limit = 7 + 20 * site.terraces
    arable = ramp(ground.slope_smooth, limit + 3, limit) * ramp(
        moisture + np.float32(quantile(site.crops)), -0.1, 0.1
    )
    use = parcels(rng, 5, 13)
    paint(cover, arable * (use < site.fallow), soil=0.55, scar=0.25, dry_grass=0.2)
    paint(cover, arable * ((use >= site.fallow) & (use < 0.75)), crop=0.8, soil=0.2)
    paint(cover, arable * (use >= 0.95), built_up=0.7, green_grass=0.3)


def _clearings(rng, cover: np.ndarray, site: Site, ground: Terrain) -> None:
    use = parcels(rng, 7, 11)
    paint(cover, np.float32(0.8) * (use < 0.008), soil=0.5, scar=0.5)
    paint(cover, np.float32(0.7) * (use > 0.97), dry_grass=0.6, soil=0.4)


def _channels(cover, site: Site, ground: Terrain, gate: np.ndarray, moisture: np.ndarray) -> None:
    gully = ramp(ground.gully, 1.1, 0.3) * ramp(ground.slope_smooth, 18, 26) * (gate > 0.5)
    paint(cover, np.float32(0.7) * gully, scar=0.6, rock=0.4)
    bed = np.maximum(1.6 + 1.2 * moisture, 0.6)
    paint(cover, ramp(ground.valley - bed, 0.5, -0.5) * np.float32(0.9), gravel=1)
    stream = np.float32(0.2 + site.water) + np.float32(0.4) * gate
    paint(cover, ramp(ground.valley - stream, 0.5, -0.5), water=1)


def _roads(cover, site: Site, ground: Terrain, gate: np.ndarray) -> None:
    """Along contours, in stretches."""
    spacing = 120 / site.roads
    level = ground.smooth * np.float32(1 / spacing)
    off = level - np.floor(level) - np.float32(0.5)
    distance = np.abs(off) * np.float32(spacing) / (ground.steep_smooth * np.float32(PIXEL) + np.float32(0.1))
    stretch = (gate < 0.1) & (gate > -0.9) & (ground.slope_smooth > 4)
    paint(cover, ramp(distance, 1.0, 0.3) * stretch * np.float32(0.75), built_up=0.4, soil=0.3, scar=0.3)
