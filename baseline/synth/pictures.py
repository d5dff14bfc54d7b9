"""Pictures of SynthL4S for its documentation: `python -m baseline.synth.pictures FOLDER` (needs matplotlib)."""

import argparse
from pathlib import Path

import numpy as np

from baseline.data.dataset import BANDS, SPLITS
from evaluation.task import TASK

from .sites import SITES
from .tiles import CELLS, cell, make_tile

SEED = 0
_SHORT_WAVE = (10, 7, 3)


def stretched(image: np.ndarray, bands: tuple[int, int, int]) -> np.ndarray:
    """Three bands as a colour picture (rows, columns, 3), each stretched between its 1st and 99th percentile."""
    chosen = image[list(bands)]
    low, high = (np.percentile(chosen, p, axis=(1, 2), keepdims=True) for p in (1, 99))
    return np.clip((chosen - low) / (high - low), 0, 1).transpose(1, 2, 0)


def richest_patch(split: str, site: int) -> tuple[np.ndarray, np.ndarray]:
    """Of a site's first tile: the patch with most landslide pixels."""
    image, mask = make_tile(SEED, split, site, 0)
    best = max(range(CELLS), key=lambda number: cell(mask, number).sum())
    return cell(image, best), cell(mask, best)


def draw_patches(plt, path: Path) -> None:
    sites = [(split, number) for split in SPLITS for number in range(len(SITES[split]))]
    figure, axes = plt.subplots(4, len(sites), figsize=(2 * len(sites), 8.6))
    for column, (split, number) in enumerate(sites):
        image, mask = richest_patch(split, number)
        pictures = (stretched(image, TASK.rgb), stretched(image, _SHORT_WAVE), image[12], mask)
        for axis, picture in zip(axes[:, column], pictures, strict=True):
            axis.imshow(picture, cmap="gray", interpolation="nearest")
            axis.set_xticks([]), axis.set_yticks([])
        axes[1, column].contour(mask, [0.5], colors="white", linewidths=0.7)
        axes[0, column].set_title(f"{split}\n{SITES[split][number].name}", fontsize=9)
    for axis, name in zip(axes[:, 0], ("B4 B3 B2", "B11 B8 B4, outlines", "slope", "mask"), strict=True):
        axis.set_ylabel(name)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=65)


def draw_strip(path: Path) -> None:
    """The site's strip: a true-colour patch of each site, its landslides outlined, side by side at 128 pixels."""
    from PIL import Image  # comes with matplotlib

    patches = []
    for split in SPLITS:
        for number in range(len(SITES[split])):
            image, mask = richest_patch(split, number)
            picture = stretched(image, TASK.rgb) ** 0.85
            inside = mask.astype(bool)
            padded = np.pad(inside, 1)
            core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
            picture[inside & ~core] = (1.0, 0.62, 0.31)
            patches.append(picture)
    pixels = (np.concatenate(patches, axis=1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=72, method=6)


def draw_tile(plt, path: Path) -> None:
    image, mask = make_tile(SEED, "train", 2, 1)
    figure, axes = plt.subplots(1, 3, figsize=(15, 5.2))
    axes[0].imshow(stretched(image, TASK.rgb))
    axes[1].imshow(stretched(image, _SHORT_WAVE))
    axes[1].contour(mask, [0.5], colors="white", linewidths=0.6)
    axes[2].imshow(image[13], cmap="terrain")
    names = ("B4 B3 B2", "B11 B8 B4, landslides outlined", "height")
    for axis, name in zip(axes, names, strict=True):
        axis.set_title(f"{SITES['train'][2].name}: {name}")
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=65)


def draw_bands(plt, path: Path) -> None:
    """Mean and standard deviation of each band in each split, as in the paper's Fig. 4."""
    figure, axis = plt.subplots(figsize=(9, 3.4))
    for offset, split in enumerate(SPLITS):
        sites = range(len(SITES[split]))
        images = np.stack([make_tile(SEED, split, site, tile)[0] for site in sites for tile in range(6)])
        place = np.arange(len(BANDS)) + 0.27 * (offset - 1)
        axis.bar(place, images.mean((0, 2, 3)), 0.25, yerr=images.std((0, 2, 3)), capsize=2, label=split)
    axis.set_xticks(range(len(BANDS)), BANDS)
    axis.set_ylabel("mean and standard deviation")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    draw_patches(pyplot, folder / "patches.jpg")
    draw_tile(pyplot, folder / "tile.jpg")
    draw_bands(pyplot, folder / "bands.png")
    draw_strip(folder / "strip.webp")  # the site has a copy in leaderboard/static/leaderboard


if __name__ == "__main__":
    main()
