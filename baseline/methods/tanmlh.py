"""Tanmlh, third place (section VI of the outcome paper): self-training with Monte Carlo dropout, mix-up and a dense CRF.

A teacher is trained on the labels (equation 6: cross-entropy + Jaccard) and then fixed. It labels the unlabelled patches; ten runs
with dropout 0.3 after the first convolution give each pixel's uncertainty, their variance, and of each class the least uncertain
pixels are kept: 90 % of the background, 70 % of the landslides. A student is trained on both sets (equations 5 and 7), with mix-up
within each (equations 8 and 9). A dense conditional random field sharpens the prediction.

Left open by the paper, and chosen here:
- The network: DeepLabV3+ on ResNet-50, or with --network hrnet HRNet-W18. The team's table marks no ensemble, so there is none.
- Section III and Table II say that all three winners use the Lovász loss; equations 6 and 7 have cross-entropy + Jaccard, as here.
- Which set is unlabelled (the text says validation, equations 7 and 9 say test): each split has a student of its own (--target).
- The pseudo-label is the class of the teacher's prediction without dropout; the share of each class is taken over all patches.
  Dropout is of single values, the variance that of the landslide probability.
- The student starts from new weights, and sees labelled and unlabelled patches in one forward pass, half of the batch each.
- Beta(0.4, 0.4) for mix-up, which the teacher has, too. Equation 8 prints one λ for both sets, "randomly sampled from a beta
  distribution during each training step", and so it is by default; with --no-one-lambda each set draws its own.
- The training split's statistics for every split; flips and quarter turns as the unnamed augmentation of Fig. 11; AdamW, cosine rate, 60 epochs each.
- The field's kernels (crf.py), guided by the normalised red, green and blue bands.
- A mixed Jaccard loss with ignored pixels: each of the two label sets ignores its own.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from baseline.data.dice import Dice
from baseline.data.pool import Pool
from baseline.experiments.study import Study
from baseline.networks import encoders
from baseline.networks.crf import DenseCRF
from baseline.networks.hrnet import HRNet
from baseline.training import losses, options, pseudo
from baseline.training.augment import MixUp, flips_and_turns
from baseline.training.loop import Objective
from baseline.training.options import MEDIUM, OptionError, option
from baseline.training.predictor import Predictor, adapted, per_target
from baseline.training.run import Run
from evaluation.task import TASK

RED_GREEN_BLUE = TASK.rgb

TITLE = "Tanmlh, reproduced"


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    steps: int = option(14_000, "optimiser steps of the teacher; 237 are an epoch at batch 16")
    batch: int = option(
        16, "labelled patches per step, all processes together; the student takes as many unlabelled ones"
    )
    optimiser: str = option("adamw", "rule of the update", ("adam", "adamw", "sgd"))
    learning_rate: float = option(5e-4, "highest learning rate of the schedule")
    weight_decay: float = option(1e-2, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("cosine", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(200, "steps of linear warm-up")
    student_steps: int = option(0, "optimiser steps of the student; 0 = as many as the teacher's")
    network: str = option("deeplabv3plus", "of teacher and student", ("deeplabv3plus", "hrnet"))
    encoder: str = option("", "of segmentation-models-pytorch or timm; empty: resnet50, or hrnet_w18")
    self_training: bool = option(True, "train a student on pseudo-labels after the teacher")
    dropout: float = option(0.3, "rate after the first convolution in the Monte Carlo runs")
    runs: int = option(10, "Monte Carlo runs per patch")
    keep_background: float = option(0.9, "share of the background pseudo-labels kept")
    keep_landslide: float = option(0.7, "share of the landslide pseudo-labels kept")
    mix_up: float = option(0.4, "both parameters of the beta distribution; 0 = no mix-up")
    one_lambda: bool = option(
        True, "mix both sets by one λ per step, as equation 8 prints it, rather than each by its own"
    )
    crf: bool = option(True, "sharpen the prediction by a dense conditional random field")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("dropout", "keep_background", "keep_landslide"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} is {getattr(self, name)}; it is a share from 0 to 1.")
        if self.student_steps < 0:
            raise OptionError(f"student_steps is {self.student_steps}; it must be 0 or more.")
        if self.runs < 1:
            raise OptionError(f"runs is {self.runs}; a variance needs Monte Carlo runs, at least 1.")
        if self.mix_up < 0:
            raise OptionError(f"mix_up is {self.mix_up}; it must be 0 or more.")


PRESETS = {
    "tiny": {"steps": 20, "batch": 4, "warmup": 2, "log_every": 5, "encoder": "resnet18", "runs": 3},
    "small": {"steps": 600, "batch": 8, "warmup": 40, "learning_rate": 1e-3, "encoder": "resnet18"},
    "medium": MEDIUM
    | {
        "steps": 3000,
        "student_steps": 2000,
        "warmup": 100,
        "learning_rate": 1e-3,
        "encoder": "resnet18",
        "weights": "synthetic",
        "evaluate_every": 500,
    },
}

IDLE = {
    "width": "its network has the size of its encoder's name",
}

SOURCE_STAGES = ("teacher",)
_SELECTING = {"dropout", "runs", "keep_background", "keep_landslide"}
UNSEEN = {
    "teacher": {"target", "self_training", "student_steps", "one_lambda", "crf"} | _SELECTING,
    "student-*": {"target", "crf"},
}

STUDIES = {
    "parts": Study(
        "section VI, part by part",
        "student, mix-up, CRF",
        {
            "teacher": {"self_training": False, "mix_up": 0.0, "crf": False},
            "teacher, mix-up": {"self_training": False, "crf": False},
            "student": {"mix_up": 0.0, "crf": False},
            "student, mix-up": {"crf": False},
            "student, mix-up, CRF": {},
            "student, mix-up by a λ each, CRF": {"one_lambda": False},
        },
    ),
    "networks": Study(
        "section VI, the two backbones of Table II",
        "DeepLabV3+",
        {
            "DeepLabV3+": {"network": "deeplabv3plus", "encoder": ""},
            "HRNet": {"network": "hrnet", "encoder": ""},
        },
    ),
}


class Sharpened(Predictor):
    """A network whose probabilities a dense conditional random field aligns with the edges of the image."""

    def __init__(self, network: nn.Module, field: DenseCRF | None):
        super().__init__(network)
        self.field = field

    def forward(self, images: Tensor) -> Tensor:
        probabilities = super().forward(images)
        return self.field(probabilities, images[:, list(RED_GREEN_BLUE)]) if self.field else probabilities


def build(options: Options) -> Predictor:
    targets = options.targets if options.self_training else options.targets[-1:]
    return per_target(targets, lambda: Sharpened(_network(options), DenseCRF() if options.crf else None))


def looks_at(options: Options) -> tuple[str, ...]:
    return options.targets if options.self_training else ()


def _network(options: Options) -> nn.Module:
    if options.network == "hrnet":
        encoder = options.encoder or "hrnet_w18"
        network: nn.Module = HRNet(encoder, weights=options.weights_of(encoder))
    else:
        encoder = options.encoder or "resnet50"
        network = encoders.network("DeepLabV3Plus", encoder, weights=options.weights_of(encoder))
    return with_monte_carlo_dropout(network, options.dropout)


def train(run: Run[Options], predictor: Predictor) -> None:
    options = run.options
    members = adapted(predictor, options.targets)
    teacher = next(iter(members.values())).networks[0]
    run.fit(
        "teacher", Mixed(teacher, [run.labelled], options), evaluate=_watched(run, teacher), keep_best=False
    )
    if not options.self_training:
        return
    later = replace(options, steps=options.student_steps or options.steps)
    for target, member in members.items():
        labels = pseudo_labels(run, teacher, target)
        run.seed("student")
        member.networks[0] = student = _network(options)
        mixed = Mixed(student, [run.labelled, run.unlabelled(target).labelled(labels)], options)
        run.fit(f"student-{target}", mixed, later, evaluate=_watched(run, student), keep_best=False)


def _watched(run: Run[Options], network: nn.Module) -> Callable[[], float]:
    return lambda: run.f1(Predictor(network))


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Equations 6 and 7."""
    return losses.cross_entropy(logits, labels) + losses.soft_jaccard(logits, labels)


class Mixed(Objective):
    """Equations 5, 8 and 9: for each pool, the loss of patches mixed within it; the sum over the pools."""

    def __init__(self, network: nn.Module, pools: list[Pool], options: Options):
        super().__init__()
        self.network = network
        self.pools = pools
        self.beta = options.mix_up
        self.one_lambda = options.one_lambda

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        batches = [flips_and_turns(*pool.batch(dice), dice) for pool in self.pools]
        mixed = [MixUp(*batch, share) for batch, share in zip(batches, self._shares(dice), strict=True)]
        logits = self.network(torch.cat([m.images for m in mixed])).chunk(len(mixed))
        named = zip(self.pools, mixed, logits, strict=True)
        return {pool.name: m.loss(segmentation_loss, x) for pool, m, x in named}

    def _shares(self, dice: Dice) -> list[float]:
        """λ of each pool at this step; 1 where nothing is mixed."""
        if not self.beta:
            return [1.0] * len(self.pools)
        if self.one_lambda:
            return [dice.beta(self.beta, self.beta)] * len(self.pools)
        return [dice.beta(self.beta, self.beta) for _ in self.pools]


def pseudo_labels(run: Run[Options], teacher: nn.Module, target: str) -> Tensor:
    """The teacher's labels of the split's least uncertain pixels, 255 for the others: uint8 (N, H, W)."""
    options = run.options
    plain, pool = Predictor(teacher), run.unlabelled(target)
    probabilities = run.predicted(plain, pool)
    run.seed("dropout")
    with monte_carlo(teacher):
        uncertainty = variance(run.predicted(plain, pool) for _ in range(options.runs))
    return pseudo.least_uncertain(probabilities, uncertainty, options.keep_background, options.keep_landslide)


class MonteCarloDropout(nn.Module):
    """Dropout that acts when it is switched on, and not because of training."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate
        self.on = False

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.rate, training=True) if self.on else x


def with_monte_carlo_dropout(network: nn.Module, rate: float) -> nn.Module:
    """The network, its first convolution followed by a switch of dropout."""
    name = next(name for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    parent, _, attribute = name.rpartition(".")
    holder = network.get_submodule(parent)
    setattr(holder, attribute, nn.Sequential(getattr(holder, attribute), MonteCarloDropout(rate)))
    return network


@contextmanager
def monte_carlo(network: nn.Module) -> Iterator[None]:
    """Dropout is on inside."""
    switches = [module for module in network.modules() if isinstance(module, MonteCarloDropout)]
    for switch in switches:
        switch.on = True
    try:
        yield
    finally:
        for switch in switches:
            switch.on = False


def variance(samples: Iterable[Tensor]) -> Tensor:
    """The variance over equally shaped samples, of which two are in memory at a time (Welford's update)."""
    mean, squares, count = torch.zeros(()), torch.zeros(()), 0
    for sample in samples:
        count += 1
        difference = sample - mean.to(sample.device)
        mean = mean.to(sample.device) + difference / count
        squares = squares.to(sample.device) + difference * (sample - mean)
    return squares / count
