"""What a method costs: parameters, multiply-accumulates, images per second, memory, and the time of its whole recipe.

A method is trained as usual, stage by stage, but on random patches and only for a few steps per stage. So everything it does in a
step is counted: several networks, several pools, losses.
"""

import math
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from baseline.data.dataset import BANDS, SIZE
from baseline.data.pool import Pool
from baseline.experiments.tables import markdown
from baseline.methods import method
from baseline.training.loop import Objective, Stage, make_optimiser
from baseline.training.options import Options, from_dict
from baseline.training.predictor import Predictor
from baseline.training.run import Run
from baseline.training.world import World

LANDSLIDE = 0.02  # share of landslide pixels of the random labels


@dataclass(frozen=True)
class StageCost:
    """Of one step: macs, seconds; labelled patches; steps: of the stage's recipe."""

    name: str
    steps: int
    patches: int
    macs: int
    seconds: float


@dataclass(frozen=True)
class Cost:
    """parameters: of the finished predictor. macs: of predicting one patch. seconds: of predicting one patch.

    bytes: the largest memory of the process (CPU) or of its tensors (GPU), with `batch` patches per step.
    """

    method: str
    parameters: int
    macs: int
    seconds: float
    batch: int
    bytes: int
    stages: tuple[StageCost, ...]

    @property
    def trained_patches(self) -> int:
        return sum(stage.steps * stage.patches for stage in self.stages)

    @property
    def training_macs(self) -> float:
        return sum(float(stage.steps) * stage.macs for stage in self.stages)

    @property
    def training_seconds(self) -> float:
        return sum(stage.steps * stage.seconds for stage in self.stages)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def from_json(content: dict[str, Any]) -> Cost:
    return Cost(**content | {"stages": tuple(StageCost(**stage) for stage in content["stages"])})


class Clock:
    """Seconds of work: of the GPU by the wall; of the CPU by CPU time, shared out over the threads, so that other work on the
    machine does not count."""

    def __init__(self, world: World):
        self.device = world.device

    def seconds(self, work: Callable[[], object]) -> float:
        began = self._now()
        work()
        return self._now() - began

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time() / torch.get_num_threads()


class Rehearsal(Run):
    """A run without data or folder: every stage takes `steps` steps on random patches, and its cost is noted."""

    def __init__(self, name: str, options: Options, world: World, steps: int):
        super().__init__(Path(), name, Path(), options, world)
        self.steps = steps
        self.costs: list[StageCost] = []

    def pool(self, split: str) -> Pool:
        if split not in self._pools:
            generator = torch.Generator().manual_seed(len(self._pools))
            count = 4 * self.options.batch
            images = torch.randn(count, SIZE, SIZE, len(BANDS), generator=generator).half()
            labels = (torch.rand(count, SIZE, SIZE, generator=generator) < LANDSLIDE).to(torch.uint8)
            self._pools[split] = Pool(images.to(self.world.device), labels.to(self.world.device), split)
        return self._pools[split]

    def fit(
        self,
        stage: str,
        objective: Objective,
        options: Options | None = None,
        evaluate: Callable[[], float] | None = None,
        keep_best: bool = True,
    ) -> None:
        options = options or self.options
        rehearsed = Stage(stage, objective, options, self.world, Path())
        if options.compile:
            objective.network.compile()
        rehearsed.objective.train()
        optimiser, clock = make_optimiser(rehearsed.objective, options), Clock(self.world)
        step = lambda: rehearsed._update(rehearsed.objective, optimiser)  # noqa: E731
        macs = multiply_accumulates(step)
        seconds = [clock.seconds(step) for _ in range(self.steps)]
        self.costs.append(StageCost(stage, options.steps, options.batch, macs, statistics.median(seconds)))

    def predicted(self, predictor: Predictor, pool: Pool) -> Tensor:
        """Probabilities as confident, and as often of landslides, as a good network's."""
        assert self.pool("train").labels is not None
        generator = torch.Generator().manual_seed(1)
        sure = torch.rand(len(pool), SIZE, SIZE, generator=generator) < LANDSLIDE
        return torch.where(sure, 0.95, 0.02).to(self.world.device)

    def write_json(self, name: str, content: dict[str, Any]) -> None:
        """Does nothing: there is no folder."""


def multiply_accumulates(work: Callable[[], object]) -> int:
    """Of all matrix products, convolutions and attentions in `work`, backward passes included."""
    formulas = {torch.ops.aten.convolution_backward: _convolution_backward}
    with FlopCounterMode(display=False, custom_mapping=formulas) as counter:
        work()
    return counter.get_total_flops() // 2


def _convolution_backward(
    gradient: Sequence[int], images: Sequence[int], weights: Sequence[int], *others: Any, **_: Any
) -> int:
    """Operations of a convolution's backward pass from shapes: the gradients of images and weights each cost what the forward pass
    does. (torch's own formula counts grouped convolutions, of which the networks have many, as if they were whole ones.)"""
    transposed, wanted = others[4], others[7]
    pixels = math.prod((images if transposed else gradient)[2:])
    return 2 * images[0] * pixels * math.prod(weights) * (bool(wanted[0]) + bool(wanted[1]))


def measure(name: str, preset: str, changes: dict[str, Any], world: World, steps: int) -> Cost:
    """The cost of a method; `changes` are options, of which a smaller batch makes a large recipe fit into a small machine.

    Steps of stages count as the recipe has them: with a smaller batch, as many more of them as keep the patches equal.
    """
    module = method(name)
    kind, values = module.Options, module.PRESETS.get(preset, {})
    whole, options = from_dict(kind, values), from_dict(kind, values | changes)
    run = Rehearsal(name, options, world, steps)
    run.seed("weights")
    predictor: Predictor = module.build(options).to(world.device)
    module.train(run, predictor)
    scale = whole.batch / options.batch
    stages = [replace(stage, steps=math.ceil(scale * stage.steps)) for stage in run.costs]
    # Read before predicting, which would need less in a separate process.
    memory = peak_memory(world.device)
    pool = run.unlabelled("test")
    pool = pool.take(torch.arange(min(len(pool), options.predict_batch)).numpy())
    predicting = lambda: list(run.probabilities(predictor, pool))  # noqa: E731
    macs = multiply_accumulates(predicting) // len(pool)
    seconds = statistics.median(Clock(world).seconds(predicting) for _ in range(max(1, steps // 2))) / len(
        pool
    )
    parameters = sum(p.numel() for p in predictor.parameters())
    return Cost(name, parameters, macs, seconds, options.batch, memory, tuple(stages))


def peak_memory(device: torch.device) -> int:
    """Bytes: of tensors on a GPU, of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def table(costs: list[Cost]) -> str:
    """A Markdown table."""
    header = [
        "method",
        "parameters (M)",
        "GMAC per patch, predicting",
        "GMAC per patch, training",
        "patches/s, predicting",
        "patches/s, training",
        "batch",
        "peak memory (GB)",
        "whole training (PMAC)",
        "whole training (h)",
    ]
    rows = [
        [
            cost.method,
            f"{cost.parameters / 1e6:.2f}",
            f"{cost.macs / 1e9:.2f}",
            f"{cost.training_macs / cost.trained_patches / 1e9:.2f}",
            f"{1 / cost.seconds:.3g}",
            f"{cost.trained_patches / cost.training_seconds:.3g}",
            str(cost.batch),
            f"{cost.bytes / 1e9:.1f}",
            f"{cost.training_macs / 1e15:.3g}",
            f"{cost.training_seconds / 3600:.3g}",
        ]
        for cost in costs
    ]
    return markdown(header, rows)
