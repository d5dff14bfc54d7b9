"""Records of finished runs: small text files for version control, from which tables are made.

A record has everything that a table needs: options, versions, seconds, the counts of each patch and the evaluations on the way.
A run that has one counts as finished wherever the record is, and is not trained again; its weights may be gone.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baseline.experiments.results import HELD_OUT, SPLITS, Result, load_results
from baseline.training import curve
from baseline.training import run as runs
from baseline.training.options import Options
from evaluation.scoring.counts import Counts

CONVERGED = 0.01  # a smaller rise of F1 in the last quarter
ENOUGH = 4  # evaluations of a stage from which on its last quarter can be told from the rest


@dataclass(frozen=True)
class Record:
    """seconds: of training, reading the data included; exact: no piece of it was killed before it could note its time, and no
    stage was taken over from another run.

    evaluations: stage, step and F1 on the patches held out.
    """

    method: str
    preset: str
    options: dict[str, Any]
    results: dict[str, Result]
    seconds: float
    exact: bool
    made: dict[str, Any]
    evaluations: tuple[tuple[str, int, float], ...]

    @property
    def seed(self) -> int:
        return int(self.options["seed"])

    @property
    def last_rise(self) -> float | None:
        """The largest rise of F1 in the last quarter of a stage; None where no stage was evaluated often enough."""
        known = rises(self.evaluations).values()
        return max(known) if known else None

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for each split."""
        for split, result in self.results.items():
            yield (
                {"method": self.method, "seed": self.seed, "split": split}
                | result.to_dict()
                | {"seconds": self.seconds, "seconds_exact": self.exact, "machine": self.made["machine"]}
                | {"torch": self.made["versions"]["torch"], "code": self.made["code"]}
            )


def rise(evaluations: Sequence[tuple[int, float]]) -> float | None:
    """The best F1 of (step, F1) pairs less the best of the first three quarters of the steps; None for too few of them."""
    if len(evaluations) < ENOUGH:
        return None
    last = max(step for step, _ in evaluations)
    early = [f1 for step, f1 in evaluations if step <= 0.75 * last]
    return max(f1 for _, f1 in evaluations) - max(early) if early else None


def rises(evaluations: Sequence[tuple[str, int, float]]) -> dict[str, float]:
    """By how much F1 rose in the last quarter of each stage that was evaluated often enough."""
    found = {
        name: rise([(step, f1) for stage, step, f1 in evaluations if stage == name])
        for name in dict.fromkeys(stage for stage, _, _ in evaluations)
    }
    return {name: value for name, value in found.items() if value is not None}


def stop_rule(folder: Path) -> list[str]:
    """For each stage of a run, whether its training has converged, in a sentence."""
    return [
        f"{stage}: F1 on the patches held out rose by {100 * value:.1f} points in the last quarter; "
        + (
            "converged (less than 1)."
            if value < CONVERGED
            else "not converged (1 or more): take more --steps."
        )
        for stage, value in rises(_evaluations(folder)).items()
    ]


def _evaluations(folder: Path) -> tuple[tuple[str, int, float], ...]:
    rows = curve.read_rows(folder / "curve.csv")
    return tuple((row["stage"], int(row["step"]), float(row["f1"])) for row in rows if row["f1"])


def of_run(run: "runs.Run[Any]", preset: str) -> Record:
    """The record of a finished and scored run."""
    made = json.loads((run.folder / "provenance.json").read_text())
    return Record(
        run.name,
        preset,
        run.options.to_dict(),
        load_results(run.folder),
        made["seconds"],
        None not in made.get("pieces", []) and not runs.has_stages_of_others(run.folder),
        {name: made[name] for name in ("machine", "versions", "code", "written", "threads")},
        _evaluations(run.folder),
    )


MEASURED = Path(__file__).parents[1] / "results"
"""The committed records: a folder for each preset."""


def quickest(method: str, preset: str) -> Record | None:
    """The committed record of the method's shortest training, since other work on a machine only lengthens one; an exact one where
    there is any."""
    found = [read(path) for path in (MEASURED / preset).glob(f"{method}-*.json")]
    return min(found, key=lambda record: (not record.exact, record.seconds), default=None)


def write(record: Record, path: Path) -> None:
    content = {
        "method": record.method,
        "preset": record.preset,
        "options": record.options,
        "seconds": record.seconds,
        "seconds_exact": record.exact,
        "made": record.made,
        "evaluations": [list(each) for each in record.evaluations],
        "results": {split: _to_json(result) for split, result in record.results.items()},
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    partial.replace(path)


def read(path: Path) -> Record:
    """ValueError, with the file's name, where it is not one."""
    try:
        content = json.loads(path.read_text())
        return Record(
            content["method"],
            content["preset"],
            content["options"],
            {
                split: _from_json(content["results"][split])
                for split in (*SPLITS, HELD_OUT)
                if split in content["results"]
            },
            content["seconds"],
            content["seconds_exact"],
            content["made"],
            tuple((stage, step, f1) for stage, step, f1 in content["evaluations"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not the record of a run ({error!r}): delete it to train the run again."
        ) from error


def check(record: Record, asked: Options, path: Path) -> None:
    """RunError where the record is of a run with other options than those asked for."""
    differing = runs.differences(record.options, asked.to_dict())
    if asked.precision == "auto":
        differing = [name for name in differing if name != "precision"]
    if differing:
        listed = ", ".join(
            f"{name} is {record.options.get(name)!r} there and {asked.to_dict().get(name)!r} here"
            for name in differing
        )
        raise runs.RunError(
            f"{path} is of another run: {listed}. Choose another folder, or delete it to train."
        )


def _to_json(result: Result) -> dict[str, Any]:
    counts = {name: getattr(result.counts, name).tolist() for name in ("tp", "fp", "fn")}
    names = ("threshold", "best_threshold", "best_f1", "data_sha256")
    sites = {"sites": list(result.sites)} if result.sites else {}
    return {name: getattr(result, name) for name in names} | sites | counts


def _from_json(content: dict[str, Any]) -> Result:
    counts = Counts(*(np.array(content[name], np.uint32) for name in ("tp", "fp", "fn")))
    names = ("threshold", "best_threshold", "best_f1", "data_sha256")
    return Result(counts, **{name: content[name] for name in names}, sites=tuple(content.get("sites", ())))
