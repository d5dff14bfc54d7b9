"""The options of a training run: one dataclass, every field with its unit, every field a flag of the command line.

A method extends `Options` by a dataclass of its own whose defaults are its recipe. Lengths are in optimiser steps throughout;
an epoch of the 3,799 training patches at batch 32 is 119 steps.
"""

import dataclasses
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints


def option(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    """A field of an options class with the help text of its flag."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})


class OptionError(ValueError):
    """An option has a value that cannot be used; the message names it and the fix."""


@dataclass(frozen=True, kw_only=True)
class Options:
    seed: int = option(
        0, "of initial weights, order of patches, augmentation, dropout and the patches held out"
    )
    normalise: str = option(
        "train",
        "statistics that bands are normalised by: the organisers' constants, those of the training split, or each split's own",
        ("official", "train", "separated"),
    )
    target: str = option(
        "each",
        "unlabelled split that methods of adaptation may look at; each: adapt to validation and to test, and predict "
        "each split by the networks adapted to it",
        ("each", "validation", "test"),
    )
    holdout: float = option(0.0, "share of the training patches kept out of training for evaluation, 0-0.5")
    holdout_site: str = option(
        "", "site (of sites.csv) whose training patches are kept out for evaluation instead"
    )

    steps: int = option(5000, "optimiser steps of the (first) stage")
    batch: int = option(32, "patches per step, all processes together")
    accumulate: int = option(
        1, "equal parts of a step's batch computed one after the other, their gradients averaged: less memory"
    )
    optimiser: str = option("adam", "rule of the update", ("adam", "adamw", "sgd"))
    learning_rate: float = option(1e-3, "highest learning rate of the schedule")
    weight_decay: float = option(5e-4, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("constant", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(0, "steps of linear warm-up")
    warmup_from: float = option(0.0, "learning rate at which the warm-up begins")
    cycle: int = option(
        0, "steps of the first cycle of 'restarts', each next one twice as long; 0 = all steps"
    )
    clip: float = option(0.0, "largest norm of the gradient; 0 = not clipped")
    evaluate_every: int = option(
        0,
        "steps between evaluations on the patches held out; unet and sklgp keep the weights of the best, the others "
        "only show it in the curve; 0 = no evaluation",
    )
    crop: int = option(0, "pixels of the random crops trained on; 0 = whole patches")

    width: int = option(64, "channels of the network's first level, for the networks defined here")
    weights: str = option(
        "random",
        "that library encoders start from: random, imagenet, synthetic (made by `pretrain`), a file, or "
        "ENCODER=SOURCE,ENCODER=SOURCE for several encoders",
    )

    device: str = option("auto", "auto, cpu, cuda or cuda:N; auto takes a GPU where there is one")
    threads: int = option(0, "CPU threads of one process; 0 = torch's choice")
    precision: str = option(
        "auto",
        "of the network's arithmetic under autocast; auto: bf16 where the processor computes in it",
        ("auto", "float32", "bf16"),
    )
    channels_last: bool = option(True, "keep images and weights channels last in memory")
    activations: str = option(
        "keep",
        "kept between forward and backward pass: all, or the input of each block, which is computed again (less memory, about a "
        "third more time, the same weights)",
        ("keep", "recompute"),
    )
    images_on: str = option(
        "auto",
        "memory that holds all images; auto: the device's, unless they would fill more than half of what is free there",
        ("auto", "device", "host"),
    )
    compile: bool = option(False, "compile the network with torch.compile (pays after some minutes)")
    checkpoint_seconds: int = option(60, "seconds between checkpoints")
    log_every: int = option(50, "steps between rows of the curve")
    tensorboard: bool = option(False, "write the curve for TensorBoard too, to RUN/tensorboard")
    predict_batch: int = option(64, "patches predicted at a time")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, choices = getattr(self, field.name), field.metadata.get("choices", ())
            if choices and value not in choices:
                raise OptionError(f"{field.name} is {value!r}; it can be {', '.join(choices)}.")
        for name in ("steps", "batch", "accumulate", "log_every", "width", "predict_batch"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not self.learning_rate > 0:
            raise OptionError(f"learning_rate is {self.learning_rate}; it must be more than 0.")
        for name in (
            "weight_decay",
            "warmup",
            "warmup_from",
            "cycle",
            "clip",
            "evaluate_every",
            "crop",
            "threads",
        ):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} is {getattr(self, name)}; it must be at least 0.")
        if not 0 <= self.holdout <= 0.5:
            raise OptionError(
                f"holdout is {self.holdout}; it is a share of the training patches from 0 to 0.5."
            )

        if self.crop % 32:
            raise OptionError(f"crop is {self.crop}; it must be a multiple of 32.")
        if self.cycle and self.schedule != "restarts":
            raise OptionError(
                f"cycle is {self.cycle}, but the schedule {self.schedule} has none; leave it out."
            )

    @property
    def targets(self) -> tuple[str, ...]:
        """The splits adapted to, one after the other."""
        return ("validation", "test") if self.target == "each" else (self.target,)

    def weights_of(self, encoder: str) -> str:
        """What that encoder starts from. Encoders that `weights` does not name start from random weights."""
        if "=" not in self.weights:
            return self.weights
        named = dict(part.split("=", 1) for part in self.weights.split(",") if "=" in part)
        return named.get(encoder, "random")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


# A run may go on elsewhere: these options change how fast it goes, not what it is.
MACHINE = {"device", "threads", "checkpoint_seconds", "predict_batch", "compile", "log_every"}
MACHINE |= {"activations", "images_on", "tensorboard"}

# What runs did that were made before an option existed.
BEFORE = {"accumulate": 1}


# Preset medium, of every method: the same crops, batches and patches held out, and an end that the curve shows.
MEDIUM: dict[str, Any] = {"crop": 64, "batch": 16, "holdout": 0.0625, "log_every": 50}


def as_flags(values: dict[str, Any]) -> list[str]:
    """The flags that give options these values, less those that only say how fast a run goes."""
    return [_as_flag(name, value) for name, value in values.items() if name not in MACHINE]


def _as_flag(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"


T = TypeVar("T", bound=Options)


def from_dict(kind: type[T], values: dict[str, Any]) -> T:
    """Options of `kind` from a saved dict or from flags; unknown names and wrong types are named."""
    types = get_type_hints(kind)
    if unknown := sorted(set(values) - set(types)):
        raise OptionError(
            f"{kind.__name__} has no option {', '.join(unknown)}. It has: {', '.join(sorted(types))}."
        )
    for name, value in values.items():
        if types[name] is float and isinstance(value, int):
            values = values | {name: float(value)}
        elif not isinstance(value, types[name]):
            raise OptionError(f"{name} is {value!r}; a {types[name].__name__} is expected.")
    return kind(**values)


def from_file(path: Path, method: str) -> dict[str, Any]:
    """Values of options from JSON or TOML, or from the options.json of a run of that method. OptionError where it is neither."""
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise OptionError(
            f"{path} cannot be read as {'TOML' if path.suffix == '.toml' else 'JSON'}: {error}"
        ) from error
    if not isinstance(content, dict):
        raise OptionError(f"{path} holds no names and values of options.")
    if set(content) >= {"method", "options"}:
        if content["method"] != method:
            raise OptionError(f"{path} is of the method {content['method']}, not {method}.")
        return dict(content["options"])
    return content
