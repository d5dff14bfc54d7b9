"""A trained method: one module from normalised images to landslide probabilities."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import cast

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


class PerTarget(Predictor):
    """A predictor for each split that a method adapted to; any other split is predicted by the last."""

    def __init__(self, members: Mapping[str, Predictor]):
        super().__init__()
        self.members = nn.ModuleDict(members)

    def member(self, split: str) -> Predictor:
        return cast(Predictor, self.members[split if split in self.members else list(self.members)[-1]])

    def forward(self, images: Tensor) -> Tensor:
        member = self.member(self.split)
        member.split = self.split
        return member(images)


def per_target(targets: Sequence[str], build: Callable[[], Predictor]) -> Predictor:
    """The predictor of a method that adapts: one for each of several targets, begun with equal weights."""
    first = build()
    if len(targets) < 2:
        return first
    return PerTarget({targets[0]: first} | {name: deepcopy(first) for name in targets[1:]})


def adapted(predictor: Predictor, targets: Sequence[str]) -> dict[str, Predictor]:
    """The predictor of each target, from what `per_target` made."""
    if isinstance(predictor, PerTarget):
        return {name: predictor.member(name) for name in targets}
    return dict.fromkeys(targets, predictor)


def landslide_probability(logits: Tensor) -> Tensor:
    """Logits (N, 2, H, W) of background and landslide -> (N, H, W) float32."""
    return logits.float().softmax(dim=1)[:, 1]
