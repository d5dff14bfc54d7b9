"""Heights, slope and light of one tile."""

from dataclasses import dataclass

import numpy as np

from .noise import field_pair
from .sites import Site

PIXEL = 10.0
"""Metres along a pixel's side."""
CLIMB = 1200
"""Metres between the lowest and the highest tile of a site, at most."""


@dataclass(frozen=True)
class Terrain:
    """All arrays float32 (TILE, TILE)."""

    height: np.ndarray  # m above the sea
    slope: np.ndarray  # degrees
    light: np.ndarray  # cosine of the sun's angle of incidence over that on flat ground
    smooth: np.ndarray  # m, the same surface without its finest relief
    flow: tuple[np.ndarray, np.ndarray]  # unit vector downhill (rows, columns) on the smoothed surface
    steep_smooth: np.ndarray  # rise over run of the smoothed surface
    slope_smooth: np.ndarray  # degrees, of the smoothed surface
    valley: np.ndarray  # distance from the valley line in pixels, about
    gully: np.ndarray  # the same for the small tributaries


def gradient(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rise per metre along rows and columns; the tile is periodic."""
    scale = np.float32(1 / (2 * PIXEL))
    return tuple((np.roll(height, -1, axis) - np.roll(height, 1, axis)) * scale for axis in (0, 1))


def line_distance(field: np.ndarray) -> np.ndarray:
    """Distance in pixels from the zero line of a smooth field, to first order: |f| / |grad f|."""
    gy, gx = gradient(field)
    return np.abs(field) / (np.sqrt(gy * gy + gx * gx) * np.float32(PIXEL) + np.float32(1e-3))


def degrees(tangent: np.ndarray) -> np.ndarray:
    """Arctangent in degrees, within 0.3 for slopes up to 45, by operations that are exact on every machine."""
    return np.float32(57.29578) * tangent / (1 + np.float32(0.28) * tangent * tangent)


def make_terrain(rng: np.random.Generator, site: Site) -> Terrain:
    """V-shaped valleys along the zero lines of one field, gullies along those of another, and fractal ground."""
    main, side = field_pair(rng, 2.3, 1, 20)
    gullies, _ = field_pair(rng, 2.0, 5, 18)
    rough, fine = field_pair(rng, 2.0, 2, 96)
    valley = np.sqrt(main * main + np.float32(site.valley_floor**2))
    smooth = valley + np.float32(0.5) * side + np.float32(0.25) * np.abs(gullies) * (np.float32(0.4) + valley)
    smooth += np.float32(0.22) * rough
    surface = smooth + np.float32(0.05 * site.roughness) * fine

    gy, gx = gradient(surface)
    steepness = float(np.sqrt(gy * gy + gx * gx).mean(dtype=np.float64))
    scale = np.tan(np.radians(site.slope)) / steepness
    relief = np.rint(surface * scale * 16) / 16  # a grid of 1/16 m: the same on every machine
    relief = relief.astype(np.float32)
    smooth = (np.rint(smooth * scale * 16) / 16).astype(np.float32)

    gy, gx = gradient(relief)
    steep = np.sqrt(gy * gy + gx * gx)
    sy, sx = gradient(smooth)
    steep_smooth = np.sqrt(sy * sy + sx * sx)
    inverse = 1 / (steep_smooth + np.float32(1e-4))
    foot = np.rint(
        site.elevation + CLIMB * rng.random()
    )  # tiles of one site have very different heights, so height does not identify the site
    height = relief - relief.min() + np.float32(foot)
    return Terrain(
        height=height,
        slope=degrees(steep),
        light=_light(gy, gx, site),
        smooth=smooth,
        flow=(-sy * inverse, -sx * inverse),
        steep_smooth=steep_smooth,
        slope_smooth=degrees(steep_smooth),
        valley=line_distance(main),
        gully=line_distance(gullies),
    )


def _light(gy: np.ndarray, gx: np.ndarray, site: Site) -> np.ndarray:
    elevation, azimuth = np.radians(site.sun_elevation), np.radians(site.sun_azimuth)
    # rows run south, columns east; the sun stands in the direction (east, north) = (sin, cos) of its azimuth
    cot = 1 / np.tan(elevation)
    east, north = np.float32(cot * np.sin(azimuth)), np.float32(cot * np.cos(azimuth))
    incidence = (1 - gx * east + gy * north) / np.sqrt(1 + gx * gx + gy * gy)
    return np.maximum(incidence, 0)
