"""Reference entries: methods trained on fresh SynthL4S, whose masks of a leaderboard's public images are submitted to it.

The training data are new: they share the sites with the leaderboard's, not the patches, and its hidden labels stay hidden.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baseline import synth
from baseline.data.dataset import FOLDERS, DataError, numbered
from baseline.methods import method
from baseline.submitting import entries as submitting
from baseline.submitting.archives import archive_of
from evaluation.task import TASK
from l4s import Client
from l4s.cli.board import lines
from l4s.errors import Refused

SPLITS = ("validation", "test")


def make_data(folder: Path, images: Path, preset: str, seed: int) -> None:
    """A data set of fresh training patches and, by links, the validation and test images that lie in `images`."""
    for split in SPLITS:
        name = FOLDERS[split]
        if not numbered(images / name / "img", TASK.image_stem):
            raise DataError(
                f"{images} holds no {name}/img/{TASK.image_name('N')}: name the folder of the public images."
            )
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


def submit(client: Client, run: Path, name: str, phases: Mapping[str, str]) -> list[dict[str, Any]]:
    """Submit a run's archives as reference entries to those of the phases (split -> phase) that can score; wait for the scores.

    A phase takes reference entries before it opens and after it has closed, but none without labels.
    """
    made, text = [], submitting.description(run)
    for split, phase_name in phases.items():
        phase = client.phase(phase_name)
        archive = archive_of(run, split)
        try:
            made.append(submitting.submit(client, phase, archive, name, text, reference=True))
        except Refused as refusal:
            if refusal.code != "no_labels":
                raise
            print(f"{archive} was not submitted. {refusal}")
    return made


def board(client: Client, phase_name: str) -> str:
    """The phase's board as text: ranked teams, then the reference entries, which have no rank."""
    phase = client.phase(phase_name)
    return "\n".join([f"{phase['name']}, in percent.", *lines(client.board(phase["id"]))])
