"""Sklgp, the special prize (section VII of the outcome paper): the Multi-spectral U-Net and validation pseudo-labels.

The network is trained with cross-entropy, Adam and batch 8 for 200 epochs under a cosine rate with warm-up and restarts (Fig. 13) on
3,539 of the training patches, 260 being kept for evaluation. It then annotates the validation set, and a new network is trained in
the same way on both.

Left open by the paper, and chosen here:
- Fig. 13's "init learning rate 0.00001" is read as where the two epochs of warm-up begin; the peak is Adam's own 1e-3. (The other
  reading is --learning-rate 1e-5.)
- The length of the first cosine cycle: a seventh of the steps after the warm-up, so that with the multiplier 2 three cycles end
  with the training.
- Normalisation: the training split's statistics. No augmentation is mentioned, and none is used.
- "Training on the new training data set" starts from new weights and has as many steps; every pixel of the pseudo-labels is used.
- Of an evaluation on the 260 patches every five epochs the best weights are kept, in both trainings. No L2 penalty.
- Blocks and channels: see networks/multispectral.py.
"""

import math
from dataclasses import dataclass, replace

from torch import nn

from baseline.data.pool import joined
from baseline.experiments.study import Study
from baseline.networks import encoders
from baseline.networks.multispectral import MultispectralUNet
from baseline.networks.unet import UNet
from baseline.training import losses, options
from baseline.training.options import MEDIUM, option
from baseline.training.predictor import Predictor
from baseline.training.run import Run
from baseline.training.supervised import Supervised

TITLE = "Sklgp, reproduced"

KEEPS_BEST = True


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    target: str = option(
        "validation", "split that is annotated for the second training", ("validation", "test")
    )
    holdout: float = option(
        260 / 3799, "share of the training patches kept out of training for evaluation, 0-0.5"
    )
    steps: int = option(88_600, "optimiser steps of each training; 443 are an epoch of 3,539 patches")
    batch: int = option(8, "patches per step, all processes together")
    weight_decay: float = option(0.0, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("restarts", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(886, "steps of linear warm-up")
    warmup_from: float = option(1e-5, "learning rate at which the warm-up begins")
    cycle: int = option(
        0,
        "steps of the first cycle of 'restarts', each next one twice as long; 0 = a seventh of those after the warm-up",
    )
    evaluate_every: int = option(
        2215, "steps between evaluations, the best of which is kept; 0 = the last weights are kept"
    )
    network: str = option(
        "multispectral", "for the team's comparison", ("multispectral", "unet", "deeplabv3", "deeplabv3plus")
    )
    encoder: str = option("resnet50", "of the DeepLab networks")
    pseudo_labels: bool = option(True, "train a second time with the annotated target split")


PRESETS = {
    "tiny": {
        "width": 4,
        "steps": 30,
        "warmup": 3,
        "evaluate_every": 15,
        "log_every": 5,
        "encoder": "resnet18",
    },
    "small": {"width": 8, "steps": 600, "warmup": 40, "evaluate_every": 150, "encoder": "resnet18"},
    "medium": MEDIUM
    | {"width": 8, "steps": 4200, "warmup": 60, "evaluate_every": 420, "encoder": "resnet18"},
}

SOURCE_STAGES = ("first",)

STUDIES = {
    "networks": Study(
        "section VII-B, Fig. 14: the networks compared on the same data",
        "multispectral",
        {
            name: {"network": name, "pseudo_labels": False}
            for name in ("unet", "deeplabv3", "deeplabv3plus", "multispectral")
        },
    ),
}


def build(options: Options) -> Predictor:
    return Predictor(_network(options))


def _network(options: Options) -> nn.Module:
    if options.network == "multispectral":
        return MultispectralUNet(width=options.width)
    if options.network == "unet":
        return UNet(width=options.width)
    architecture = {"deeplabv3": "DeepLabV3", "deeplabv3plus": "DeepLabV3Plus"}[options.network]
    return encoders.network(architecture, options.encoder, weights=options.weights_of(options.encoder))


def looks_at(options: Options) -> tuple[str, ...]:
    return (options.target,) if options.pseudo_labels else ()


def train(run: Run[Options], predictor: Predictor) -> None:
    options = run.options
    if options.schedule == "restarts" and not options.cycle:
        options = replace(options, cycle=max(1, math.ceil((options.steps - options.warmup) / 7)))
    objective = Supervised(predictor.networks[0], run.labelled, losses.cross_entropy)
    run.fit("first", objective, options, evaluate=lambda: run.f1(predictor))
    if not options.pseudo_labels:
        return
    target = run.unlabelled(options.target)
    annotated = target.labelled(run.predicted(predictor, target) >= 0.5)
    run.seed("second")
    predictor.networks[0] = _network(options)
    objective = Supervised(predictor.networks[0], joined(run.labelled, annotated), losses.cross_entropy)
    run.fit("second", objective, options, evaluate=lambda: run.f1(predictor))
