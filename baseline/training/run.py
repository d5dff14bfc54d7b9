"""A run: one method, its options and its data in a folder that keeps everything about it.

    options.json     method, data folder and every option
    provenance.json  versions, machine, code, hash of the data, times
    stages/          a checkpoint for each stage of training
    curve.csv/.png   the curve of all finished stages
    weights.safetensors  the finished predictor (weights.pt in runs made before version 1.1)
    metrics.json     counts and F1 of each split that has labels, written by results.py

The same command on the same folder resumes an interrupted run and leaves a finished one unchanged.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from torch import Tensor

from baseline.data import dataset as data
from baseline.data import normalise
from baseline.data.dataset import find_split
from baseline.data.dice import derived_seed
from baseline.data.normalise import to_pool
from baseline.data.pool import Pool
from baseline.methods import method
from baseline.networks.weights import SyntheticWeightsMissing
from baseline.training import curve
from baseline.training.deadline import TimeIsUp
from baseline.training.loop import (
    DamagedFile,
    Objective,
    Stage,
    autocast,
    memory_layout,
    precision,
    written_atomically,
)
from baseline.training.options import BEFORE, MACHINE, OptionError, Options, from_dict
from baseline.training.predictor import Predictor
from baseline.training.pretraining import PretrainOptions, pretrain
from baseline.training.provenance import provenance
from baseline.training.scores import Score, score
from baseline.training.world import World

WEIGHTS = "weights.safetensors"
MANY = 1000  # from this number of patches on, several processes read a split's files: 7 ms each, mostly for inflating
MOST_READERS = 16

Chosen = TypeVar("Chosen", bound=Options)


class RunError(ValueError):
    """A run's folder does not fit the command; the message says what to do."""


class Run(Generic[Chosen]):
    """labels: the folder of the masks, if they are not beside the images."""

    def __init__(
        self, folder: Path, name: str, data: Path, options: Chosen, world: World, labels: Path | None = None
    ):
        self.folder = folder
        self.name = name
        self.data = data
        self.labels = labels
        self.hashes: dict[str, str] = {}
        self.options = options
        self.world = world
        self._pools: dict[str, Pool] = {}
        self._sites: dict[str, tuple[str, ...] | None] = {}
        self._curve: list[dict[str, Any]] = []

    @property
    def method(self) -> ModuleType:
        return method(self.name)

    # Data

    def pool(self, split: str) -> Pool:
        """All patches of "train", "validation" or "test", normalised as the options say, on the run's device."""
        if split not in self._pools:
            many = len(data.find_split(self.data, split, masks=False).images) >= MANY
            readers = min(os.cpu_count() or 1, MOST_READERS) if many else 1
            patches = data.load(self.data, split, mask_root=self.labels, processes=readers)
            self.hashes[split] = patches.sha256
            self._sites[split] = patches.split.sites
            statistics = self.statistics(split, patches)
            self._pools[split] = to_pool(patches, statistics, self.world.device, self.options.images_on)
        return self._pools[split]

    def statistics(self, split: str, patches: data.Patches | None = None) -> data.Statistics:
        """The statistics that normalise a split; those of the training split are stored with the run.

        patches: those of the split, where they have been read.
        """
        if self.options.normalise == "official":
            return data.OFFICIAL
        if self.options.normalise == "separated":
            return (patches or data.load(self.data, split)).moments.statistics()
        kept = self.folder / "statistics.json"
        if kept.exists():
            return normalise.from_json(json.loads(kept.read_text()))
        train = patches if patches and split == "train" else data.load(self.data, "train")
        statistics = train.moments.statistics()
        self.write_json(kept.name, normalise.to_json(statistics))
        return statistics

    def sites(self, split: str) -> tuple[str, ...]:
        """The site of each patch of "train", "validation", "test" or "held-out"; empty where they are not known."""
        held_out = split == "held-out"
        self.pool("train" if held_out else split)
        names = self._sites["train" if held_out else split] or ()
        return tuple(names[row] for row in self._rows_kept_and_held_out[1]) if held_out and names else names

    @cached_property
    def _rows_kept_and_held_out(self) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of the training patches to train on and to evaluate on."""
        pool, options = self.pool("train"), self.options
        if options.holdout_site:
            if not self._sites["train"]:
                raise RunError(
                    "The sites of the training patches are not known (no sites.csv); use --holdout, a share."
                )
            return data.hold_out(self._sites["train"], options.holdout_site)
        order = np.random.default_rng(derived_seed(options.seed, "holdout")).permutation(len(pool))
        kept = len(pool) - (max(1, round(options.holdout * len(pool))) if options.holdout else 0)
        return np.sort(order[:kept]), np.sort(order[kept:])

    @cached_property
    def labelled(self) -> Pool:
        """The training patches, less those held out; batches of them are crops where the options say so."""
        rows = self._rows_kept_and_held_out[0]
        pool = self.pool("train") if len(rows) == len(self.pool("train")) else self.pool("train").take(rows)
        return replace(pool, crop=self.options.crop)

    @cached_property
    def held_out(self) -> Pool:
        """The held-out training patches; if there are none, the training patches themselves."""
        rows = self._rows_kept_and_held_out[1]
        return self.pool("train").take(rows) if len(rows) else self.pool("train")

    @property
    def holds_out(self) -> bool:
        """Whether some training patches are held out."""
        return bool(self.options.holdout or self.options.holdout_site)

    def unlabelled(self, split: str) -> Pool:
        """A split that methods of adaptation may look at, without its labels; batches are crops as those of `labelled`."""
        return replace(self.pool(split), labels=None, crop=self.options.crop)

    # Training

    def seed(self, what: str) -> None:
        """Fix torch's generator by the run's seed and a word, before weights are made."""
        torch.manual_seed(derived_seed(self.options.seed, what))

    def fit(
        self,
        stage: str,
        objective: Objective,
        options: Options | None = None,
        evaluate: Callable[[], float] | None = None,
        keep_best: bool = True,
    ) -> None:
        """Train `objective` as the stage of that name; at once where the run has finished that stage before.

        evaluate, keep_best: see `Stage.fit`; without keep_best there is no evaluation where no patches are held out.
        """
        if not (keep_best or self.holds_out):
            evaluate = None
        checkpoint = self.folder / "stages" / f"{stage}.pt"
        checkpoint.parent.mkdir(exist_ok=True)
        watch = curve.live(self.folder / "tensorboard" / stage) if self._writes_tensorboard else curve.unseen
        trained = Stage(stage, objective, options or self.options, self.world, checkpoint, watch)
        progress = trained.fit(evaluate, keep_best)
        if self.world.main:
            self._curve += progress.rows
            curve.write_rows(self.folder / "curve.csv", self._curve)
            curve.plot(self.folder / "curve.png", self._curve)

    @property
    def _writes_tensorboard(self) -> bool:
        return self.options.tensorboard and self.world.main

    # Prediction

    def probabilities(self, predictor: Predictor, pool: Pool) -> Iterator[Tensor]:
        """Landslide probabilities of all patches in order, options.predict_batch at a time: (n, H, W) float32."""
        predictor.to(self.world.device).eval()
        predictor.split = pool.name
        with torch.inference_mode(), autocast(self.world.device, self.options):
            for images in pool.chunks(self.options.predict_batch):
                yield predictor(images).float()

    def predicted(self, predictor: Predictor, pool: Pool) -> Tensor:
        """The landslide probabilities of the whole pool, (N, H, W) float32 on the run's device."""
        return torch.cat(list(self.probabilities(predictor, pool)))

    def masks(self, predictor: Predictor, pool: Pool, threshold: float = 0.5) -> Iterator[np.ndarray]:
        """The predicted masks of all patches in order, each uint8 (H, W)."""
        for probabilities in self.probabilities(predictor, pool):
            yield from (probabilities >= threshold).to(torch.uint8).cpu().numpy()

    def score(self, predictor: Predictor, pool: Pool, threshold: float = 0.5) -> Score:
        """Counts and F1 of the predicted masks against the pool's labels."""
        if pool.labels is None:
            raise RunError(
                f"The split {pool.name!r} has no labels here, so it cannot be scored; submit its archive instead."
            )
        return score(np.stack(list(self.masks(predictor, pool, threshold))), pool.labels.cpu().numpy())

    def f1(self, predictor: Predictor) -> float:
        """F1 on the held-out patches, for the curve and for keeping the best weights."""
        return self.score(predictor, self.held_out).f1

    # Files

    def trained(self) -> Predictor:
        """The finished predictor with its own weights; pretrained weights that it started from are not needed."""
        weights = finished_weights(self.folder)
        if weights is None:
            raise RunError(f"{self.folder} has no finished weights. Repeat its train command to finish it.")
        predictor = self.method.build(replace(self.options, weights="random"))
        load_predictor(predictor, weights)
        return predictor.to(self.world.device, **memory_layout(self.options))

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        if self.world.main:
            partial = self.folder / f"{name}.partial"
            partial.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
            partial.replace(self.folder / name)


def start(folder: Path, name: str, data: Path, options: Options, world: World) -> Run:
    """A new run in `folder`, or the one that is there, if it has the same method and options.

    Nothing is written where the data that the training needs are not there.
    """
    keeps_best = getattr(method(name), "KEEPS_BEST", False)
    if options.evaluate_every and not (keeps_best or options.holdout or options.holdout_site):
        raise OptionError(
            f"evaluate_every is {options.evaluate_every}, but no patches are held out to evaluate on: add --holdout 0.05."
        )
    for split in splits_needed(name, options):
        find_split(data, split)
    options = replace(options, precision=precision(world.device, options))
    asked = {"method": name, "data": str(data.resolve()), "options": options.to_dict()}
    path = folder / "options.json"
    if path.exists() and (differing := _differences(_options_of(path), asked)):
        raise RunError(
            f"{folder} holds another run: {differing}. Repeat its command to go on, or choose another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    world.wait()
    run = Run(folder, name, data, options, world)
    run.write_json(path.name, asked)
    return run


def _options_of(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        content["method"], content["data"], content["options"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile(path, f"{type(error).__name__}: {error}") from error
    return content


def _differences(there: dict[str, Any], asked: dict[str, Any]) -> str:
    one, other = ({"method": d["method"], **d["options"]} for d in (there, asked))
    names = differences(one, other)
    return ", ".join(f"{k} is {one.get(k)!r} there and {other.get(k)!r} here" for k in names)


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The options that differ, less those that only say how fast a run goes."""
    one, other = BEFORE | one, BEFORE | other
    return [k for k in {**one, **other} if k not in MACHINE and one.get(k) != other.get(k)]


def saved(folder: Path) -> tuple[str, Path, Options]:
    """Method, data folder and options of the run in `folder`."""
    path = folder / "options.json"
    if not path.exists():
        raise RunError(f"{folder} is not a run's folder: it has no options.json. `train` makes one.")
    content = _options_of(path)
    return (
        content["method"],
        Path(content["data"]),
        from_dict(method(content["method"]).Options, content["options"]),
    )


def train(run: Run) -> Predictor:
    """Train the run's method to the end, or resume it; writes weights, curve and provenance.

    Raises TimeIsUp if the world's deadline comes first; the next call resumes.
    """
    if finished_weights(run.folder):
        return run.trained()
    for split in splits_needed(
        run.name, run.options
    ):  # a file that cannot be used is named before hours of training
        run.pool(split)
    predictor = _built(run)
    pieces = _pieces(run.folder)
    began = time.monotonic()

    def tell(seconds: float | None) -> None:
        sittings = [*pieces, seconds]
        made = provenance(run.world) | {"data_sha256": run.hashes, "pieces": sittings}
        run.write_json("provenance.json", made | {"seconds": round(sum(s or 0 for s in sittings), 1)})

    tell(None)
    try:
        run.method.train(run, predictor)
    except TimeIsUp:
        tell(time.monotonic() - began)
        raise
    if run.world.main:
        with written_atomically(run.folder / WEIGHTS) as partial:
            save_model(predictor, str(partial), metadata={"method": run.name, "format": "pt"})
    tell(time.monotonic() - began)
    run.world.wait()
    return run.trained()  # predict with exactly the weights that were written


def finished_weights(folder: Path) -> Path | None:
    """The file of a finished run's weights."""
    return next((path for name in (WEIGHTS, "weights.pt") if (path := folder / name).exists()), None)


def has_stages_of_others(folder: Path) -> bool:
    """Whether stages were taken over from other runs, so that the run's seconds are not all of its training."""
    return any(path.is_symlink() for path in (folder / "stages").glob("*.pt"))


def load_predictor(predictor: Predictor, weights: Path) -> None:
    """Load a finished run's weights. Raises DamagedFile where the file is not whole."""
    try:
        if weights.suffix == ".pt":
            predictor.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        else:
            load_model(predictor, str(weights))
    except Exception as error:  # of safetensors, pickle and torch: many exceptions, one meaning
        raise DamagedFile(weights, f"{type(error).__name__}: {error}") from error


def splits_needed(name: str, options: Options) -> tuple[str, ...]:
    """The splits whose images the training of a method looks at."""
    return ("train", *method(name).looks_at(options))


def _built(run: Run) -> Predictor:
    """The method's networks before training; an encoder whose synthetic pretraining is missing is pretrained first."""
    while True:
        run.seed("weights")
        try:
            predictor: Predictor = run.method.build(run.options)
        except SyntheticWeightsMissing as missing:
            pretrain(missing.encoder, PretrainOptions(threads=run.options.threads), run.world)
        else:
            return predictor


def _pieces(folder: Path) -> list[float | None]:
    """The seconds of each sitting in which the run was trained so far; None for one that was killed."""
    path = folder / "provenance.json"
    return json.loads(path.read_text()).get("pieces", [None]) if path.exists() else []
