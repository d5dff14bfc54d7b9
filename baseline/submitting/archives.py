"""From a trained method to a checked archive, the masks going straight from the network into the ZIP file."""

import json
import zipfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from baseline.data.dataset import check_numbers, find_split
from baseline.data.pool import Pool
from baseline.training.predictor import Predictor
from baseline.training.run import Run, finished_weights
from evaluation.archive import mask_zip
from evaluation.task import MaskSpec


def archive_of(folder: Path, split: str) -> Path:
    """Where a run keeps the archive of a split."""
    return folder / "archives" / f"{split}.zip"


def _note_of(archive: Path) -> Path:
    """Says from which data and at which threshold the archive was made."""
    return archive.with_suffix(".json")


def is_fresh(folder: Path, split: str, data: Path | None = None, threshold: float | None = None) -> bool:
    """Whether the archive is there, no older than the weights, and made from these data at this threshold (None: from any)."""
    archive, weights = archive_of(folder, split), finished_weights(folder)
    if not (archive.exists() and weights and archive.stat().st_mtime >= weights.stat().st_mtime):
        return False
    note = _note_of(archive)
    made = json.loads(note.read_text()) if note.exists() else {}
    asked = {"data": data and str(data.resolve()), "threshold": threshold}
    return all(made.get(name) == value for name, value in asked.items() if value is not None)


def check_count(path: Path, phase: dict[str, Any]) -> None:
    """Raises ValueError where the archive does not hold as many masks as the phase has patches."""
    with zipfile.ZipFile(path) as archive:
        count, wanted = len(archive.namelist()), phase.get("patches")
    if wanted and count != wanted:
        raise ValueError(
            f"{path} holds {count} masks, but {phase['competition']}/{phase['slug']} takes {wanted}. "
            "Name the folder of that competition's images with --data."
        )


def write_archive(run: Run, predictor: Predictor, pool: Pool, path: Path, threshold: float = 0.5) -> None:
    """Predict every patch of the pool and write the finished archive; `path` is there whole or not at all.

    What was written is read back by the server's own check. Raises evaluation's InvalidArchive if that finds a problem, and DataError
    where the numbers of the images have a gap, for a mask has its image's number.
    """
    check_numbers(find_split(run.data, pool.name, masks=False))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    masks = run.masks(predictor, pool, threshold)
    mask_zip.write(partial, tqdm(masks, desc=path.name, total=len(pool), unit="patch", disable=None))
    height, width = pool.images.shape[1:3]
    mask_zip.read(partial.read_bytes(), MaskSpec(len(pool), height, width))
    note = _note_of(path)
    note.unlink(missing_ok=True)
    partial.replace(path)
    note.write_text(json.dumps({"data": str(run.data.resolve()), "threshold": threshold}) + "\n")
