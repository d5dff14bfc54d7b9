"""A study: one method trained in several variants and seeds, side by side, like the paper's tables and ablations.

Shared stages are trained once. A method's UNSEEN names, per pattern of stage names, the options that such a stage does not
depend on; a variant that differs from an earlier one only in these reuses its stage.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baseline.experiments.results import HELD_OUT, SPLITS, is_scored, load_results, score_run
from baseline.experiments.tables import markdown, mean_and_spread
from baseline.methods import method
from baseline.training import run as runs
from baseline.training.options import from_dict
from baseline.training.world import World


@dataclass(frozen=True)
class Study:
    """rows: the options that each variant changes, by its name in the table; paper: the item it repeats; own: the row of the team's final choice; precision_recall:
    the table has these beside F1."""

    paper: str
    own: str
    rows: dict[str, dict[str, Any]]
    precision_recall: bool = False


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
    base: dict[str, Any],
    seeds: Sequence[int],
    world: World,
    folder: Path,
) -> Iterator[list[dict[str, Any]]]:
    """Train and score every variant with every seed; after each, the rows of all so far: variant, seed, split and result.

    Each is a run in `folder`, resumed if it exists. `base`: the options that all variants have.
    """
    kind = method(method_name).Options
    rows: list[dict[str, Any]] = []
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
            of_variant = {"variant": label, "seed": seed}
            rows += [of_variant | {"split": split} | result.to_dict() for split, result in found.items()]
            yield rows


def write_tables(folder: Path, about: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """table.json and table.md of a study's rows; returns the latter."""
    content = about | {"runs": rows}
    (folder / "table.json").write_text(json.dumps(content, indent=1) + "\n")
    text = f"{about['method']}, {about['paper']}\n\n{table(content)}\n"
    (folder / "table.md").write_text(text)
    return text


def table(content: dict[str, Any]) -> str:
    """A Markdown table of a table.json, in percent: F1 and, in brackets, what the best threshold would reach.

    Means over the seeds, ± their standard deviation where there are several; with precision and recall where the study asks for it.
    """
    rows = content["runs"]
    splits = [split for split in (*SPLITS, HELD_OUT) if any(row["split"] == split for row in rows)]
    more = ("precision", "recall") if find(content["method"], content["study"]).precision_recall else ()

    def cells(label: str, split: str) -> list[str]:
        found = [row for row in rows if (row["variant"], row["split"]) == (label, split)]
        f1, best, *others = (
            mean_and_spread([100 * row[key] for row in found], 1) for key in ("f1", "best_f1", *more)
        )
        return [f"{f1} ({best})" if found else "", *others]

    labels = dict.fromkeys(row["variant"] for row in rows)
    lines = [[label, *(cell for split in splits for cell in cells(label, split))] for label in labels]
    header = [f"{split} {name}" for split in splits for name in ("F1 (best threshold)", *more)]
    return markdown([made(content), *header], lines)


def made(content: dict[str, Any]) -> str:
    """How the runs of a table.json were made: preset, seeds, and the flags that all of them had."""
    seeds = sorted({row["seed"] for row in content["runs"]})
    return ", ".join(
        [
            content["preset"],
            f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}",
            *content.get("flags", []),
        ]
    )


def take_over_stages(run: runs.Run, earlier: runs.Run) -> None:
    """Link in `run` the stages that `earlier` has finished and `run` would train identically."""
    ours, theirs = run.options.to_dict(), earlier.options.to_dict()
    differing = {name for name in ours if ours[name] != theirs[name]}
    for pattern, unseen in getattr(run.method, "UNSEEN", {}).items():
        if differing <= unseen:
            _link(run, earlier, pattern)


def take_over_from_other_targets(run: runs.Run, earlier: Path) -> None:
    """Link in `run` the finished stages of a run on the same training patches that looked at no unlabelled ones.

    RunError where that run has other options or other training patches.
    """
    name, folder, options = runs.saved(earlier)
    if name != run.name or (other := runs.differences(options.to_dict(), run.options.to_dict())):
        what = f"has other options: {', '.join(other)}" if name == run.name else f"is of {name}"
        raise runs.RunError(f"{earlier} {what}. Only stages of the same training can be taken over.")
    made = json.loads((earlier / "provenance.json").read_text())
    run.pool("train")
    if made["data_sha256"].get("train") != run.hashes["train"]:
        raise runs.RunError(f"{earlier} was trained on other patches than those of {run.data}.")
    for pattern in run.method.SOURCE_STAGES:
        _link(run, runs.Run(earlier, name, folder, options, run.world), pattern)


def _link(run: runs.Run, earlier: runs.Run, pattern: str) -> None:
    stages = run.folder / "stages"
    stages.mkdir(exist_ok=True)
    for checkpoint in (earlier.folder / "stages").glob(f"{pattern}.pt"):
        link = stages / checkpoint.name
        if not link.exists():
            link.unlink(missing_ok=True)  # it may be a dangling link
            link.symlink_to(os.path.relpath(checkpoint, stages))


def _file_name(label: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in label.lower())
