"""From ground to stored values: mixing, light, clouds, air, native resolution, noise, calibration."""

import numpy as np

from . import spectra
from .noise import TILE, block_mean, field_pair, ramp, repeat
from .sites import Site
from .terrain import Terrain

NATIVE = {1: (1, 2, 3, 7), 2: (4, 5, 6, 10, 11), 6: (0, 8, 9)}
"""Factor between native pixel and 10 m -> indices of the bands (B2 B3 B4 B8; B5 B6 B7 B11 B12; B1 B9 B10)."""

# The stored value is reflectance over a fixed scale, so that training means are about 1, like those of the
# original's files; slope in units of 17.8 degrees, height in units of 640 m.
SCALE = np.array(
    [0.133, 0.106, 0.0865, 0.069, 0.0915, 0.177, 0.202, 0.225, 0.0645, 0.00131, 0.139, 0.0824, 17.8, 640],
    np.float32,
)
STEP, LOWEST, HIGHEST = 1 / 256, -8, 15
"""Stored values are multiples of STEP: it keeps files small (sensors deliver whole numbers, too)."""


def make_image(
    rng: np.random.Generator,
    site: Site,
    ground: Terrain,
    cover: np.ndarray,
    tone: np.ndarray,
    calibration: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Image float32 (14, TILE, TILE) in steps of STEP, and the clouds' opacity (TILE, TILE)."""
    texture, patchy = field_pair(rng, 0.7, 2, 128)
    cloud, shadow, mist = _sky(rng, site)
    planes = {
        "cover": cover,
        "light": ground.light * (1 - np.float32(0.7) * shadow),
        "tone": (1 + np.float32(0.10) * texture) * tone,
        "leaf": 1 + np.float32(0.15) * patchy,
        "cloud": cloud,
        "air": mist * np.maximum(1 - ground.height * np.float32(1 / 6000), 0),
        "height": ground.height,
    }
    table = spectra.table(site.material)
    gain, offset = calibration
    image = np.empty((14, TILE, TILE), np.float32)
    factor = 1
    for coarse, bands in NATIVE.items():
        planes = {name: block_mean(plane, coarse // factor) for name, plane in planes.items()}
        factor = coarse
        for band in bands:
            value = _band(rng, site, band, table[band], **planes)
            image[band] = repeat(_stored(value, band, gain, offset), factor)
    image[12] = _stored(ground.slope.copy(), 12, gain, offset)
    image[13] = _stored(ground.height.copy(), 13, gain, offset)
    return image, cloud


def _stored(value: np.ndarray, layer: int, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Calibrated values as they stand in the files, in place."""
    value *= gain[layer] / (SCALE[layer] * np.float32(STEP))
    value += offset[layer] / np.float32(STEP)
    np.rint(value, out=value)
    np.clip(value, LOWEST / STEP, HIGHEST / STEP, out=value)
    value *= np.float32(STEP)
    return value


def _band(rng, site: Site, band: int, table, cover, light, tone, leaf, cloud, air, height) -> np.ndarray:
    """Top-of-atmosphere reflectance of one band at its native resolution."""
    value = table[0] * cover[0]
    part = np.empty_like(value)
    for share, plane in zip(table[1:], cover[1:], strict=True):
        value += np.multiply(share, plane, out=part)
    sky = np.float32(spectra.SKY[band])
    value *= sky + (1 - sky) * light
    value *= tone
    if band in (5, 6, 7):  # vigour shows in the near infrared
        value *= leaf
    if band == 9:  # water vapour hides the ground from the cirrus band, least so where it is high
        value *= np.float32(0.4) + height * np.float32(1 / 2000)
    value += np.multiply(np.float32(site.haze * spectra.HAZE[band]), air, out=part)
    if cloud.any():
        value += cloud * (np.float32(spectra.CLOUD[band]) - value)
    grain = rng.random(value.shape, dtype=np.float32)  # uniform, since that is much quicker than normal
    grain -= np.float32(0.5)
    grain *= np.float32(spectra.NOISE[band] * 12**0.5)
    value += grain
    return value


def _sky(rng, site: Site) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Opacity of clouds, depth of their shadows, unevenness of haze (mean 1); each (TILE, TILE)."""
    puff, mist = field_pair(rng, 1.7, 1, 64)
    mist = 1 + np.float32(0.25) * mist
    if rng.random() >= site.clouds:
        return np.zeros_like(puff), np.zeros_like(puff), mist
    cloud = ramp(puff, 2.1, 2.6)
    distance = 60 / np.tan(np.radians(site.sun_elevation))  # clouds 600 m above ground
    azimuth = np.radians(site.sun_azimuth)
    shift = round(float(distance * np.cos(azimuth))), round(float(-distance * np.sin(azimuth)))
    shadow = np.roll(cloud, shift, (0, 1)) * (1 - cloud)
    return cloud, shadow, mist
