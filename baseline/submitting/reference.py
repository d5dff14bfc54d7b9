"""Reference entries: methods trained on fresh SynthL4S, whose masks of a leaderboard's public images are submitted to it.

The training data are new: they share the sites with the leaderboard's, not the patches, and its hidden labels stay hidden.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from baseline import synth
from baseline.data.dataset import FOLDERS, DataError, numbered
from baseline.methods import method
from baseline.submitting import client
from baseline.submitting import entries as submitting
from baseline.submitting.archives import archive_of

SPLITS = ("validation", "test")


def make_data(folder: Path, images: Path, preset: str, seed: int) -> None:
    """A data set of fresh training patches and, by links, the validation and test images that lie in `images`."""
    for split in SPLITS:
        name = FOLDERS[split]
        if not numbered(images / name / "img", "image"):
            raise DataError(f"{images} holds no {name}/img/image_N.h5: name the folder of the public images.")
        link = folder / name
        if link.is_symlink() and link.resolve() != (images / name).resolve():
            raise DataError(
                f"{folder} was made for the images in {link.resolve().parent}; choose another folder."
            )
        if not link.exists():
            folder.mkdir(parents=True, exist_ok=True)
            link.symlink_to((images / name).resolve(), target_is_directory=True)
    if not (folder / FOLDERS["train"]).exists():
        partial = folder / "partial"
        synth.generate(partial, preset, seed, splits=["train"])
        (partial / FOLDERS["train"]).rename(folder / FOLDERS["train"])


def entry_name(name: str, preset: str, seed: int) -> str:
    """What the board calls the entry."""
    return f"{getattr(method(name), 'TITLE', name)} (preset {preset}, seed {seed})"


def submit(connection: httpx.Client, run: Path, name: str, phases: Mapping[str, str]) -> list[dict[str, Any]]:
    """Submit a run's archives as reference entries to those of the phases (split -> phase) that can score; wait for the scores.

    A phase takes reference entries before it opens and after it has closed, but none without labels.
    """
    made, text = [], submitting.description(run)
    for split, phase_name in phases.items():
        phase = client.find_phase(connection, phase_name)
        archive = archive_of(run, split)
        try:
            made.append(submitting.submit(connection, phase, archive, name, text, reference=True))
        except client.SubmissionRefused as refusal:
            if refusal.code != "phase_not_open":
                raise
            print(f"{archive} was not submitted. {refusal}")
    return made


def board(connection: httpx.Client, phase_name: str) -> str:
    """The phase's board as text: ranked teams, then the reference entries, which have no rank."""
    phase = client.find_phase(connection, phase_name)
    content = client.answer(lambda: connection.get(f"phases/{phase['id']}/leaderboard/"), connection)
    rows = [(str(row["rank"]), row["team"], row["f1"]) for row in content["rows"]]
    rows += [("reference", row["method"], row["f1"]) for row in content["reference"]]
    lines = [f"{rank:>9}  {_percent(f1)}  {name}" for rank, name, f1 in rows]
    return "\n".join([f"{phase['name']}, F1 in percent. {content['data_note']}", *lines])


def _percent(value: float | None) -> str:
    return "hidden" if value is None else f"{100 * value:6.2f}"
