"""The training curve of a run: a CSV file and a plot."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

COLUMNS = ("stage", "step", "loss", "f1", "learning_rate", "patches_per_second")


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as CSV with the columns COLUMNS; f1 is empty where nothing was evaluated."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a curve as text; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def unseen(row: dict[str, Any]) -> None:
    """Nobody watches the curve grow."""


def live(folder: Path) -> Callable[[dict[str, Any]], None]:
    """What writes each row of a stage to a folder for TensorBoard; steps that a resumed stage repeats replace the old ones."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--tensorboard needs the package: pip install tensorboard") from error
    writers: list[SummaryWriter] = []

    def write(row: dict[str, Any]) -> None:
        if not writers:
            writers.append(SummaryWriter(str(folder), purge_step=row["step"]))
        for name in ("loss", "f1", "learning_rate", "patches_per_second"):
            if row[name] is not None:
                writers[0].add_scalar(name, row[name], row["step"])
        writers[0].flush()

    return write


def plot(path: Path, rows: list[dict[str, Any]]) -> None:
    """Loss (left axis) and F1 (right axis) over the steps, one stage after the other, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    losses = figure.subplots()
    losses.set(xlabel="optimiser step, stages one after the other", ylabel="loss")
    scores = losses.twinx()
    scores.set(ylabel="F1 (%)", ylim=(0, 100))
    offset = 0.0
    for colour, stage in enumerate(dict.fromkeys(row["stage"] for row in rows)):
        own = [row for row in rows if row["stage"] == stage]
        steps = [offset + row["step"] for row in own]
        losses.plot(steps, [row["loss"] for row in own], color=f"C{colour}", label=stage)
        scored = [(s, 100 * row["f1"]) for s, row in zip(steps, own, strict=True) if row["f1"] is not None]
        if scored:
            scores.plot(*zip(*scored, strict=True), color=f"C{colour}", linestyle="", marker="o")
        offset = steps[-1]
    losses.legend(title="line: loss, dots: F1")
    figure.savefig(path, dpi=120)
