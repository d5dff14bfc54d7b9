"""Random fields with a power-law spectrum, periodic on a tile."""

from functools import lru_cache

import numpy as np

TILE = 384
"""Pixels along a tile's side: a multiple of the patch (128) and of the coarsest native pixel (60 m = 6)."""

_GRID = 4096.0


@lru_cache(maxsize=32)
def _amplitude(exponent: float, low: float, high: float) -> np.ndarray:
    """Amplitudes k^-exponent for low <= k < high cycles a tile, scaled to unit variance after the inverse FFT."""
    k = np.fft.fftfreq(TILE, 1 / TILE)
    radius = np.hypot(k[:, None], k[None, :])
    band = (radius >= low) & (radius < high)
    amplitude = np.where(band, np.where(band, radius, 1.0) ** -exponent, 0.0)
    return amplitude * (TILE**2 / np.sqrt((amplitude**2).sum()))


def field_pair(
    rng: np.random.Generator, exponent: float, low: float = 1.0, high: float = TILE
) -> tuple[np.ndarray, np.ndarray]:
    """Two independent Gaussian fields, float32 (TILE, TILE), mean 0, variance 1, from one complex FFT.

    They are rounded to a fixed grid, so that the last bits of a machine's FFT never reach a label.
    """
    white = rng.standard_normal((2, TILE, TILE), dtype=np.float32)
    spectrum = _amplitude(exponent, low, high) * (white[0] + 1j * white[1])
    field = np.fft.ifft2(spectrum)
    return _on_grid(field.real), _on_grid(field.imag)


def _on_grid(x: np.ndarray) -> np.ndarray:
    return (np.rint(x * _GRID) / _GRID).astype(np.float32)


def ramp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, straight between (`low` > `high` gives a falling ramp)."""
    return np.clip((x - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)


def block_mean(x: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor × factor blocks over the last two axes."""
    if factor == 1:
        return x
    rows = x[..., 0::factor, :].copy()
    for i in range(1, factor):
        rows += x[..., i::factor, :]
    out = rows[..., 0::factor].copy()
    for i in range(1, factor):
        out += rows[..., i::factor]
    return out * np.float32(1 / factor**2)


def repeat(x: np.ndarray, factor: int) -> np.ndarray:
    """Nearest-neighbour enlargement of the last two axes."""
    return x if factor == 1 else x.repeat(factor, axis=-2).repeat(factor, axis=-1)
