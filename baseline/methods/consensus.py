"""Consensus, our own method: one plain U-Net trained on random radiometry, and the mean of its eight views.

No part of it is new. It has no pseudo-labels, no second stage and no library network:

- Each split is normalised by its own statistics (Kingdrone), and training draws a new radiometry for every patch: each spectral
  band times a gain and plus an offset as large as what may be left between the splits.
- The running average of the trained weights predicts (Tarvainen and Valpola, 2017).
- Batch normalisation is re-estimated on the images of each split (Li et al., 2017), on all of them together and not patch by patch.
- The probabilities of a patch are the mean over its eight orientations.

Tried and dropped: rounds of training on pseudo-labels in the expected proportion. Each round predicted more landslide than the one before.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from baseline.data.dice import Dice
from baseline.data.pool import Pool
from baseline.experiments.study import Study
from baseline.networks.cross_sensor import SOURCE, adopt, domain, measure, with_cross_sensor_norm
from baseline.networks.unet import UNet
from baseline.training import losses, options
from baseline.training.augment import flips_and_turns, oriented, perturb_colours, unoriented
from baseline.training.loop import Objective, autocast
from baseline.training.options import MEDIUM, OptionError, option
from baseline.training.predictor import Predictor
from baseline.training.run import Run

TITLE = "Consensus of eight views"
TARGETS = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    normalise: str = option(
        "separated", "statistics that bands are normalised by", ("official", "train", "separated")
    )
    steps: int = option(10_000, "optimiser steps; 119 are an epoch at batch 32")
    optimiser: str = option("adamw", "rule of the update", ("adam", "adamw", "sgd"))
    weight_decay: float = option(1e-2, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("cosine", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(200, "steps of linear warm-up")
    perturbation: float = option(
        0.2, "largest gain, and largest offset in standard deviations, of a spectral band in training"
    )
    decay: float = option(0.995, "of the running average of the weights; 0 = the last weights")
    measured: bool = option(True, "measure batch normalisation on each split before predicting it")
    views: int = option(8, "orientations of a patch averaged in prediction, 1-8")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.perturbation < 0:
            raise OptionError(f"perturbation is {self.perturbation}; it must be 0 or more.")
        if not 0 <= self.decay < 1:
            raise OptionError(
                f"decay is {self.decay}; it must be from 0 to less than 1, which would learn nothing."
            )
        if not 1 <= self.views <= 8:
            raise OptionError(f"views is {self.views}; a patch has 1 to 8 orientations.")


PRESETS = {
    "tiny": {"width": 8, "steps": 30, "batch": 8, "warmup": 3, "decay": 0.9, "log_every": 5},
    "small": {"width": 16, "steps": 900, "batch": 8, "warmup": 40, "decay": 0.98},
    "medium": MEDIUM | {"width": 16, "steps": 6000, "evaluate_every": 500},
}

IDLE = {
    "target": "it measures its normalisation on each split, validation and test alike",
    "weights": "its network is defined here, and no weights of it are published",
}

SOURCE_STAGES = ("network",)
UNSEEN = {"network": {"measured", "views"}}

STUDIES = {
    "parts": Study(
        "what each part is worth: left out one at a time",
        "all",
        {
            "all": {},
            "training statistics": {"normalise": "train"},
            "no perturbation": {"perturbation": 0.0},
            "last weights": {"decay": 0.0},
            "batch normalisation of training": {"measured": False},
            "one view": {"views": 1},
        },
    ),
}


class Views(Predictor):
    """The mean over orientations of a patch, by the statistics of its split."""

    def __init__(self, network: nn.Module, views: int):
        super().__init__(network)
        self.views = views

    def forward(self, images: Tensor) -> Tensor:
        with domain(self, self.split if self.split in TARGETS else SOURCE):
            views = [
                unoriented(super(Views, self).forward(oriented(images, k)), k) for k in range(self.views)
            ]
        return torch.stack(views).mean(dim=0)


def build(options: Options) -> Predictor:
    return Views(with_cross_sensor_norm(UNet(width=options.width), TARGETS), options.views)


def looks_at(options: Options) -> tuple[str, ...]:
    return TARGETS if options.measured else ()


def train(run: Run[Options], predictor: Predictor) -> None:
    options, network = run.options, predictor.networks[0]
    objective = Averaged(network, run.labelled, options)
    watched = Views(objective.average.module, 1)
    run.fit("network", objective, evaluate=lambda: run.f1(watched), keep_best=False)
    network.load_state_dict(objective.average.module.state_dict())
    adopt(network)
    for name in TARGETS if options.measured else ():
        with autocast(run.world.device, options):
            measure(network, name, run.pool(name).chunks(options.predict_batch))


class Averaged(Objective):
    """Cross-entropy + Jaccard on patches of any orientation and radiometry; keeps a running average of the network."""

    def __init__(self, network: nn.Module, pool: Pool, options: Options):
        super().__init__()
        self.network = network
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.decay), use_buffers=True)
        self.average = average.requires_grad_(False)
        self.pool = pool
        self.perturbation = options.perturbation

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        images, labels = flips_and_turns(*self.pool.batch(dice), dice)
        logits = self.network(perturb_colours(images, dice, self.perturbation, self.perturbation))
        return {"loss": losses.cross_entropy(logits, labels) + losses.soft_jaccard(logits, labels)}

    def after_step(self, step: int) -> None:
        self.average.update_parameters(self.network)
