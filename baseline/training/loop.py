"""The one training loop. A method hands it an `Objective`, a module that returns its losses, and gets it back trained.

Everything random in a step comes from its `Dice`, so a checkpoint is weights, optimiser and step; a run killed at any point goes
on from the last checkpoint and ends, on a CPU, with bit for bit the weights of a run that was not.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from baseline.data.dice import Dice, derived_seed
from baseline.training.deadline import TimeIsUp
from baseline.training.options import Options
from baseline.training.recompute import recomputed
from baseline.training.world import World


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number."""


class DamagedFile(ValueError):
    """A file of a run cannot be read."""

    def __init__(self, path: Path, why: str):
        reason = " ".join(why.split())[:200]
        super().__init__(
            f"{path} is damaged ({reason}). Copy it again, or delete it and repeat the command, which makes it again."
        )


class Objective(nn.Module):
    """What a stage of training minimises. Parameters that require gradients are trained; all state is checkpointed."""

    network: nn.Module

    def forward(self, dice: Dice) -> dict[str, Tensor]:
        """The named losses of one step, whose sum is minimised; draws its own batch by the dice."""
        raise NotImplementedError

    def after_step(self, step: int) -> None:
        """Called after each update, for averages of weights and the like."""


@dataclass
class Progress:
    """How far a stage has come: what a checkpoint holds beside weights and optimiser."""

    step: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    best_f1: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    finished: bool = False


class Stage:
    """One stage of a run: options.steps updates of one objective, with its checkpoint and its part of the curve.

    watch: called with each row of the curve as it is made.
    """

    def __init__(
        self,
        name: str,
        objective: Objective,
        options: Options,
        world: World,
        checkpoint: Path,
        watch: Callable[[dict[str, Any]], None] = lambda row: None,
    ):
        self.name = name
        self.watch = watch
        self.options = options
        self.world = world
        self.checkpoint = checkpoint
        self.seed = derived_seed(options.seed, name)
        self.objective = objective.to(world.device, **memory_layout(options))
        self.progress = Progress()
        self._shown = time.monotonic()

    def fit(self, evaluate: Callable[[], float] | None = None, keep_best: bool = True) -> Progress:
        """Train to the end, from the checkpoint if there is one; the objective then holds the weights to keep.

        evaluate() is the F1 of the present weights, called every options.evaluate_every steps; the best weights are kept
        where keep_best says so, else the last.
        """
        optimiser = make_optimiser(self.objective, self.options)
        self._load(optimiser)
        if self.progress.finished:
            return self.progress
        if self.options.compile:
            self.objective.network.compile()
        with recomputed(self.objective.network) if self.options.activations == "recompute" else nullcontext():
            self._steps(optimiser, evaluate, keep_best)
        if self.progress.best:
            self.objective.load_state_dict(self.progress.best)
        self.progress.best, self.progress.finished = {}, True
        self._save(None)
        self.world.wait()
        if self.world.size > 1:
            self._load(None)  # the first process's running statistics in every process
        return self.progress

    def _steps(
        self, optimiser: torch.optim.Optimizer, evaluate: Callable[[], float] | None, keep_best: bool
    ) -> None:
        options, progress = self.options, self.progress
        parallel = self.world.wrap(self.objective)
        total, steps_of_row = torch.zeros((), device=self.world.device), 0
        began = saved = time.monotonic()
        bar = tqdm(
            total=options.steps,
            initial=progress.step,
            desc=self.name,
            unit="step",
            disable=None if self.world.main else True,
        )
        self.objective.train()
        while progress.step < options.steps:
            total += self._update(parallel, optimiser)
            self.objective.after_step(progress.step)
            progress.step += 1
            steps_of_row += 1
            bar.update()
            evaluated = evaluate is not None and self._due(options.evaluate_every)
            if not (evaluated or self._due(options.log_every)):
                continue
            row = self._row(
                float(total) / steps_of_row, steps_of_row * options.batch / (time.monotonic() - began)
            )
            if evaluated and evaluate:
                row["f1"] = self._evaluated(evaluate, keep_best)
            self._show(bar, row)
            self.watch(row)
            if progress.step < options.steps:
                go_on = self.world.time_for(time.monotonic() - began)  # as long as the last row took
                if not go_on or time.monotonic() - saved > options.checkpoint_seconds:
                    self._save(optimiser)
                    saved = time.monotonic()
                if not go_on:
                    bar.close()
                    raise TimeIsUp(f"Stage {self.name} stopped at step {progress.step} of {options.steps}.")
            total, steps_of_row, began = torch.zeros_like(total), 0, time.monotonic()
        bar.close()

    def _update(self, parallel: nn.Module, optimiser: torch.optim.Optimizer) -> Tensor:
        """One optimiser step; returns the loss."""
        options, step = self.options, self.progress.step
        torch.manual_seed(derived_seed(self.seed, step, "dropout", self.world.rank))
        optimiser.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.world.device)
        parts = self.world.rows(options.batch, options.accumulate)
        for rows in parts:
            with _gradients_kept_here(parallel) if rows is not parts[-1] else nullcontext():
                with autocast(self.world.device, options):
                    losses = parallel(Dice(self.seed, step, options.batch, rows))
                    loss = torch.stack(list(losses.values())).sum() / len(parts)
                loss.backward()
            total += loss.detach()
        if options.clip:
            # Of the trained parameters alone: fixed ones may still hold a gradient of an earlier stage.
            trained = [p for group in optimiser.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(trained, options.clip)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, options)
        optimiser.step()
        return total

    def _due(self, every: int) -> bool:
        return every > 0 and (self.progress.step % every == 0 or self.progress.step == self.options.steps)

    def _row(self, loss: float, patches_per_second: float) -> dict[str, Any]:
        """The next row of the curve."""
        step = self.progress.step
        if not math.isfinite(loss):
            raise TrainingDiverged(
                f"The loss of stage {self.name} is {loss} at step {step}. Try a lower --learning-rate, or --clip 1."
            )
        rate = learning_rate(step - 1, self.options)
        row = {
            "stage": self.name,
            "step": step,
            "loss": loss,
            "f1": None,
            "learning_rate": rate,
            "patches_per_second": patches_per_second,
        }
        self.progress.rows.append(row)
        return row

    def _show(self, bar: tqdm, row: dict[str, Any]) -> None:
        """The row beside the bar, or as a line of its own twice a minute where nobody watches a bar."""
        figures = {k: f"{row[k]:.4g}" for k in ("loss", "f1", "patches_per_second") if row[k] is not None}
        bar.set_postfix(figures)
        if bar.disable and self.world.main and time.monotonic() - self._shown > 30:
            self._shown = time.monotonic()
            values = ", ".join(f"{k} {v}" for k, v in figures.items())
            print(
                f"{self.name}: step {row['step']}/{self.options.steps}, {values}", file=sys.stderr, flush=True
            )

    def _evaluated(self, evaluate: Callable[[], float], keep_best: bool) -> float:
        f1 = self.world.agree(evaluate())
        self.objective.train()
        if keep_best and f1 > self.progress.best_f1:
            self.progress.best_f1 = f1
            self.progress.best = {k: v.detach().cpu().clone() for k, v in self.objective.state_dict().items()}
        return f1

    def _load(self, optimiser: torch.optim.Optimizer | None) -> None:
        if not self.checkpoint.exists():
            return
        saved = load_checkpoint(self.checkpoint, self.world.device)
        self.objective.load_state_dict(saved["objective"])
        if optimiser and saved["optimiser"]:
            optimiser.load_state_dict(saved["optimiser"])
        self.progress = Progress(**saved["progress"])

    def _save(self, optimiser: torch.optim.Optimizer | None) -> None:
        if self.world.main:
            state = {
                "objective": self.objective.state_dict(),
                "optimiser": optimiser.state_dict() if optimiser else None,
                "progress": asdict(self.progress),
            }
            save_atomically(state, self.checkpoint)


def _gradients_kept_here(parallel: nn.Module) -> AbstractContextManager[None]:
    """Several processes average their gradients after the last part of a batch only."""
    return parallel.no_sync() if isinstance(parallel, DistributedDataParallel) else nullcontext()


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """What `save_atomically` wrote. Raises DamagedFile where the file is not whole."""
    try:
        saved: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        missing = {"objective", "optimiser", "progress"} - saved.keys()
    except Exception as error:  # of zipfile, pickle and torch: many exceptions, one meaning
        raise DamagedFile(path, f"{type(error).__name__}: {error}") from error
    if missing:
        raise DamagedFile(path, f"it lacks {', '.join(sorted(missing))}")
    return saved


def save_atomically(state: Any, path: Path) -> None:
    """torch.save that leaves the old file or the new one, whole, whenever the process or the machine dies."""
    with written_atomically(path) as partial:
        torch.save(state, partial)


@contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` once it is whole and on the disk."""
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
    except (
        OSError,
        RuntimeError,
    ) as error:  # torch raises the latter, without a name, where the disk is full
        partial.unlink(missing_ok=True)
        raise OSError(
            f"{path} could not be written: is the disk full? What was there is kept. ({error})"
        ) from error
    partial.replace(path)


def autocast(device: torch.device, options: Options) -> torch.autocast:
    """The context in which networks run: bfloat16 where the options ask for it, or leave it to the processor that has it."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision(device, options) == "bf16")


def precision(device: torch.device, options: Options) -> str:
    """ "float32" or "bf16": what the options ask for, or what "auto" comes to on this device."""
    if options.precision != "auto":
        return options.precision
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _processor_has_bf16()
    return "bf16" if fast else "float32"


@lru_cache
def _processor_has_bf16() -> bool:
    """Whether /proc/cpuinfo names instructions for bfloat16; emulated, it would be slower than float32."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))


def memory_layout(options: Options) -> dict[str, Any]:
    """The arguments with which `Module.to` lays out a network's weights."""
    return {"memory_format": torch.channels_last} if options.channels_last else {}


def make_optimiser(objective: nn.Module, options: Options) -> torch.optim.Optimizer:
    parameters = [p for p in objective.parameters() if p.requires_grad]
    common: dict[str, Any] = {
        "lr": options.learning_rate,
        "weight_decay": options.weight_decay,
        "fused": True,
    }
    if options.optimiser == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, **common)
    return (torch.optim.AdamW if options.optimiser == "adamw" else torch.optim.Adam)(parameters, **common)


def learning_rate(step: int, options: Options) -> float:
    """The learning rate of a step (from 0): linear warm-up, then the schedule, which ends at 0 unless constant.

    "restarts": cosine cycles, the first options.cycle steps long, each next one twice as long (Loshchilov and Hutter, 2017).
    """
    if step < options.warmup:
        return (
            options.warmup_from + (options.learning_rate - options.warmup_from) * (step + 1) / options.warmup
        )
    step, length = step - options.warmup, max(1, options.steps - options.warmup)
    if options.schedule == "constant":
        return options.learning_rate
    if options.schedule == "restarts" and options.cycle:
        length = options.cycle
        while step >= length:
            step, length = step - length, 2 * length
    return options.learning_rate * (1 + math.cos(math.pi * step / length)) / 2
