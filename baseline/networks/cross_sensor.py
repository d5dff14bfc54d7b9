"""Cross-sensor normalisation (Wang et al., 2022, LoveCS): batch normalisation with separate running statistics for each domain.

Weights and offsets are shared; only mean and variance are separate, for the source (labelled patches) and each target.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

SOURCE, TARGET = "source", "target"


class CrossSensorNorm(nn.Module):
    """A batch normalisation (with an activation, where timm has put one into it) for the source and each of the targets."""

    def __init__(self, norm: nn.BatchNorm2d, targets: Sequence[str] = (TARGET,)):
        super().__init__()
        self.source = norm
        self.targets = tuple(targets)
        for name in targets:
            own = deepcopy(norm)
            own.weight, own.bias = norm.weight, norm.bias
            self.add_module(name, own)
        self.domain = SOURCE

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.get_submodule(self.domain)(x)
        return y


def with_cross_sensor_norm(network: nn.Module, targets: Sequence[str] = (TARGET,)) -> nn.Module:
    """The network with every batch normalisation replaced."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, CrossSensorNorm(child, targets))
        else:
            with_cross_sensor_norm(child, targets)
    return network


def adopt(network: nn.Module) -> None:
    """Start the targets' statistics from the source's."""
    for norm in _norms(network):
        for name in norm.targets:
            norm.get_submodule(name).load_state_dict(norm.source.state_dict())


def measure(network: nn.Module, name: str, batches: Iterable[Tensor]) -> None:
    """Set a domain's statistics to those of its images alone, weighting each batch (N, B, H, W) alike."""
    norms = [cast(nn.BatchNorm2d, norm.get_submodule(name)) for norm in _norms(network)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then takes the mean over all batches
    network.train()
    with torch.no_grad(), domain(network, name):
        for images in batches:
            network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@contextmanager
def domain(network: nn.Module, name: str) -> Iterator[None]:
    """Inside, the network normalises by the statistics of that domain, and in training measures them."""
    norms = _norms(network)
    before = [norm.domain for norm in norms]
    for norm in norms:
        norm.domain = name
    try:
        yield
    finally:
        for norm, old in zip(norms, before, strict=True):
            norm.domain = old


def _norms(network: nn.Module) -> list[CrossSensorNorm]:
    return [module for module in network.modules() if isinstance(module, CrossSensorNorm)]
