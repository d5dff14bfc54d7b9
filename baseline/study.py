"""A study: one method trained in several variants and seeds, side by side, as the tables and ablations of the paper are.

What variants have in common is trained once. A method's UNSEEN names, by the pattern of a stage's name, the options that such a
stage does not depend on; a variant that differs from an earlier one in these alone takes over its stage.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baseline import run as runs
from baseline.methods import method
from baseline.options import from_dict
from baseline.results import HELD_OUT, SPLITS, Result, is_scored, load_results, score_run
from baseline.tables import markdown, mean_and_spread
from baseline.world import World


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


Results = dict[str, dict[int, dict[str, Result]]]  # by variant, seed and split


def carry_out(
    method_name: str,
    study: Study,
    data: Path,
    folder: Path,
    base: dict[str, Any],
    seeds: Sequence[int],
    world: World,
) -> Results:
    """The scores of every variant and seed; each is a run of its own in `folder`, gone on with if it is there."""
    kind = method(method_name).Options
    results: Results = {}
    trained: list[runs.Run] = []
    for label, changes in study.rows.items():
        for seed in seeds:
            options = replace(from_dict(kind, base | changes), seed=seed)
            started = runs.start(folder / f"{_file_name(label)}-{seed}", method_name, data, options, world)
            if world.main:
                for earlier in trained:
                    take_over_stages(started, earlier)
            world.wait()
            predictor = runs.train(started)
            trained.append(started)
            found = load_results(started.folder) if is_scored(started) else score_run(started, predictor)
            results.setdefault(label, {})[seed] = found
    return results


def take_over_stages(run: runs.Run, earlier: runs.Run) -> None:
    """Link in `run` the stages that `earlier` has finished and that `run` would train alike."""
    ours, theirs = run.options.to_dict(), earlier.options.to_dict()
    differing = {name for name in ours if ours[name] != theirs[name]}
    stages = run.folder / "stages"
    for pattern, unseen in getattr(run.method, "UNSEEN", {}).items():
        if differing <= unseen:
            stages.mkdir(exist_ok=True)
            for checkpoint in (earlier.folder / "stages").glob(f"{pattern}.pt"):
                link = stages / checkpoint.name
                if not link.exists():
                    link.unlink(missing_ok=True)  # it may dangle
                    link.symlink_to(os.path.relpath(checkpoint, stages))


def rows(results: Results) -> list[dict[str, Any]]:
    """One row for each variant, seed and split."""
    return [
        {"variant": label, "seed": seed, "split": split} | result.to_dict()
        for label, by_seed in results.items()
        for seed, by_split in by_seed.items()
        for split, result in by_split.items()
    ]


def table(results: Results) -> str:
    """A Markdown table of F1 in percent: mean over the seeds, ± their standard deviation where there are several."""
    present = {split for by_seed in results.values() for found in by_seed.values() for split in found}
    splits = [split for split in (*SPLITS, HELD_OUT) if split in present]
    lines = [
        [label]
        + [
            mean_and_spread([100 * found[split].score.f1 for found in by_seed.values() if split in found])
            for split in splits
        ]
        for label, by_seed in results.items()
    ]
    return markdown(["variant", *(f"{split} F1 (%)" for split in splits)], lines)


def _file_name(label: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in label.lower())
