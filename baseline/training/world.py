"""The processes and the device of a run: one process, or as many as torchrun started, each with its device."""

import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from baseline.training.options import OptionError


@dataclass(frozen=True)
class World:
    """deadline: in time.monotonic() seconds; training stops before it at a step from which it can resume."""

    device: torch.device
    rank: int = 0
    size: int = 1
    deadline: float = math.inf

    @property
    def main(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def rows(self, batch: int, accumulate: int = 1) -> list[slice]:
        """The parts of a batch that this process computes, one after the other."""
        if batch % (self.size * accumulate):
            raise OptionError(
                f"batch is {batch}, which {self.size} processes in {accumulate} parts each cannot share evenly."
            )
        share = batch // (self.size * accumulate)
        first = self.rank * accumulate
        return [slice(part * share, (part + 1) * share) for part in range(first, first + accumulate)]

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the processes (and batch statistics, on GPUs)."""
        if self.size == 1:
            return module
        if self.device.type != "cuda":
            return DistributedDataParallel(module)
        return DistributedDataParallel(synchronised(module), device_ids=[self.device])

    def agree(self, value: float) -> float:
        """The first process's value, in every process."""
        if self.size == 1:
            return value
        box = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(box, 0)
        return float(box)

    def time_for(self, seconds: float) -> bool:
        """Whether this many seconds are left before the deadline; the same answer in every process."""
        if self.deadline == math.inf:
            return True
        return bool(self.agree(float(time.monotonic() + seconds < self.deadline)))

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            distributed.barrier()


def synchronised(module: nn.Module) -> nn.Module:
    """The module, each batch normalisation inside it replaced by one over all processes.

    timm's layers, which also apply an activation, need timm's own replacement, and even that loses the activation of a layer that an
    earlier stage has already replaced.
    """
    timm = sys.modules.get("timm.layers")
    convert = timm.convert_sync_batchnorm if timm else nn.SyncBatchNorm.convert_sync_batchnorm
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.BatchNorm2d):  # which a synchronised one is not
                setattr(parent, name, convert(child))
    return module


@contextmanager
def world(device: str = "auto", threads: int = 0, deadline: float = math.inf) -> Iterator[World]:
    """The world of this process; ends the process group on leaving."""
    if threads:
        torch.set_num_threads(threads)
    size, local = int(os.environ.get("WORLD_SIZE", "1")), os.environ.get("LOCAL_RANK", "0")
    chosen = _device(device, local)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    if size == 1:
        yield World(chosen, deadline=deadline)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=timedelta(minutes=30))
    try:
        yield World(chosen, distributed.get_rank(), size, deadline)
    finally:
        distributed.destroy_process_group()


def _device(name: str, local_rank: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise OptionError(f"device is {name!r}; it can be auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise OptionError("device is cuda, but torch sees no GPU here; use --device cpu or auto.")
        return torch.device("cuda", int(local_rank) if device.index is None else device.index)
    return device
