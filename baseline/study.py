"""A study: one method trained in several variants and seeds, side by side, as the tables and ablations of the paper are."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baseline import run as runs
from baseline.methods import method
from baseline.options import from_dict
from baseline.scores import Score
from baseline.world import World

SPLITS = ("validation", "test")


@dataclass(frozen=True)
class Study:
    """rows: the options that each variant changes, by its name in the table; paper: the item it repeats."""

    paper: str
    rows: dict[str, dict[str, Any]]


class UnknownStudy(ValueError):
    pass


def find(method_name: str, name: str) -> Study:
    studies: dict[str, Study] = getattr(method(method_name), "STUDIES", {})
    if name not in studies:
        there = ", ".join(studies) or "none"
        raise UnknownStudy(f"{method_name} has no study {name!r}. It has: {there}.")
    return studies[name]


def carry_out(
    method_name: str,
    study: Study,
    data: Path,
    folder: Path,
    base: dict[str, Any],
    seeds: Sequence[int],
    world: World,
) -> dict[str, list[dict[str, Score]]]:
    """The scores of every variant and seed; each is a run of its own in `folder`, gone on with if it is there."""
    kind = method(method_name).Options
    results: dict[str, list[dict[str, Score]]] = {}
    for label, changes in study.rows.items():
        for seed in seeds:
            options = replace(from_dict(kind, base | changes), seed=seed)
            started = runs.start(folder / f"{_file_name(label)}-{seed}", method_name, data, options, world)
            scores = runs.score_splits(started, runs.train(started), SPLITS)
            results.setdefault(label, []).append(scores)
    return results


def table(results: dict[str, list[dict[str, Score]]]) -> str:
    """A Markdown table of F1 in percent: mean over the seeds, ± their standard deviation where there are several."""
    lines = [
        "| variant | " + " | ".join(f"{split} F1 (%)" for split in SPLITS) + " |",
        "| --- |" + " ---: |" * len(SPLITS),
    ]
    for label, scores in results.items():
        cells = [_mean_and_spread([100 * s[split].f1 for s in scores if split in s]) for split in SPLITS]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mean_and_spread(values: list[float]) -> str:
    if not values:
        return ""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def _file_name(label: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in label.lower())
