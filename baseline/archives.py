"""From a trained method to a checked archive, the masks going straight from the network into the ZIP file."""

from pathlib import Path

from tqdm import tqdm

from baseline.pool import Pool
from baseline.predictor import Predictor
from baseline.run import Run
from evaluation import archive
from evaluation.spec import MaskSpec


def archive_of(folder: Path, split: str) -> Path:
    """Where a run keeps the archive of a split."""
    return folder / "archives" / f"{split}.zip"


def is_fresh(folder: Path, split: str) -> bool:
    """Whether the archive is there and no older than the weights."""
    archive, weights = archive_of(folder, split), folder / "weights.pt"
    return archive.exists() and weights.exists() and archive.stat().st_mtime >= weights.stat().st_mtime


def write_archive(run: Run, predictor: Predictor, pool: Pool, path: Path, threshold: float = 0.5) -> None:
    """Predict every patch of the pool and write the finished archive; `path` is there whole or not at all.

    What was written is read back by the server's own check. Raises evaluation's InvalidArchive if that finds a problem.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    masks = run.masks(predictor, pool, threshold)
    archive.write(partial, tqdm(masks, desc=path.name, total=len(pool), unit="patch", disable=None))
    height, width = pool.images.shape[1:3]
    archive.read(partial.read_bytes(), MaskSpec(len(pool), height, width))
    partial.replace(path)
