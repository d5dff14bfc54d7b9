"""Activation checkpointing (Chen et al., 2016): the activations inside a network's blocks are computed again for the backward pass.

Memory then holds the inputs of the blocks and the inside of one. The weights come out bit-identical: random numbers, autocast and
running statistics are the same in both computations, and the second leaves no trace in the statistics.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

_COMPUTES = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


@contextmanager
def recomputed(network: nn.Module) -> Iterator[None]:
    """Inside, the network's blocks forget their activations in training. Copies made inside do the same."""
    chosen = blocks(network)
    for block in chosen:
        object.__setattr__(block, "__class__", _recomputing(type(block)))
    try:
        yield
    finally:
        for block in chosen:
            object.__setattr__(block, "__class__", type(block).__mro__[1])


def blocks(network: nn.Module) -> list[nn.Module]:
    """The smallest members of the network's sequences and lists that have layers inside."""
    members = {
        id(child)
        for module in network.modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        for child in module.children()
    }

    def is_block(module: nn.Module) -> bool:
        inside = list(module.modules())[1:]
        return id(module) in members and any(isinstance(layer, _COMPUTES) for layer in inside)

    found = [module for module in network.modules() if is_block(module)]
    return [block for block in found if not any(is_block(inside) for inside in list(block.modules())[1:])]


def _recomputing(kind: Any) -> Any:
    """A class of modules, with a forward pass that keeps its inputs alone."""

    def forward(self: nn.Module, *inputs: Any, **options: Any) -> Any:
        whole = partial(kind.forward, self)
        if not (self.training and torch.is_grad_enabled()):
            return whole(*inputs, **options)
        contexts = partial(_contexts, self)
        return checkpoint(whole, *inputs, use_reentrant=False, context_fn=contexts, **options)

    return type(kind.__name__, (kind,), {"forward": forward})


def _contexts(block: nn.Module) -> tuple[Any, Any]:
    """Of the forward pass and of its repetition."""
    return nullcontext(), _without_trace(block)


@contextmanager
def _without_trace(block: nn.Module) -> Iterator[None]:
    """The block's buffers, such as running statistics, are afterwards what they were."""
    before = [buffer.clone() for buffer in block.buffers()]
    try:
        yield
    finally:
        for buffer, old in zip(block.buffers(), before, strict=True):
            buffer.data.copy_(old)
