"""Training throughput: this project's loop and a plain one for the organisers' recipe, then each method's steps.

    python -m benchmarks.training [--data DIR] [--device cpu] [--width 64] [--steps 3] [--rounds 3] [--methods NAME ...]

Both train the organisers' U-Net (bilinear, 14 bands) with Adam, batch 32 and cross-entropy on the same files. The plain loop is in
the style of the organisers' trainer: a DataLoader that opens the HDF5 files again for each batch, float32, torch's default layout.
The project's keeps the patches in memory and computes in bfloat16, channels last, with a fused optimiser. The two take turns, so
that other work on the machine affects both equally; the median step of each counts. On a GPU, compiling is a third row.

Each stage of each method is then measured as preset medium trains it, and as a plain loop would: float32, torch's default layout.
Patches are random and encoders too, since neither changes the time of a step.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from baseline import synth
from baseline.data import dataset as data
from baseline.data.dataset import OFFICIAL
from baseline.data.normalise import to_pool
from baseline.data.pool import Pool
from baseline.experiments import cost
from baseline.methods import METHODS
from baseline.networks.unet import UNet
from baseline.training import losses
from baseline.training.loop import Stage
from baseline.training.options import Options
from baseline.training.supervised import Supervised
from baseline.training.world import World, world

BATCH = 32
STEPS = 3  # of a stage, in a turn
PLAIN = {"precision": "float32", "channels_last": False}


class Clock:
    """Seconds between ticks, by the wall and of this process's CPU; waits for the device first."""

    def __init__(self, device: torch.device):
        self.device = device
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self.restart()

    def restart(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.last = time.perf_counter(), time.process_time()

    def tick(self) -> None:
        wall, cpu = self.last
        self.restart()
        self.wall.append(self.last[0] - wall)
        self.cpu.append(self.last[1] - cpu)


class Files(Dataset):
    """Image and mask files opened when asked for."""

    def __init__(self, split: data.Split):
        self.images, self.masks = split.images, split.masks or ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        with h5py.File(self.images[index]) as file:
            image = file["img"][:].astype(np.float32).transpose(2, 0, 1)
        with h5py.File(self.masks[index]) as file:
            mask = file["mask"][:].astype(np.int64)
        mean, std = (values.astype(np.float32)[:, None, None] for values in (OFFICIAL.mean, OFFICIAL.std))
        return (image - mean) / std, mask


def plain_loop(split: data.Split, width: int, steps: int, workers: int, clock: Clock) -> None:
    network = UNet(width=width, bilinear=True).to(clock.device)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=5e-4)
    loader = DataLoader(
        Files(split), BATCH, shuffle=True, num_workers=workers, pin_memory=clock.device.type == "cuda"
    )
    criterion = nn.CrossEntropyLoss(ignore_index=255)
    network.train()
    batches = iter(loader)
    for step in range(steps + 1):  # the first step warms up
        try:
            images, labels = next(batches)
        except StopIteration:
            batches = iter(loader)
            images, labels = next(batches)
        optimiser.zero_grad()
        loss = criterion(network(images.to(clock.device)), labels.to(clock.device))
        loss.backward()
        optimiser.step()
        clock.tick() if step else clock.restart()


def project_loop(pool: Pool, options: Options, here: World, clock: Clock) -> None:
    objective = Supervised(UNet(width=options.width, bilinear=True), pool, losses.cross_entropy)
    objective.after_step = lambda step: clock.tick() if step else clock.restart()  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        Stage("benchmark", objective, options, here, Path(folder) / "stage.pt").fit()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="a data set in the official layout; default: 64 synthetic patches"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; default: torch's choice")
    parser.add_argument("--workers", type=int, default=1, help="loader processes of the plain loop")
    parser.add_argument(
        "--width", type=int, default=64, help="channels of the U-Net's first level (official: 64)"
    )
    parser.add_argument("--steps", type=int, help="timed steps per turn; default: 3, on a GPU 100")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each loop")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), help="whose steps; default: all")
    arguments = parser.parse_args()
    with world(arguments.device, arguments.threads) as here, tempfile.TemporaryDirectory() as folder:
        root = arguments.data or Path(folder)
        if not arguments.data:
            synth.generate(root, "small", 0, splits=["train"])
        compare(root, arguments, here)
        print(f"\n{'method':10} {'stage':28} {'ours, ms a patch':>16} {'plain':>8} {'plain / ours':>13}")
        for name in arguments.methods:
            for stage, ours, plain in stages(name, arguments.rounds, here):
                print(f"{name:10} {stage:28} {ours:16.1f} {plain:8.1f} {plain / ours:11.2f} x", flush=True)
    return 0


def compare(root: Path, arguments: argparse.Namespace, here: World) -> None:
    patches = data.load(root, "train", masks=True)
    pool = to_pool(patches, OFFICIAL, here.device)
    on_gpu = here.device.type == "cuda"
    steps = arguments.steps or (100 if on_gpu else 3)
    options = Options(
        steps=steps + 1,
        batch=BATCH,
        width=arguments.width,
        precision="bf16",
        log_every=10**9,
        checkpoint_seconds=10**9,
    )
    rows = {"plain": Clock(here.device), "project": Clock(here.device)}
    if on_gpu:
        rows["project, compiled"] = Clock(here.device)
    for _ in range(arguments.rounds):
        plain_loop(patches.split, arguments.width, steps, arguments.workers, rows["plain"])
        project_loop(pool, options, here, rows["project"])
        if on_gpu:
            project_loop(pool, replace(options, compile=True), here, rows["project, compiled"])
    print(
        f"U-Net width {arguments.width}, batch {BATCH}, {here.device}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    base = statistics.median(rows["plain"].wall)
    for name, clock in rows.items():
        wall, cpu = statistics.median(clock.wall), statistics.median(clock.cpu)
        print(
            f"{name:18} {BATCH / wall:8.1f} patches/s   {base / wall:5.2f} x   "
            f"({1000 * cpu / BATCH:.0f} ms of this process's CPU a patch)"
        )


def stages(name: str, rounds: int, here: World) -> Iterator[tuple[str, float, float]]:
    """For each stage of a method: its name and the milliseconds of a labelled patch, ours and a plain loop's, which take turns; the
    least of the rounds."""
    ours: dict[str, list[float]] = defaultdict(list)
    plain: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for found, changes in ((ours, {}), (plain, PLAIN)):
            for stage in cost.measure(name, "medium", {"weights": "random", **changes}, here, STEPS).stages:
                found[stage.name].append(1000 * stage.seconds / stage.patches)
    for stage_name, times in ours.items():
        yield stage_name, min(times), min(plain[stage_name])


if __name__ == "__main__":
    sys.exit(main())
