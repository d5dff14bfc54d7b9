"""Write a data set: which patch comes from where, folders, processes."""

import csv
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from baseline.data.dataset import FOLDERS, SPLITS
from evaluation.task import TASK

from .files import write_image, write_mask
from .settings import FIXED, SETTINGS, Setting
from .sites import VERSION, Site
from .tiles import CELLS, cell, make_tile, stream

PRESETS = {
    "tiny": {"train": 24, "validation": 8, "test": 12},
    "small": {"train": 512, "validation": 64, "test": 128},
    "medium": {"train": 2048, "validation": 128, "test": 256},
    "medium-scene": {"train": 2048, "validation": 128, "test": 256},
    "full": {"train": 3799, "validation": 245, "test": 800},
    "demo": {"train": 12, "validation": 245, "test": 800},
}
SETTING_OF = {"medium": "drawn", "medium-scene": "scene"}  # of the others: "fixed"
_ORDER = 1 << 30  # key of the stream that shuffles a split's patches: no site has this number


class Place(NamedTuple):
    """Where patch `number` of a split was cut out."""

    number: int
    site: int
    tile: int
    cell: int


class Job(NamedTuple):
    """One tile's work in one process."""

    setting: str
    seed: int
    split: str
    places: tuple[Place, ...]
    image_folder: Path | None
    mask_folder: Path | None


def setting_of(preset: str) -> str:
    """The name of a preset's setting of the generator."""
    return SETTING_OF.get(preset, "fixed")


def places(seed: int, split: str, count: int, setting: Setting = FIXED) -> list[Place]:
    """The split's patches in order of number; sites get equal shares, numbers are shuffled."""
    sites = len(setting.sites(seed, split))
    cut = [(k % sites, *divmod(k // sites, CELLS)) for k in range(count)]
    order = stream(seed, split, _ORDER).permutation(count)
    return [Place(number, *cut[k]) for number, k in enumerate(order.tolist(), start=1)]


def generate(
    out: Path | str,
    preset: str,
    seed: int,
    splits: Iterable[str] = SPLITS,
    images: bool = True,
    masks: bool = True,
    mask_root: Path | str | None = None,
    processes: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write a synthetic data set in the competition's folder layout; returns the number of patches per split.

    `out`/TrainData/img/image_N.h5 and so on; masks, and what tells about them (sites.csv, and the seed in
    synthl4s.json), go under `mask_root` if given. Equal (preset, seed) give equal files, whatever the splits,
    processes and roots. `progress` is called with (patches written, patches in all).
    Raises ValueError for an unknown preset or split, FileExistsError for a folder that already holds patches.
    """
    chosen = _check(preset, seed, splits)
    image_root, label_root = Path(out), Path(mask_root if mask_root is not None else out)
    jobs: list[Job] = []
    setting = setting_of(preset)
    for split, count in chosen.items():
        here = places(seed, split, count, SETTINGS[setting])
        image_folder = _folder(image_root / FOLDERS[split] / "img") if images else None
        mask_folder = _folder(label_root / FOLDERS[split] / "mask") if masks else None
        if mask_folder:
            _write_sites(mask_folder.parent / "sites.csv", SETTINGS[setting].sites(seed, split), here)
        tiles: dict[tuple[int, int], list[Place]] = {}
        for place in here:
            tiles.setdefault((place.site, place.tile), []).append(place)
        jobs += [
            Job(setting, seed, split, tuple(group), image_folder, mask_folder) for group in tiles.values()
        ]
    _run(jobs, processes or os.cpu_count() or 1, progress)
    about = {
        "benchmark": "SynthL4S",
        "version": VERSION,
        "preset": preset,
        "patches": chosen,
        "synthetic": True,
    }
    if images:
        _write_json(image_root / "synthl4s.json", about)
    if masks:
        _write_json(label_root / "synthl4s.json", about | {"seed": seed})
    return chosen


def _check(preset: str, seed: int, splits: Iterable[str]) -> dict[str, int]:
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; choose one of {', '.join(PRESETS)}")
    if seed < 0:
        raise ValueError(f"the seed must be 0 or more, not {seed}")
    splits = tuple(splits)
    for split in splits:
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose from {', '.join(SPLITS)}")
    return {split: PRESETS[preset][split] for split in SPLITS if split in splits}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    if any(path.glob("*.h5")):
        raise FileExistsError(f"{path} already holds patches: choose an empty folder or delete it first")
    return path


def _run(jobs: list[Job], processes: int, progress: Callable[[int, int], None] | None) -> None:
    total = sum(len(job.places) for job in jobs)
    done = 0
    processes = min(processes, len(jobs))
    if processes <= 1:
        _keep_memory()
        results: Iterable[int] = map(_write_tile, jobs)
    else:
        # spawned, since a forked copy of a server's process may hang
        pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _keep_memory)
        results = pool.map(_write_tile, jobs, chunksize=1)
    for written in results:
        done += written
        if progress:
            progress(done, total)
    if processes > 1:
        pool.shutdown()


def _keep_memory() -> None:
    """Have the C library keep freed memory: glibc's limit for giving it back grows with what was freed once.

    A tile's arrays come and go; to fetch them from the system each time costs an eighth of the whole work.
    """
    np.empty(31 << 20, np.uint8)


def _write_tile(job: Job) -> int:
    first = job.places[0]
    image, mask = make_tile(job.seed, job.split, first.site, first.tile, SETTINGS[job.setting])
    for place in job.places:
        if job.image_folder:
            write_image(job.image_folder / TASK.image_name(place.number), cell(image, place.cell))
        if job.mask_folder:
            write_mask(job.mask_folder / TASK.mask_name(place.number), cell(mask, place.cell))
    return len(job.places)


def _write_sites(path: Path, sites: Sequence[Site], here: list[Place]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["patch", "site", "tile", "cell"])
        for place in here:
            writer.writerow([place.number, sites[place.site].name, place.tile, place.cell])


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
