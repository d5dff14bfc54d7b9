"""Landslide scars: clusters of tracks that run down from steep ground, and the annotator's masks of them."""

from dataclasses import dataclass

import numpy as np

from .noise import TILE, field_pair, ramp
from .sites import Site
from .terrain import Terrain

CANDIDATES = 240
MAX_TRACKS = 5
MAX_STEPS = 70
_RADII = (0.4, 0.8, 1.2, 1.6, 2.1, 2.6, 3.2, 4.0, 5.0)


def _disc(radius: float) -> np.ndarray:
    """Offsets (2, n) of the pixels of a disc."""
    reach = int(radius)
    offset = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    return offset[:, (offset**2).sum(0) <= radius**2]


_DISCS = tuple(_disc(radius) for radius in _RADII)


@dataclass(frozen=True)
class Scars:
    bare: np.ndarray  # float32 (TILE, TILE): share of the pixel that is bare
    soil: np.ndarray  # float32 (TILE, TILE): share of soil in what is bare
    tone: np.ndarray  # float32 (TILE, TILE): brightness of the bare ground, about 1
    label: np.ndarray  # uint8 (TILE, TILE): the annotator's mask, 0 or 1


def make_scars(rng: np.random.Generator, site: Site, ground: Terrain) -> Scars:
    trigger, ragged = field_pair(rng, 1.6, 1, 64)
    heads = _heads(rng, ground, trigger)
    cluster = _draw(rng, site, ground, heads)
    cluster = _keep(rng, site, cluster)
    n = CANDIDATES + 1  # entry 0 is ground without a scar
    old = rng.random(n, dtype=np.float32) < site.old
    fresh = np.float32(site.freshness) * rng.uniform(0.85, 1.05, n).astype(np.float32)
    fresh[old] *= np.float32(0.35)
    fresh[0], old[0] = 0, True
    tone = rng.uniform(0.85, 1.15, n).astype(np.float32)
    soil = rng.uniform(0, 0.5, n).astype(np.float32)
    missed = rng.random(n, dtype=np.float32) < 0.03
    slip = (0, 0, 0, 0, -1, 1)[rng.integers(6)]  # masks and images are registered within a pixel
    axis = int(rng.integers(2))
    bare = fresh[cluster]
    inside = cluster > 0
    bare = np.where(inside, bare * (1 + np.float32(0.12) * ragged), _edge(bare))
    label = np.roll(_annotate(site, inside & ~(old | missed)[cluster], ragged), slip, axis)
    return Scars(np.clip(bare, 0, 1), soil[cluster], np.where(inside, tone[cluster], 1), label)


def _heads(rng, ground: Terrain, trigger: np.ndarray) -> np.ndarray:
    """Rows and columns of source areas (2, CANDIDATES): steep ground, most where the trigger was strongest."""
    tries = 30 * CANDIDATES
    row, column = rng.integers(0, TILE, (2, tries))
    steep = ground.slope_smooth[row, column]
    chance = ramp(steep, 20, 38) * ramp(trigger[row, column], 0.2, 2.2)
    chance += 1e-4  # flat ground has few landslides, not none
    order = np.argsort(rng.random(tries, dtype=np.float32) / chance, kind="stable")[:CANDIDATES]
    return np.stack([row[order], column[order]])


def _draw(rng, site: Site, ground: Terrain, heads: np.ndarray) -> np.ndarray:
    """Number of the cluster in each pixel (0 = none), int32 (TILE, TILE). All tracks walk at once."""
    flow = rng.random(CANDIDATES) < site.flows
    width = site.size * np.exp(0.35 * rng.standard_normal(CANDIDATES))
    length = np.where(flow, 40, 9) * np.exp(0.5 * rng.standard_normal(CANDIDATES))
    tracks = np.where(flow, rng.integers(1, MAX_TRACKS + 1, CANDIDATES), rng.integers(1, 3, CANDIDATES))
    owner = np.repeat(np.arange(CANDIDATES), tracks)
    thin = np.where(flow, 0.35, 0.9)[owner]
    width = width[owner] * rng.uniform(0.6, 1.0, len(owner))
    length = np.minimum(length[owner] * rng.uniform(0.6, 1.2, len(owner)), MAX_STEPS)
    spread = 1.2 * width + 2.5 * (tracks[owner] - 1)
    position = heads[:, owner] + rng.uniform(-1, 1, (2, len(owner))) * spread
    down = np.stack(ground.flow)
    heading = down[:, heads[0, owner], heads[1, owner]].astype(np.float64)
    sway = rng.standard_normal((MAX_STEPS, 2, len(owner)), dtype=np.float32)

    marks = []
    alive = np.arange(len(owner))
    for step in range(MAX_STEPS):
        pixel = np.floor(position).astype(np.int64) % TILE
        along = step / length[alive]
        radius = width[alive] * np.where(along < 0.25, 1, np.where(along < 0.75, thin[alive], 0.9))
        marks.append((pixel, radius, owner[alive] + 1))
        going = (step < length[alive]) & ((ground.slope_smooth[pixel[0], pixel[1]] > 7) | (step < 4))
        if not going.any():
            break
        position, heading, alive, pixel = position[:, going], heading[:, going], alive[going], pixel[:, going]
        heading = 0.6 * heading + 0.4 * down[:, pixel[0], pixel[1]] + 0.2 * sway[step][:, alive]
        heading /= np.sqrt((heading * heading).sum(0)) + 1e-6
        position = position + heading
    pixels, radii, numbers = (np.concatenate(part, axis=-1) for part in zip(*marks, strict=True))
    return _stamp(pixels, radii, numbers)


def _stamp(pixel: np.ndarray, radius: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Draw a disc around each pixel (2, n); int32 (TILE, TILE) of the discs' numbers, 0 where there is none."""
    cluster = np.zeros(TILE * TILE, np.int32)
    size = np.minimum(np.searchsorted(_RADII, radius), len(_RADII) - 1)
    for i, disc in enumerate(_DISCS):
        mine = size == i
        where = (pixel[:, mine, None] + disc[:, None, :]) % TILE
        cluster[where[0] * TILE + where[1]] = number[mine, None]
    return cluster.reshape(TILE, TILE)


def _keep(rng, site: Site, cluster: np.ndarray) -> np.ndarray:
    """The first clusters in number that make up the wanted share of the tile; the others vanish."""
    share = site.positives * float(np.exp(0.6 * rng.standard_normal() - 0.18))
    pixels = np.bincount(cluster.reshape(-1), minlength=CANDIDATES + 1)
    pixels[0] = 0
    labelled = np.cumsum(pixels) * (1 - site.old)
    kept = labelled <= share * TILE * TILE
    return np.where(kept[cluster], cluster, 0)


def _edge(bare: np.ndarray) -> np.ndarray:
    """Mixed pixels around a scar: a little of the neighbours' bare ground."""
    around = np.roll(bare, 1, 0) + np.roll(bare, -1, 0) + np.roll(bare, 1, 1) + np.roll(bare, -1, 1)
    return around * np.float32(0.12)


def _annotate(site: Site, scar: np.ndarray, ragged: np.ndarray) -> np.ndarray:
    """A mask as annotators draw it: outline with or without a margin, ragged."""
    count = scar.astype(np.int8)
    near = sum(np.roll(count, shift, axis) for shift in (-1, 1) for axis in (0, 1))
    margin = (near >= 2) if site.generous else (near >= 3)
    drop = (near <= 1) & (ragged > 0.8)
    return ((scar & ~drop) | margin).astype(np.uint8)
