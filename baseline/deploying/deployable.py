"""A finished run as one module that needs nothing else: raw bands in, probabilities out."""

import torch
from torch import Tensor, nn

from baseline.data.dataset import Statistics
from baseline.training.predictor import Predictor
from baseline.training.run import Run


class Deployable(nn.Module):
    """Images (N, 14, H, W) float32, in the units of the data set's files -> landslide probabilities (N, H, W) float32."""

    mean: Tensor
    std: Tensor

    def __init__(self, predictor: Predictor, statistics: Statistics):
        super().__init__()
        self.predictor = predictor
        for name, values in (("mean", statistics.mean), ("std", statistics.std)):
            self.register_buffer(name, torch.from_numpy(values).float()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        found: Tensor = self.predictor((images - self.mean) / self.std.clamp_min(1e-6))
        return found


def deployable(run: Run, split: str, statistics: Statistics | None = None) -> Deployable:
    """The run's networks for images like those of a split, in evaluation mode on the run's device.

    The split chooses the networks of a method that adapted to it. statistics: those that normalise the images, where they are
    not the run's own for that split.
    """
    predictor = run.trained()
    predictor.split = split
    module = Deployable(predictor, statistics or run.statistics(split))
    return module.to(run.world.device).eval()
