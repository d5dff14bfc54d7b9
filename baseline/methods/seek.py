"""Seek, second place (section V of the outcome paper): Swin Transformer on RGB, balanced training in two stages, self-training.

Stage 1 trains encoder and decoder with weighted cross-entropy + Lovász + image-level loss (equations 1 to 3); stage 2 fixes the
encoder and trains the decoder with cross-entropy + image-level loss (equation 4). Then the λ % most confident pixels of the target
split join the training data (Table V; all of them in the end).

Left open by the paper, and chosen here:
- Swin's size (tiny; --swin), optimiser (AdamW, cosine rate), 60 epochs, batch 16, flips and quarter turns, no resizing, the
  training split's statistics for every split.
- Equation 3 as printed has the term of landslide pixels alone and N_neg / N_pos "in any input image", which is undefined where an
  image has none: weighted cross-entropy over both classes, the ratio taken over the batch and capped (--per-image takes it
  image by image), and the sum divided by that of the weights. Section V-B says of Table IV that negative samples are the ones
  weighted: by the inverse ratio that comes to the same.
- Equation 2 as printed costs nothing where an image has no landslide, so that "always" satisfies it: the binary cross-entropy
  is the default (--one-sided is as printed). In equation 4 this loss reaches no parameter of the decoder; its own layer is trained.
- The three losses of equation 1 count the same. Lovász is the softmax form; in its row of Table IV it is alone. Focal loss has
  γ = 2 and no class weight. MP pools by the mean.
- Self-training goes on from the weights of stage 2, all of them trained, a quarter of the steps at a tenth of the rate (the paper:
  "fine-tuning and stopping training early"), with cross-entropy + Lovász. The top λ % are taken class by class, as in the
  class-balanced self-training that section V follows and as Fig. 10 shows. Table V is of the validation split, Table VI of the
  test split: each is predicted by networks adapted to it (--target).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from baseline.data.dice import Dice
from baseline.data.pool import Pool, joined
from baseline.data.spectral import SETS, Spectral, inputs
from baseline.experiments.study import Study
from baseline.networks import encoders
from baseline.networks.unet import UNet
from baseline.training import losses, options, pseudo
from baseline.training.augment import flips_and_turns
from baseline.training.loop import Objective
from baseline.training.losses import Loss
from baseline.training.options import MEDIUM, OptionError, option
from baseline.training.predictor import Predictor, adapted, per_target
from baseline.training.run import Run
from baseline.training.supervised import Supervised

SINGLE_STAGE: dict[str, Loss] = {
    "normal": losses.cross_entropy,
    "focal": losses.focal,
    "lovasz": losses.lovasz_softmax,
}

TITLE = "Seek, reproduced"


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    steps: int = option(
        14_000, "optimiser steps of stage 1 (237 are an epoch at batch 16); later stages take a quarter each"
    )
    batch: int = option(16, "patches per step, all processes together")
    optimiser: str = option("adamw", "rule of the update", ("adam", "adamw", "sgd"))
    learning_rate: float = option(5e-4, "highest learning rate of the schedule")
    weight_decay: float = option(1e-2, "L2 penalty (adam, sgd) or decoupled decay (adamw)")
    schedule: str = option("cosine", "learning rate over the steps", ("constant", "cosine", "restarts"))
    warmup: int = option(200, "steps of linear warm-up")
    bands: str = option("rgb", "what the network is given", (*SETS, "pca"))
    network: str = option("swin", "the networks of Table III", ("swin", "deeplabv3", "unet"))
    swin: str = option("swin_tiny_patch4_window7_224", "timm name of the Swin Transformer")
    swin_width: int = option(0, "channels of Swin's first stage; 0 = those of its name")
    deeplabv3: str = option("resnet50", "encoder of DeepLabV3")
    training: str = option("balanced", "the rows of Table IV", ("balanced", "weighted", *SINGLE_STAGE))
    cap: float = option(100.0, "largest weight of a landslide pixel")
    per_image: bool = option(False, "take the weight from each image rather than from the batch")
    one_sided: bool = option(False, "image-level loss as printed: images without a landslide count nothing")
    confident: float = option(
        1.0,
        "share λ of each class's pixels in the target that become pseudo-labels, 0-1; 0 = no self-training",
    )
    pseudo_labels: bool = option(
        True, "train on pseudo-labels; without, the last stage sees the labelled patches alone, as a control"
    )
    swin_window: int = option(8, "tokens across the windows of Swin; 4 for crops of 64 pixels")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.cap > 0:
            raise OptionError(f"cap is {self.cap}; it must be more than 0.")
        if not 0 <= self.confident <= 1:
            raise OptionError(f"confident is {self.confident}; it is a share from 0 to 1 (0.7 is λ = 70 %).")


_SMALL = {"swin_width": 24, "deeplabv3": "resnet18"}
PRESETS = {
    "tiny": _SMALL | {"steps": 20, "batch": 4, "warmup": 2, "log_every": 5, "width": 8},
    "small": _SMALL | {"steps": 600, "batch": 8, "warmup": 40, "learning_rate": 1e-3, "width": 16},
    "medium": MEDIUM
    | {
        "steps": 3200,
        "warmup": 100,
        "learning_rate": 1e-3,
        "width": 16,
        "swin_width": 48,
        "swin_window": 4,
        "deeplabv3": "resnet18",
        "weights": "synthetic",
        "evaluate_every": 400,
    },
}

SOURCE_STAGES = ("stage-[12]",)
UNSEEN = {"stage-[12]": {"target", "confident", "pseudo_labels"}, "self-training-*": {"target"}}

_TABLE_3 = {
    "RGB": "rgb",
    "SWIR": "swir",
    "NGB": "ngb",
    "PCA": "pca",
    "RGB + NIR": "rgb+nir",
    "RGB + SWIR": "rgb+swir",
}
_TABLE_3 |= {"RGB + NIR + SWIR": "rgb+nir+swir", "All bands": "all"}
_NETWORKS = {"Swin Transformer": "swin", "Deeplabv3": "deeplabv3", "U-Net": "unet"}

STUDIES = {
    "bands": Study(
        "Table III: spectral selection",
        "RGB, Swin Transformer",
        {
            f"{label}, {title}": {"bands": bands, "network": network, "training": "normal", "confident": 0.0}
            for label, bands in _TABLE_3.items()
            for title, network in _NETWORKS.items()
        },
    ),
    "balance": Study(
        "Table IV: balanced training",
        "balanced, Swin Transformer",
        {
            f"{training}, {title}": {
                "training": training,
                "network": network,
                "bands": bands,
                "confident": 0.0,
            }
            for training in ("normal", "weighted", "focal", "lovasz", "balanced")
            for title, network, bands in (("Swin Transformer", "swin", "rgb"), ("U-Net", "unet", "all"))
        },
    ),
    "confidence": Study(
        "Tables V and VI: self-training with the top λ %",
        "λ = 100 %",
        {
            "before": {"confident": 0.0},
            "control: labelled patches alone": {"pseudo_labels": False},
            **{f"λ = {100 * share:.0f} %": {"confident": share} for share in (0.5, 0.7, 0.9, 1.0)},
        },
        precision_recall=True,
    ),
}


def build(options: Options) -> Predictor:
    targets = options.targets if options.confident else options.targets[-1:]
    return per_target(targets, lambda: Predictor(Spectral(options.bands, _network(options))))


def looks_at(options: Options) -> tuple[str, ...]:
    return options.targets if options.confident and options.pseudo_labels else ()


def _network(options: Options) -> nn.Module:
    channels = inputs(options.bands)
    if options.network == "unet":
        return UNet(bands=channels, width=options.width)
    common: dict[str, Any] = {"bands": channels, "inputs": options.bands}
    if options.network == "deeplabv3":
        weights = options.weights_of(options.deeplabv3)
        return encoders.network("DeepLabV3", options.deeplabv3, weights=weights, **common)
    size = options.crop or 128
    return encoders.swin(
        options.swin,
        size,
        options.swin_width,
        options.swin_window,
        size != 128,
        weights=options.weights_of(options.swin),
        **common,
    )


def train(run: Run[Options], predictor: Predictor) -> None:
    options = run.options
    members = adapted(predictor, options.targets)
    first = next(iter(members.values()))
    _supervised(run, first)
    for member in members.values():
        member.load_state_dict(first.state_dict())
    for target, member in members.items() if options.confident else ():
        _self_training(run, target, member)


def _supervised(run: Run[Options], predictor: Predictor) -> None:
    """Stages 1 and 2."""
    options = run.options
    spectral: Any = predictor.networks[0]
    watched: dict[str, Any] = {"evaluate": lambda: run.f1(predictor), "keep_best": False}
    if options.bands == "pca":
        spectral.fit(run.labelled)
    if options.training != "balanced":
        single = SINGLE_STAGE | {"weighted": partial(weighted_loss, options)}
        objective = Supervised(spectral, run.labelled, single[options.training], flips_and_turns)
        run.fit("stage-1", objective, **watched)
        return
    with_image_level = ImageLevel(spectral)
    first = partial(weighted_loss, options), losses.lovasz_softmax
    run.fit("stage-1", Balanced(with_image_level, run.labelled, first, not options.one_sided), **watched)
    second = Balanced(with_image_level, run.labelled, (losses.cross_entropy,), not options.one_sided)
    second.fix_encoder()
    run.fit("stage-2", second, _later(options), **watched)
    spectral.requires_grad_(True)


def _self_training(run: Run[Options], target: str, predictor: Predictor) -> None:
    options, pool = run.options, run.labelled
    if options.pseudo_labels:
        unlabelled = run.unlabelled(target)
        labels = pseudo.most_confident(run.predicted(predictor, unlabelled), options.confident)
        pool = joined(pool, unlabelled.labelled(labels))
    objective = Supervised(predictor.networks[0], pool, self_training_loss, flips_and_turns)
    tuned = replace(_later(options), learning_rate=options.learning_rate / 10)
    run.fit(f"self-training-{target}", objective, tuned, lambda: run.f1(predictor), keep_best=False)


def _later(options: Options) -> Options:
    """Of the stages after the first."""
    return replace(options, steps=max(1, options.steps // 4), warmup=0)


def weighted_loss(options: Options, logits: Tensor, labels: Tensor) -> Tensor:
    """Equation 3."""
    weights = losses.balancing_weights(labels, options.cap, options.per_image)
    return losses.weighted_cross_entropy(logits, labels, weights)


def self_training_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return losses.cross_entropy(logits, labels) + losses.lovasz_softmax(logits, labels)


class ImageLevel(nn.Module):
    """MP of equation 2 beside the network: images -> logits, and one logit per image that says whether a landslide is in it."""

    def __init__(self, spectral: Spectral):
        super().__init__()
        self.spectral = spectral
        network = spectral.network
        channels = network.channels if isinstance(network, UNet) else network.encoder.out_channels
        self.layer = nn.Linear(channels[-1], 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        network, channels = self.spectral.network, self.spectral.mixed(images)
        if isinstance(network, UNet):
            features = network.encode(channels)
            logits = network.decode(features)
        else:
            features = network.encoder(channels)
            logits = network.segmentation_head(network.decoder(features))
        return logits, self.layer(features[-1].mean(dim=(2, 3)))[:, 0]


class Balanced(Objective):
    """Segmentation losses and the image-level loss: equations 1 and 4."""

    network: ImageLevel

    def __init__(self, network: ImageLevel, pool: Pool, segmentation: tuple[Loss, ...], two_sided: bool):
        super().__init__()
        self.network = network
        self.pool = pool
        self.segmentation = segmentation
        self.two_sided = two_sided
        self.encoder_is_fixed = False

    @property
    def encoder(self) -> nn.Module:
        return self.network.spectral.network.encoder

    def fix_encoder(self) -> None:
        self.encoder_is_fixed = True
        self.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> "Balanced":
        """As of any module, but a fixed encoder stays as it is, its running statistics too."""
        super().train(mode)
        if self.encoder_is_fixed:
            self.encoder.eval()
        return self

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        images, labels = flips_and_turns(*self.pool.batch(dice), dice)
        logits, scores = self.network(images)
        parts = {f"segmentation {i}": loss(logits, labels) for i, loss in enumerate(self.segmentation)}
        return parts | {"image": losses.image_level(scores, labels, self.two_sided)}
