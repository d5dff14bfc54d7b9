"""Cross-sensor normalisation (Wang et al., 2022, LoveCS): batch normalisation with running statistics of its own for each domain.

Weights and offsets are shared; only what is measured, mean and variance, belongs to the source (labelled patches) or the target.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy

from torch import Tensor, nn

SOURCE, TARGET = "source", "target"


class CrossSensorNorm(nn.Module):
    """A batch normalisation (with an activation, where timm has put one into it) for two domains."""

    def __init__(self, norm: nn.BatchNorm2d):
        super().__init__()
        self.source = norm
        self.target = deepcopy(norm)
        self.target.weight, self.target.bias = norm.weight, norm.bias
        self.domain = SOURCE

    def forward(self, x: Tensor) -> Tensor:
        return self.target(x) if self.domain == TARGET else self.source(x)


def with_cross_sensor_norm(network: nn.Module) -> nn.Module:
    """The network with every batch normalisation replaced."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(network, name, CrossSensorNorm(child))
        else:
            with_cross_sensor_norm(child)
    return network


def adopt(network: nn.Module) -> None:
    """Start the target's statistics from the source's."""
    for norm in _norms(network):
        norm.target.load_state_dict(norm.source.state_dict())


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
