"""Read a data set of 14-band patches into memory; statistics per band of any domain. numpy and h5py, no torch.

Two folder layouts are supported, the organisers' and that of the public mirror:

    TrainData/img/image_N.h5     TrainData/mask/mask_N.h5         (ValidData, TestData)
    images/train/image_N.h5      annotations/train/mask_N.h5      (validation, test)

An image is the HDF5 dataset `img`, float64 or float32, (128, 128, 14); a mask the dataset `mask`, (128, 128), 0 and 1.
In memory an image is channel first, (14, 128, 128).
"""

import csv
import hashlib
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from evaluation.task import TASK

SPLITS = ("train", "validation", "test")
FOLDERS = {"train": "TrainData", "validation": "ValidData", "test": "TestData"}
BANDS = TASK.bands
SIZE = TASK.height

ProgressCallback = Callable[[int, int], None]


class DataError(ValueError):
    """A data set's files are wrong; the message names the file and the fix."""


class SplitMissing(DataError):
    """A data set does not have the images of a split."""


@dataclass(frozen=True)
class Split:
    """The files of one split, in order of number."""

    name: str
    numbers: tuple[int, ...]
    images: tuple[Path, ...]
    masks: tuple[Path, ...] | None
    sites: tuple[str, ...] | None  # of each patch, if there is a sites.csv

    def files(self) -> tuple[Path, ...]:
        return self.images + (self.masks or ())


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each band, float64 (14,), as stored in the files."""

    mean: np.ndarray
    std: np.ndarray


# The organisers' constants. They do not describe the values in the released files (whose means are about 1).
OFFICIAL = Statistics(
    np.array(
        [
            -0.4914,
            -0.3074,
            -0.1277,
            -0.0625,
            0.0439,
            0.0803,
            0.0644,
            0.0802,
            0.3000,
            0.4082,
            0.0823,
            0.0516,
            0.3338,
            0.7819,
        ]
    ),
    np.array(
        [
            0.9325,
            0.8775,
            0.8860,
            0.8869,
            0.8857,
            0.8418,
            0.8354,
            0.8491,
            0.9061,
            1.6072,
            0.8848,
            0.9232,
            0.9018,
            1.2913,
        ]
    ),
)


@dataclass(frozen=True)
class Moments:
    """Sums per patch and band, float64 (patches, 14), from which statistics of any set of patches follow without their pixels."""

    total: np.ndarray
    squares: np.ndarray

    def statistics(self, patches: np.ndarray | slice = slice(None)) -> Statistics:
        """Of the patches at these indices (or where this mask is true); all by default."""
        total, squares = self.total[patches], self.squares[patches]
        if not len(total):
            raise DataError("no patches to take statistics of")
        pixels = len(total) * SIZE * SIZE
        mean = total.sum(0) / pixels
        return Statistics(mean, np.sqrt(np.maximum(squares.sum(0) / pixels - mean**2, 0)))


@dataclass(frozen=True)
class Patches:
    """A split in memory."""

    split: Split
    images: np.ndarray  # float32 or float16 (patches, 14, 128, 128)
    masks: np.ndarray | None  # uint8 (patches, 128, 128)
    moments: Moments
    sha256: str  # of all files' names and bytes


def has_masks(root: Path | str, name: str, mask_root: Path | str | None = None) -> bool:
    """Whether the split is there, with masks."""
    try:
        return find_split(root, name, mask_root=mask_root).masks is not None
    except SplitMissing:
        return False


def find_split(
    root: Path | str, name: str, masks: bool | None = None, mask_root: Path | str | None = None
) -> Split:
    """List a split's files. `masks`: True = required, False = ignored, None = used if present.

    `mask_root`: the folder of masks (and sites.csv), if not beside the images.
    """
    root = Path(root)
    if name not in SPLITS:
        raise DataError(f"unknown split {name!r}; choose from {', '.join(SPLITS)}")
    label_root = Path(mask_root) if mask_root is not None else root
    layouts = (
        (root / FOLDERS[name] / "img", label_root / FOLDERS[name] / "mask"),
        (root / "images" / name, label_root / "annotations" / name),
    )
    found = [
        (images, mask_folder)
        for folder, mask_folder in layouts
        if (images := numbered(folder, TASK.image_stem))
    ]
    if not found:
        raise SplitMissing(
            f"no {name} images under {root}: expected {FOLDERS[name]}/img/{TASK.image_name('N')} "
            f"or images/{name}/{TASK.image_name('N')}"
        )
    images, mask_folder = found[0]
    numbers = tuple(images)
    mask_files = _masks_of(numbers, mask_folder, masks)
    sites = _sites_of(numbers, mask_folder.parent / "sites.csv")
    return Split(name, numbers, tuple(images.values()), mask_files, sites)


def numbered(folder: Path, stem: str) -> dict[int, Path]:
    """Files of a folder named by a stem such as TASK.mask_stem and a number, by number, in numeric order; empty if the folder does not exist."""
    if not folder.is_dir():
        return {}
    found = {}
    pattern = re.compile(rf"{re.escape(stem)}(\d+){re.escape(TASK.extension)}")
    for path in folder.iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    return dict(sorted(found.items()))


def check_numbers(split: Split) -> None:
    """Raises DataError unless the images are numbered from 1 without a gap, as the masks to submit are."""
    for expected, number in enumerate(split.numbers, start=1):
        if number != expected:
            raise DataError(
                f"{split.images[0].parent} lacks {TASK.image_name(expected)}: copy it again, because masks have the numbers of their images"
            )


def _masks_of(numbers: tuple[int, ...], folder: Path, wanted: bool | None) -> tuple[Path, ...] | None:
    found = numbered(folder, TASK.mask_stem) if wanted is not False else {}
    if not found:
        if wanted:
            raise DataError(f"no masks in {folder}: they are needed here")
        return None
    missing = [n for n in numbers if n not in found]
    if missing:
        raise DataError(
            f"{folder} lacks the masks of {len(missing)} images; the first is {TASK.mask_name(missing[0])}"
        )
    return tuple(found[n] for n in numbers)


def _sites_of(numbers: tuple[int, ...], path: Path) -> tuple[str, ...] | None:
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        site = {int(row["patch"]): row["site"] for row in csv.DictReader(file)}
    missing = [n for n in numbers if n not in site]
    if missing:
        raise DataError(
            f"{path} does not name the site of patch {missing[0]}: delete the file or write it again"
        )
    return tuple(site[n] for n in numbers)


def read_image(path: Path) -> np.ndarray:
    """float32 (14, 128, 128); may hold NaN."""
    values = _read(path, TASK.image_dataset, (SIZE, SIZE, len(BANDS)))
    if values.dtype not in (np.float32, np.float64):
        raise DataError(
            f"{path}: dataset {TASK.image_dataset!r} holds {values.dtype}, not float64 or float32"
        )
    return np.ascontiguousarray(values.transpose(2, 0, 1), dtype=np.float32)


def read_mask(path: Path) -> np.ndarray:
    """uint8 (128, 128), 0 and 1."""
    values = _read(path, TASK.mask_dataset, (SIZE, SIZE))
    if not ((values == 0) | (values == 1)).all():
        raise DataError(f"{path}: dataset {TASK.mask_dataset!r} holds values other than 0 and 1")
    return values.astype(np.uint8)


def _read(path: Path, name: str, shape: tuple[int, ...]) -> np.ndarray:
    try:
        with h5py.File(path, "r") as file:
            if name not in file:
                raise DataError(
                    f"{path} has no dataset {name!r}, but {', '.join(map(repr, file)) or 'nothing'}"
                )
            if file[name].shape != shape:
                raise DataError(f"{path}: dataset {name!r} has the shape {file[name].shape}, not {shape}")
            return file[name][()]
    except OSError as error:
        raise DataError(f"{path} cannot be read as HDF5 ({error}): copy it again") from error


def load(
    root: Path | str,
    name: str,
    *,
    masks: bool | None = None,
    mask_root: Path | str | None = None,
    dtype: type = np.float32,
    fill_nan: bool = False,
    processes: int = 1,
    progress: ProgressCallback | None = None,
) -> Patches:
    """Read a split into memory (see `find_split` for `masks`). `dtype`: np.float32 or np.float16.

    NaN and infinite values raise an error that names the files; with `fill_nan` they are replaced by the mean of the
    other pixels of their band in the split. Statistics and the hash are cached in `root`/.statistics.
    `processes` > 1 read in parallel (spawned: the calling program needs `if __name__ == "__main__"`).
    """
    split = find_split(root, name, masks, mask_root)
    count = len(split.images)
    images: np.ndarray = np.empty((count, len(BANDS), SIZE, SIZE), dtype)
    holes: list[tuple[int, np.ndarray]] = []
    cache = Path(root) / ".statistics" / f"{name}.npz"
    known = _known(cache, split)
    moments = known[0] if known else Moments(np.zeros((count, len(BANDS))), np.zeros((count, len(BANDS))))
    for i, image in enumerate(_read_all(split.images, min(processes, count // 8))):
        finite = np.isfinite(image)
        if not finite.all():
            holes.append((i, ~finite))
            image[~finite] = 0
        if not known:
            values = image.astype(np.float64).reshape(len(BANDS), -1)
            moments.total[i], moments.squares[i] = values.sum(1), (values * values).sum(1)
        images[i] = image
        if progress:
            progress(i + 1, count)
    if holes:
        _fill_or_refuse(split, images, moments, holes, fill_nan)
    digest = known[1] if known else _digest(split)
    if not known and not holes:
        _remember(cache, split, moments, digest)
    labels = np.stack([read_mask(path) for path in split.masks]) if split.masks else None
    return Patches(split, images, labels, moments, digest)


def _read_all(paths: tuple[Path, ...], processes: int) -> Iterator[np.ndarray]:
    if processes <= 1:
        yield from map(read_image, paths)
    else:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(read_image, paths, chunksize=16)


def _fill_or_refuse(
    split: Split, images: np.ndarray, moments: Moments, holes: list[tuple[int, np.ndarray]], fill: bool
) -> None:
    """Replace values that are not finite by the band's mean, in `images` and `moments`, or raise an error that names the files."""
    if not fill:
        named = ", ".join(f"{split.images[i].name} ({where.sum()} values)" for i, where in holes[:10])
        more = f" and {len(holes) - 10} more" if len(holes) > 10 else ""
        raise DataError(
            f"NaN or infinite values in {len(holes)} {split.name} images: {named}{more}; "
            "write a finite value there, such as the mean of the band, or take these patches out"
        )
    missing = np.zeros(len(BANDS))
    for _, where in holes:
        missing += where.sum((1, 2))
    mean = moments.total.sum(0) / np.maximum(len(images) * SIZE * SIZE - missing, 1)
    for i, where in holes:
        images[i] = np.where(where, mean[:, None, None].astype(images.dtype), images[i])
        pixels = where.sum((1, 2))
        moments.total[i] += pixels * mean
        moments.squares[i] += pixels * mean**2


def _digest(split: Split) -> str:
    """SHA-256 over the names and SHA-256 of all files of a split."""
    whole = hashlib.sha256()
    for path in split.files():
        whole.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()


def _fingerprint(split: Split) -> str:
    """Changes when a file is added, removed or written: paths, sizes and times, not contents."""
    states = ((path, path.stat()) for path in split.files())
    lines = (f"{path.resolve()} {state.st_size} {state.st_mtime_ns}" for path, state in states)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _known(cache: Path, split: Split) -> tuple[Moments, str] | None:
    try:
        with np.load(cache) as stored:
            if str(stored["fingerprint"]) == _fingerprint(split):
                return Moments(stored["total"], stored["squares"]), str(stored["sha256"])
    except (OSError, ValueError, KeyError):
        pass  # no cache, or an invalid one: compute the statistics again
    return None


def _remember(cache: Path, split: Split, moments: Moments, digest: str) -> None:
    part = cache.with_name(f"{cache.name}.{os.getpid()}")
    try:
        cache.parent.mkdir(exist_ok=True)
        with part.open("wb") as file:
            np.savez(
                file,
                total=moments.total,
                squares=moments.squares,
                sha256=digest,
                fingerprint=_fingerprint(split),
            )
        part.replace(cache)
    except OSError:
        pass  # a read-only data set has no cache


def hold_out(sites: tuple[str, ...], held: str) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the patches of all other sites, and of the held-out site."""
    if held not in sites:
        raise DataError(f"there is no site {held!r}; the sites are {', '.join(sorted(set(sites)))}")
    here = np.array(sites) == held
    if here.all():
        raise DataError(f"all patches are of the site {held!r}: without them none are left to train on")
    return np.flatnonzero(~here), np.flatnonzero(here)
