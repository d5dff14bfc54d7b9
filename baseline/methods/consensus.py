"""Consensus, a method of our own: one plain U-Net, its averaged weights, eight views, and labels in the expected proportion.

Nothing in it is new by itself. Where the winners take three large networks at 512 pixels, it takes five cheap parts:

- Each split is normalised by its own statistics (Kingdrone), and training draws a new radiometry for every patch: each spectral
  band times a gain and plus an offset as large as what may be left between the splits.
- Batch normalisation has statistics of its own for the training patches and for each unlabelled split (Kingdrone, after Li et
  al., 2017), measured on the split before its first prediction.
- What labels and predicts is the running average of the trained weights (Tarvainen and Valpola, 2017), and the mean over the
  eight orientations of a patch.
- Pseudo-labels are the most probable pixels of a split, as many as the training labels lead to expect, the doubtful ones between
  left out (`pseudo.prior_matched`): a shift that makes the network shy or bold is not fed back.
- Rounds of training on labels and on the pseudo-labels of validation and test together, each from the weights of the last.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from baseline import losses, options, pseudo
from baseline.augment import flips_and_turns, oriented, perturb_colours, unoriented
from baseline.dice import Dice
from baseline.loop import Objective, autocast
from baseline.networks.cross_sensor import SOURCE, adopt, domain, measure, with_cross_sensor_norm
from baseline.networks.unet import UNet
from baseline.options import option
from baseline.pool import Pool, landslide_share
from baseline.predictor import Predictor
from baseline.run import Run
from baseline.study import Study

TARGETS = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    normalise: str = option(
        "separated", "statistics that bands are normalised by", ("official", "train", "separated")
    )
    steps: int = option(5_000, "optimiser steps before the first round; 119 are an epoch at batch 32")
    batch: int = option(32, "labelled patches per step; in the rounds as many of each unlabelled split")
    optimiser: str = option("adamw", "rule of the update", ("adam", "adamw", "sgd"))
    weight_decay: float = option(1e-2, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("cosine", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(200, "steps of linear warm-up")
    perturbation: float = option(
        0.2, "largest gain, and largest offset in standard deviations, of a spectral band in training"
    )
    decay: float = option(0.995, "of the running average of the weights")
    views: int = option(8, "orientations of a patch averaged in prediction, 1-8")
    rounds: int = option(3, "rounds of training on labels and pseudo-labels; 0 = none")
    round_steps: int = option(1_000, "optimiser steps of a round")
    pseudo_labels: bool = option(True, "if not, rounds are as long on labelled patches alone: the control")
    landslide: float = option(0.9, "pseudo-labels of landslides, as a multiple of the training labels' share")
    background: float = option(1.8, "where background begins, as such a multiple")


PRESETS = {
    "tiny": {
        "width": 8,
        "steps": 30,
        "round_steps": 10,
        "rounds": 1,
        "batch": 8,
        "warmup": 3,
        "log_every": 5,
    },
    "small": {"width": 16, "steps": 900, "round_steps": 150, "batch": 8, "warmup": 40, "decay": 0.98},
}

STUDIES = {
    "parts": Study(
        "what each part is worth: left out one at a time",
        {
            "all": {},
            "train statistics": {"normalise": "train"},
            "no perturbation": {"perturbation": 0.0},
            "last weights": {"decay": 0.0},
            "one view": {"views": 1},
            "no rounds": {"rounds": 0},
            "rounds without the targets": {"pseudo_labels": False},
        },
    ),
}


class Views(Predictor):
    """The mean over orientations of a patch, normalising by the statistics of its split."""

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


def train(run: Run[Options], predictor: Predictor) -> None:
    options, network = run.options, predictor.networks[0]
    targets = [replace(run.pool(name), labels=None) for name in TARGETS]
    fit(run, "source", network, [run.labelled], options)
    adopt(network)
    for target in targets:
        with autocast(run.world.device, options):
            measure(network, target.name, target.chunks(options.predict_batch))
    share = landslide_share(run.labelled)
    refining = replace(options, steps=options.round_steps, learning_rate=options.learning_rate / 3, warmup=0)
    for number in range(1, options.rounds + 1):
        pools = [run.labelled]
        for target in targets if options.pseudo_labels else ():
            probabilities = run.predicted(predictor, target)
            labels = pseudo.prior_matched(probabilities, share, options.landslide, options.background)
            pools.append(target.labelled(labels))
        fit(run, f"round-{number}", network, pools, refining)


def fit(run: Run[Options], stage: str, network: nn.Module, pools: list[Pool], options: Options) -> None:
    """Train the network in a stage; it then holds the average of its weights."""
    objective = Averaged(network, pools, options)
    run.fit(stage, objective, options)
    network.load_state_dict(objective.average.module.state_dict())


class Averaged(Objective):
    """Cross-entropy + Jaccard on each pool in its own domain; keeps a running average of the network."""

    def __init__(self, network: nn.Module, pools: list[Pool], options: Options):
        super().__init__()
        self.network = network
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(options.decay), use_buffers=True)
        self.average = average.requires_grad_(False)
        self.pools = pools
        self.perturbation = options.perturbation

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        return {pool.name: self._loss(pool, dice) for pool in self.pools}

    def _loss(self, pool: Pool, dice: Dice) -> Tensor:
        images, labels = flips_and_turns(*pool.batch(dice), dice)
        images = perturb_colours(images, dice, self.perturbation, self.perturbation)
        with domain(self.network, pool.name if pool.name in TARGETS else SOURCE):
            logits = self.network(images)
        return losses.cross_entropy(logits, labels) + losses.soft_jaccard(logits, labels)

    def after_step(self, step: int) -> None:
        self.average.update_parameters(self.network)
