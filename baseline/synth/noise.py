"""Random fields with a power-law spectrum, periodic on a tile."""

from functools import lru_cache

import numpy as np

TILE = 384
"""Pixels along a tile's side: a multiple of the patch (128) and of the coarsest native pixel (60 m = 6)."""

_GRID = 4096.0


@lru_cache(maxsize=32)
def _amplitude(exponent: float, low: int, high: int) -> np.ndarray:
    """Amplitudes k^-exponent for low <= k < high cycles a tile, scaled to unit variance after the inverse FFT.

    float64 (2 high, 2 high), frequencies in numpy's order.
    """
    k = np.fft.fftfreq(2 * high, 1 / (2 * high))
    radius = np.hypot(k[:, None], k[None, :])
    band = (radius >= low) & (radius < high)
    amplitude = np.where(band, np.where(band, radius, 1.0) ** -exponent, 0.0)
    return amplitude * (TILE**2 / np.sqrt((amplitude**2).sum()))


def field_pair(
    rng: np.random.Generator, exponent: float, low: int, high: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two independent Gaussian fields, float32 (TILE, TILE), mean 0, variance 1, from one complex FFT.

    Their spectrum is k^-exponent between `low` and `high` cycles a tile (high <= TILE / 2). They are rounded to a
    fixed grid, so that the last bits of a machine's FFT never reach a label.
    """
    white = rng.standard_normal((2, 2 * high, 2 * high), dtype=np.float32)
    block = _amplitude(exponent, low, high) * (white[0] + 1j * white[1])
    columns = np.zeros((TILE, 2 * high), complex)
    columns[:high], columns[-high:] = block[:high], block[high:]
    columns = np.fft.ifft(columns, axis=0)
    spectrum = np.zeros((TILE, TILE), complex)
    spectrum[:, :high], spectrum[:, -high:] = columns[:, :high], columns[:, high:]
    field = np.fft.ifft(spectrum, axis=1)
    return _on_grid(field.real), _on_grid(field.imag)


def _on_grid(x: np.ndarray) -> np.ndarray:
    scaled = x * _GRID
    np.rint(scaled, out=scaled)
    return scaled.astype(np.float32) * np.float32(1 / _GRID)


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
