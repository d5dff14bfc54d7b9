"""Settings of the generator: which sites a split has, and by how much its sensor differs from that of training.

"fixed" is version 1 of the benchmark. "drawn" has more sites, and a seed draws them and the sensor's shift: several seeds are
several benchmarks. "scene" has the sites of "drawn" under one sensor, and another kind of shift: validation and test are of
another season, a lower sun, thicker air and older scars. No method was developed on it: it shows whether what a method gains on
the others comes from knowing how their shift is made.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np

from baseline.data.dataset import SPLITS

from .sites import GAIN, OFFSET, SITES, VERSION, Site
from .spectra import MATERIALS

Shift = tuple[np.ndarray, np.ndarray]
"""Gain and offset of the 14 layers, in units of the stored values (means about 1)."""


@dataclass(frozen=True)
class Setting:
    """sites(seed, split), shift(seed, split)."""

    sites: Callable[[int, str], tuple[Site, ...]]
    shift: Callable[[int, str], Shift]


_COUNT = {"train": 8, "validation": 4, "test": 8}
_MATERIALS = {"train": slice(0, 4), "validation": slice(4, 6), "test": slice(6, 9)}
_RANGES: dict[str, tuple[float, float]] = {  # about those of the nine sites
    "slope": (18, 29),
    "elevation": (100, 600),
    "valley_floor": (0.05, 0.15),
    "forest": (0.6, 0.9),
    "dark": (0.1, 0.5),
    "dry": (0.1, 0.4),
    "crops": (0.15, 0.35),
    "terraces": (0, 0.5),
    "fallow": (0.2, 0.3),
    "rock": (0.1, 0.4),
    "roads": (0.6, 1),
    "water": (0.6, 1),
    "clouds": (0.1, 0.3),
    "positives": (0.018, 0.022),
    "flows": (0.35, 0.6),
    "size": (2, 2.4),
    "freshness": (0.9, 0.95),
    "sun_elevation": (46, 60),
    "sun_azimuth": (120, 185),
    "haze": (0.004, 0.014),
}
_OTHER_SCENE: dict[str, tuple[float, float]] = {
    "dry": (0.5, 0.8),
    "fallow": (0.4, 0.6),
    "dark": (0.4, 0.7),
    "freshness": (0.65, 0.8),
    "sun_elevation": (28, 36),
    "haze": (0.02, 0.03),
}
_STREAM = 1 << 31  # keys of what is drawn here: no site or tile has this number


def _draws(seed: int, split: str, what: int) -> np.random.Generator:
    keys = (VERSION, seed, SPLITS.index(split), _STREAM, what)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(keys)))


@lru_cache
def drawn_sites(seed: int, split: str) -> tuple[Site, ...]:
    """Sites that the seed draws. Materials that landslides lay open in one split are in no other."""
    draws = _draws(seed, split, 0)
    materials = _draws(seed, "train", 1).permutation(sorted(MATERIALS))[_MATERIALS[split]]
    return tuple(
        _drawn_site(f"{split} {number + 1}", str(materials[number % len(materials)]), draws)
        for number in range(_COUNT[split])
    )


def _drawn_site(name: str, material: str, draws: np.random.Generator) -> Site:
    values = {field: float(draws.uniform(*bounds)) for field, bounds in _RANGES.items()}
    steep = (values["slope"] - 18) / 11
    return Site(
        name=name,
        material=material,
        roughness=0.7 + 0.5 * steep + float(draws.uniform(0, 0.1)),
        old=0.15,
        generous=bool(draws.random() < 0.3),
        **values,
    )


@lru_cache
def other_scenes(seed: int, split: str) -> tuple[Site, ...]:
    """The drawn sites; outside of training in another season, light and air, their scars older."""
    sites = drawn_sites(seed, split)
    if split == "train":
        return sites
    draws = _draws(seed, split, 2)
    scenes: list[dict[str, Any]] = [
        {field: float(draws.uniform(*bounds)) for field, bounds in _OTHER_SCENE.items()} for _ in sites
    ]
    return tuple(replace(site, **scene) for site, scene in zip(sites, scenes, strict=True))


def drawn_shift(seed: int, split: str) -> Shift:
    """As large as that of version 1, which has one for each split."""
    if split == "train":
        return no_shift(seed, split)
    draws = _draws(seed, split, 3)
    return 1 + draws.uniform(-0.12, 0.12, 14), draws.uniform(-0.4, 0.4, 14)


def no_shift(seed: int, split: str) -> Shift:
    return np.ones(14), np.zeros(14)


FIXED = Setting(lambda seed, split: SITES[split], lambda seed, split: (GAIN[split], OFFSET[split]))
SETTINGS = {
    "fixed": FIXED,
    "drawn": Setting(drawn_sites, drawn_shift),
    "scene": Setting(other_scenes, no_shift),
}
assert {*_RANGES, "name", "material", "roughness", "old", "generous"} == {f.name for f in fields(Site)}
