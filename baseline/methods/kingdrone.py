"""Kingdrone, first place (section IV of the outcome paper): progressive label refinement and distribution adaptation.

Each split is normalised by its own statistics; patches are scaled up from 128 to 512 pixels; three networks (U-decoders on Swin
Transformer and EfficientNetV2, and SegFormer), their batch normalisation replaced by cross-sensor normalisation, are trained with
Lovász + OHEM + soft cross-entropy. Their averaged probabilities, from 0.7 up, become the target's pseudo-labels, on which
training continues, round by round.

Left open by the paper, and chosen here:
- Encoder sizes (Swin-T, EfficientNetV2-S, MiT-B2), AdamW, cosine rate, 30 epochs, batch 16; two rounds of 10 epochs, each
  continuing from the previous round's weights at a third of the rate.
- Bicubic scaling; logits are averaged back to 128 pixels, where the labels are, and the loss is taken there.
- Weights of the three losses (equal), share of hard pixels (a quarter), smoothing (0.1), colour perturbation (± 0.1). Random
  rotation is by quarter turns, which need no interpolation.
- Pseudo-labels come from the ensemble's mean in every round; section IV-C joins the networks "after the final round".
  "Domain adaptive consistency training" is not explained: it is read as training with cross-sensor normalisation.
- 0.7 is the threshold of landslides. Background has a separate one (0.1): with 0.3, the pixels that a shifted model misses would
  be labelled background. --selection prior takes as many landslide pixels as the training labels lead to expect instead.
- Self-training can reinforce its own errors: rounds end when the share of landslides among the pseudo-labels leaves
  50-150 % of that of the training labels (--no-guard continues).
- Cross-sensor normalisation as its authors published it: shared weights, the target's statistics starting from the source's,
  separate forward passes. It is in every row of the ablation. No test-time augmentation.
- "Soft cross-entropy for noisy labels in the pseudo-labels" is not explained: label smoothing on all labels (--soft smoothing), or
  on the target the cross-entropy to the ensemble's probabilities (--soft teacher).
- The rounds adapt to validation and to test apart, and each split is predicted by the networks adapted to it (--target).
"""

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from baseline.data.dice import Dice
from baseline.data.pool import Pool, landslide_share
from baseline.experiments.study import Study
from baseline.networks import encoders
from baseline.networks.cross_sensor import SOURCE, TARGET, adopt, domain, with_cross_sensor_norm
from baseline.training import losses, options, pseudo
from baseline.training.augment import flips_and_turns, perturb_colours, scale_up
from baseline.training.loop import Objective
from baseline.training.losses import Loss
from baseline.training.options import MEDIUM, OptionError, option
from baseline.training.predictor import Predictor, adapted, per_target
from baseline.training.run import Run

NETWORKS = ("swin", "efficientnet", "segformer", "resunet")

TITLE = "Kingdrone, reproduced"


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    normalise: str = option(
        "separated", "statistics that bands are normalised by", ("official", "train", "separated")
    )
    steps: int = option(
        7_100, "optimiser steps of each network before the first round; 237 are an epoch at batch 16"
    )
    batch: int = option(
        16, "labelled patches per step, all processes together; in the rounds as many unlabelled ones"
    )
    optimiser: str = option("adamw", "rule of the update", ("adam", "adamw", "sgd"))
    learning_rate: float = option(3e-4, "highest learning rate of the schedule")
    weight_decay: float = option(1e-2, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("cosine", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(200, "steps of linear warm-up")
    predict_batch: int = option(16, "patches predicted at a time")
    networks: str = option("swin,efficientnet,segformer", f"of the ensemble, of {', '.join(NETWORKS)}")
    swin: str = option("swin_tiny_patch4_window7_224", "timm name of the Swin Transformer")
    swin_width: int = option(0, "channels of Swin's first stage; 0 = those of its name")
    efficientnet: str = option("tf_efficientnetv2_s", "timm name of the EfficientNetV2")
    segformer: str = option("mit_b2", "encoder of the SegFormer")
    resunet: str = option("resnet34", "encoder of the ResU-Net, for the ablation")
    size: int = option(512, "pixels that a patch is scaled up to; 128 = not")
    imbalance: bool = option(True, "Lovász + OHEM + soft cross-entropy rather than cross-entropy")
    rounds: int = option(2, "rounds of label refinement")
    round_steps: int = option(2_400, "optimiser steps of each network in a round")
    landslide: float = option(0.7, "probability from which a pixel is a landslide pseudo-label")
    background: float = option(0.1, "probability up to which a pixel is a background pseudo-label")
    selection: str = option(
        "threshold",
        "how pseudo-labels are selected; none: the rounds train on the labelled patches alone, as a control",
        ("threshold", "prior", "none"),
    )
    soft: str = option(
        "smoothing",
        "soft cross-entropy of pseudo-labels: labels smoothed by 0.1, or the ensemble's probabilities",
        ("smoothing", "teacher"),
    )
    swin_window: int = option(8, "tokens across the windows of Swin; 4 for crops of 64 pixels")
    guard: bool = option(
        True, "end the rounds when pseudo-labels leave 50-150 % of the training labels' landslides"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := set(self.networks.split(",")) - set(NETWORKS):
            raise OptionError(
                f"networks names {', '.join(sorted(unknown))}; it can name {', '.join(NETWORKS)}."
            )
        if len(set(self.networks.split(","))) < len(self.networks.split(",")):
            raise OptionError(f"networks is {self.networks}; each can be in the ensemble once.")
        if self.size < 128 or self.size % 128:
            raise OptionError(f"size is {self.size}; it must be a multiple of 128.")
        if self.soft == "teacher" and self.selection == "none":
            raise OptionError("soft is teacher, but selection none has no pseudo-labels; leave it out.")
        if self.rounds < 0 or self.round_steps < 1:
            raise OptionError(
                f"rounds is {self.rounds} and round_steps {self.round_steps}; they must be at least 0 and 1."
            )
        if not 0 <= self.background < self.landslide <= 1:
            raise OptionError(
                f"background is {self.background} and landslide {self.landslide}; they are probabilities, the second the higher."
            )


_SMALL = {
    "swin_width": 24,
    "efficientnet": "tf_efficientnetv2_b0",
    "segformer": "mit_b0",
    "resunet": "resnet18",
    "size": 128,
}
PRESETS = {
    "tiny": _SMALL
    | {
        "networks": "efficientnet,segformer",
        "steps": 10,
        "round_steps": 5,
        "rounds": 1,
        "batch": 4,
        "warmup": 2,
        "log_every": 5,
    },
    "small": _SMALL | {"steps": 450, "round_steps": 150, "batch": 8, "warmup": 40, "learning_rate": 1e-3},
    "medium": _SMALL
    | MEDIUM
    | {
        "swin_window": 4,
        "efficientnet": "tf_efficientnet_lite0",
        "weights": "tf_efficientnet_lite0=imagenet,swin_tiny_patch4_window7_224=synthetic,mit_b0=synthetic",
        "size": 256,
        "batch": 8,
        "steps": 1000,
        "round_steps": 50,
        "warmup": 100,
        "learning_rate": 1e-3,
        "guard": False,
        "evaluate_every": 125,
    },
}

IDLE = {"width": "its networks have the sizes of their encoders' names"}

SOURCE_STAGES = ("*-0",)
_SELECTING = {"selection", "landslide", "background", "guard", "soft"}
UNSEEN = {"*-0": {"target", "rounds", "round_steps"} | _SELECTING, "*-[1-9]*": {"target", "rounds"}}

# "+ S×" has the size of the preset or of --size. That of preset small is 128: there the row repeats the one above, unless --size is given.
_LADDER = {
    "baseline": {"normalise": "train", "imbalance": False, "size": 128, "rounds": 0},
    "+ SN": {"normalise": "separated", "imbalance": False, "size": 128, "rounds": 0},
    "+ SLO": {"normalise": "separated", "imbalance": True, "size": 128, "rounds": 0},
    "+ S×": {"normalise": "separated", "imbalance": True, "rounds": 0},
    "+ R1": {"normalise": "separated", "imbalance": True, "rounds": 1},
    "+ R2": {"normalise": "separated", "imbalance": True, "rounds": 2},
}

_ENCODERS = {  # by network: their titles, and the weights that there are besides random ones (no others without a network)
    "efficientnet": ("EfficientNet-Lite0", ("synthetic", "imagenet")),
    "swin": ("Swin", ("synthetic",)),
    "segformer": ("MiT-B0", ("synthetic",)),
    "resunet": ("ResNet-18", ("synthetic",)),
}

STUDIES = {
    "weights": Study(
        "not in the paper: what the encoders' pretraining is worth, without refinement rounds",
        "EfficientNet-Lite0, imagenet",
        {
            f"{title}, {weights}": {"networks": name, "weights": weights, "rounds": 0}
            for name, (title, more) in _ENCODERS.items()
            for weights in ("random", *more)
        },
    ),
    "ablation": Study(
        "Fig. 6: separated normalisation, losses, scale promotion, refinement rounds",
        "SegFormer + R2",
        {
            f"{title} {step}": {"networks": name} | changes
            for title, name in (("ResU-Net", "resunet"), ("SegFormer", "segformer"))
            for step, changes in _LADDER.items()
        },
    ),
    "rounds": Study(
        "Fig. 7: the ensemble, round by round",
        "R2",
        {f"R{rounds}": {"rounds": rounds} for rounds in range(4)},
    ),
    "self-training": Study(
        "not in the paper: what the pseudo-labels are worth, against training as long without the target",
        "pseudo-labels by fixed thresholds",
        {
            "before": {"rounds": 0},
            "control: labelled patches alone": {"selection": "none"},
            "pseudo-labels by fixed thresholds": {"selection": "threshold", "guard": False},
            "pseudo-labels in the expected proportion": {"selection": "prior", "guard": False},
        },
    ),
}


class Adapted(Predictor):
    """The ensemble, normalising training patches by the source's statistics and any others by the target's."""

    def forward(self, images: Tensor) -> Tensor:
        with domain(self, SOURCE if self.split == "train" else TARGET):
            return super().forward(images)


class Promoted(nn.Module):
    """A network that sees images scaled up by `scale`, and whose logits are averaged back to their pixels."""

    def __init__(self, network: nn.Module, scale: int):
        super().__init__()
        self.network = network
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        logits = self.network(scale_up(images, self.scale * images.shape[-1]))
        return functional.adaptive_avg_pool2d(logits, (images.shape[-2], images.shape[-1]))


def build(options: Options) -> Predictor:
    def ensemble() -> Predictor:
        names = options.networks.split(",")
        return Adapted(*(Promoted(_network(name, options), options.size // 128) for name in names))

    return per_target(options.targets if options.rounds else options.targets[-1:], ensemble)


def looks_at(options: Options) -> tuple[str, ...]:
    return options.targets if options.rounds and options.selection != "none" else ()


def _network(name: str, options: Options) -> nn.Module:
    if name == "swin":
        size = (options.crop or 128) * options.size // 128
        network = encoders.swin(
            options.swin,
            size,
            options.swin_width,
            options.swin_window,
            bool(options.crop),
            weights=options.weights_of(options.swin),
        )
    elif name == "segformer":
        weights = options.weights_of(options.segformer)
        network = encoders.network("Segformer", options.segformer, weights=weights)
    else:
        encoder = options.resunet if name == "resunet" else options.efficientnet
        full_name = encoder if name == "resunet" else f"tu-{encoder}"
        network = encoders.network("Unet", full_name, weights=options.weights_of(encoder))
    return with_cross_sensor_norm(network)


def train(run: Run[Options], predictor: Predictor) -> None:
    options = run.options
    names = options.networks.split(",")
    members = adapted(predictor, options.targets)
    first = next(iter(members.values()))
    for name, network in zip(names, first.networks, strict=True):
        watched = partial(run.f1, Adapted(network))
        objective = Adaptation(network, run.labelled, None, options)
        run.fit(f"{name}-0", objective, evaluate=watched, keep_best=False)
        adopt(network)
    for member in members.values():
        member.load_state_dict(first.state_dict())
    for target, member in members.items() if options.rounds else ():
        _refine(run, target, member)


def _refine(run: Run[Options], target: str, predictor: Predictor) -> None:
    """The rounds of label refinement of one target."""
    options = run.options
    refining = replace(options, steps=options.round_steps, learning_rate=options.learning_rate / 3, warmup=0)
    for number in range(1, options.rounds + 1):
        pool = None
        if options.selection != "none":
            labels = pseudo_labels(run, predictor, target)
            if labels is None:
                return
            pool = run.unlabelled(target).labelled(labels)
        for name, network in zip(options.networks.split(","), predictor.networks, strict=True):
            objective = Adaptation(network, run.labelled, pool, options)
            watched = partial(run.f1, Adapted(network))
            run.fit(f"{name}-{number}-{target}", objective, refining, watched, keep_best=False)
            if pool is None:
                adopt(network)  # nothing else keeps the target's statistics in step with the weights


def pseudo_labels(run: Run[Options], predictor: Predictor, target: str) -> Tensor | None:
    """The ensemble's labels of a split, 255 where it is not sure; None where the guard ends the rounds.

    With options.soft "teacher" (N, 2, H, W): behind the labels the probabilities, in 255ths.
    """
    options = run.options
    probabilities = run.predicted(predictor, run.unlabelled(target))
    prior = landslide_share(run.labelled)
    if options.selection == "prior":
        labels = pseudo.prior_matched(probabilities, prior)
    else:
        labels = pseudo.by_threshold(probabilities, options.landslide, options.background)
    found = float((labels == 1).float().mean())
    if run.world.main:
        tqdm.write(f"pseudo-labels: {100 * found:.2f} % landslide, {100 * prior:.2f} % in training")
    if options.guard and not 0.5 * prior <= found <= 1.5 * prior:
        return None
    if options.soft == "teacher":
        return torch.stack([labels, (255 * probabilities).round().to(torch.uint8)], dim=1)
    return labels


def imbalance_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Lovász + OHEM + soft cross-entropy (section IV-B); labels (N, H, W), or with a teacher's probabilities (N, 2, H, W)."""
    if labels.dim() == 3:
        soft = losses.soft_cross_entropy(logits, labels)
    else:
        labels, probabilities = labels[:, 0], labels[:, 1].float() / 255
        soft = losses.cross_entropy_to(logits, probabilities, labels)
    hard = losses.ohem_cross_entropy(logits, labels)
    return losses.lovasz_softmax(logits, labels) + hard + soft


class Adaptation(Objective):
    """The loss of labelled patches in the source's domain, and of pseudo-labelled ones in the target's."""

    def __init__(self, network: nn.Module, source: Pool, target: Pool | None, options: Options):
        super().__init__()
        self.network = network
        self.pools = {SOURCE: source} | ({TARGET: target} if target else {})
        self.loss: Loss = imbalance_loss if options.imbalance else losses.cross_entropy

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        return {name: self._loss(name, pool, dice) for name, pool in self.pools.items()}

    def _loss(self, name: str, pool: Pool, dice: Dice) -> Tensor:
        images, labels = flips_and_turns(*pool.batch(dice), dice)
        with domain(self.network, name):
            return self.loss(self.network(perturb_colours(images, dice)), labels)
