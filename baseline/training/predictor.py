"""A trained method: one module from normalised images to landslide probabilities."""

import torch
from torch import Tensor, nn


class Predictor(nn.Module):
    """Networks whose landslide probabilities are averaged: images (N, B, H, W) -> (N, H, W) float32 in [0, 1].

    A method that predicts differently extends this class and keeps its signature.
    """

    split = ""
    """The split that the images are of, set by the run: for methods that keep statistics per split."""

    def __init__(self, *networks: nn.Module):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([landslide_probability(network(images)) for network in self.networks]).mean(dim=0)


def landslide_probability(logits: Tensor) -> Tensor:
    """Logits (N, 2, H, W) of background and landslide -> (N, H, W) float32."""
    return logits.float().softmax(dim=1)[:, 1]
