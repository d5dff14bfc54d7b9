"""The organisers' baseline (section II-B of the outcome paper, and their repository's recipe).

U-Net on all 14 bands, cross-entropy, Adam with learning rate 1e-3 and L2 penalty 5e-4, batch 32, 5,000 steps at a constant rate, no
augmentation, no pre- or post-processing; evaluated every 500 steps, the best weights kept. The repository evaluates on the
training patches themselves, and so does this file unless --holdout keeps some apart.

Left open by the paper: the seed, the initial weights (torch's defaults here) and the statistics (the repository's constants do
not describe the released files, so the training split's own are the default; --normalise official takes the constants).
"""

from dataclasses import dataclass

from baseline.networks.unet import UNet
from baseline.training import losses, options
from baseline.training.options import MEDIUM, option
from baseline.training.predictor import Predictor
from baseline.training.run import Run
from baseline.training.supervised import Supervised

TITLE = "U-Net baseline"

KEEPS_BEST = True


@dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    evaluate_every: int = option(
        500, "steps between evaluations, the best of which is kept; 0 = the last weights are kept"
    )
    bilinear: bool = option(
        False, "the repository's bilinear U-Net (17.27 M parameters), not the paper's (31.05 M)"
    )


PRESETS = {
    "tiny": {"width": 8, "steps": 60, "batch": 8, "evaluate_every": 30, "log_every": 10},
    "small": {"width": 16, "steps": 900, "batch": 8, "evaluate_every": 300},
    "medium": MEDIUM
    | {"width": 16, "steps": 12000, "evaluate_every": 500, "schedule": "cosine", "warmup": 200},
}

IDLE = {
    "target": "it looks at no unlabelled split",
    "weights": "its network is defined here, and no weights of it are published",
}

SOURCE_STAGES = ("unet",)


def build(options: Options) -> Predictor:
    return Predictor(UNet(width=options.width, bilinear=options.bilinear))


def looks_at(options: Options) -> tuple[str, ...]:
    return ()


def train(run: Run[Options], predictor: Predictor) -> None:
    objective = Supervised(predictor.networks[0], run.labelled, losses.cross_entropy)
    run.fit("unet", objective, evaluate=lambda: run.f1(predictor))
