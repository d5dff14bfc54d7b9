"""All methods and seeds side by side: the table of reference results, computed in as many sittings as needed.

Every run has its own folder; an interrupted run is resumed, and a finished one is not trained again. The tables are rewritten
after every run from all finished runs.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from baseline import synth
from baseline.experiments import tables
from baseline.experiments.results import HELD_OUT, SPLITS, Result, is_scored, load_results, score_run
from baseline.methods import method
from baseline.submitting.archives import archive_of, is_fresh, write_archive
from baseline.training import run as runs
from baseline.training.deadline import TimeIsUp
from baseline.training.options import Options, as_flags, from_dict
from baseline.training.world import World


@dataclass(frozen=True)
class MethodRun:
    """One method with one seed: the folder of its run, the folder of its data."""

    method: str
    seed: int
    folder: Path
    data: Path


@dataclass(frozen=True)
class Finished:
    """A finished run. seconds: of training, including reading the data; exact: no part of it was killed before it could record its time."""

    entry: MethodRun
    results: dict[str, Result]
    seconds: float
    exact: bool
    made: dict[str, Any]

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row for each split."""
        for split, result in self.results.items():
            yield (
                {"method": self.entry.method, "seed": self.entry.seed, "split": split}
                | result.to_dict()
                | {"seconds": self.seconds, "seconds_exact": self.exact, "machine": self.made["machine"]}
                | {"torch": self.made["versions"]["torch"], "code": self.made["code"]}
                | {"run": str(self.entry.folder)}
            )


def entries(methods: Sequence[str], seeds: Sequence[int], folders: str, data: str) -> list[MethodRun]:
    """What is to be compared, seed by seed, so that the first seed's board is whole first.

    folders, data: paths with {method} and {seed} in them, such as "runs/{method}-{seed}"; those of the runs need both.
    """
    for name in methods:
        method(name)  # an unknown name is an error now, not in an hour
    try:
        made = [
            MethodRun(name, seed, *(Path(text.format(method=name, seed=seed)) for text in (folders, data)))
            for seed in seeds
            for name in methods
        ]
    except (KeyError, IndexError, ValueError):
        raise ValueError(
            f"{folders!r} or {data!r} cannot be read: they may name {{method}} and {{seed}}."
        ) from None
    if len({entry.folder for entry in made}) < len(made):
        raise ValueError(f"{folders!r} gives several runs one folder: it needs {{method}} and {{seed}}.")
    return made


def make_data(folder: Path, preset: str, seed: int) -> None:
    """Create synthetic data, completely or not at all; does nothing if they exist."""
    if folder.exists():
        return
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    print(f"{folder}: making SynthL4S, preset {preset}, seed {seed} ...", file=sys.stderr, flush=True)
    synth.generate(partial, preset, seed)
    try:
        partial.rename(folder)
    except OSError:  # another command created them in the meantime
        if not folder.exists():
            raise
        shutil.rmtree(partial)


def for_each(asked: Sequence[MethodRun], work: Callable[[MethodRun], None], world: World) -> list[MethodRun]:
    """Do the work of every entry; returns those that failed, whose errors are printed. Raises TimeIsUp at the deadline."""
    failed = []
    for entry in asked:
        if not world.time_for(0):
            raise TimeIsUp("The time is up.")
        try:
            work(entry)
        except (ValueError, RuntimeError) as error:
            if world.size > 1:
                raise  # the other processes would wait for this one
            failed.append(entry)
            print(f"error: {entry.folder}: {error}", file=sys.stderr, flush=True)
    return failed


def carry_out(entry: MethodRun, preset: str, changes: dict[str, Any], world: World, archives: bool) -> None:
    """Train the entry's run to its end, and score it. Raises TimeIsUp at the world's deadline."""
    module = method(entry.method)
    options = replace(from_dict(module.Options, module.PRESETS.get(preset, {}) | changes), seed=entry.seed)
    run = runs.start(entry.folder, entry.method, entry.data, options, world)
    predictor = runs.train(run)
    if not is_scored(run):
        score_run(run, predictor)
    for split in SPLITS if archives and world.main else ():
        if not is_fresh(entry.folder, split):
            write_archive(run, predictor, run.pool(split), archive_of(entry.folder, split))


def score(entry: MethodRun, world: World) -> None:
    """Score a finished run if that has not been done; does nothing for an unfinished one."""
    if not (entry.folder / "weights.pt").exists():
        return
    name, _, options = runs.saved(entry.folder)
    run: runs.Run[Options] = runs.Run(entry.folder, name, entry.data, options, world)
    if not is_scored(run):
        score_run(run, run.trained())


def finished(entries: Sequence[MethodRun]) -> list[Finished]:
    """The entries whose runs are finished and scored."""
    found = []
    for entry in entries:
        if (entry.folder / "weights.pt").exists() and (results := load_results(entry.folder)):
            made = json.loads((entry.folder / "provenance.json").read_text())
            exact = None not in made.get("pieces", [])
            found.append(Finished(entry, results, made["seconds"], exact, made))
    return found


def flags_of(asked: Sequence[MethodRun], preset: str) -> list[str]:
    """The flags that, beside the preset, give the finished runs the options they have: "METHOD: --flag" where not all have it."""
    of_runs = {f.entry: _flags_of(f.entry, preset) for f in finished(asked)}
    everywhere = set.intersection(*map(set, of_runs.values())) if of_runs else set()
    every = [
        (f"{e.method}: " * (flag not in everywhere)) + flag for e, flags in of_runs.items() for flag in flags
    ]
    return list(dict.fromkeys(every))


def _flags_of(entry: MethodRun, preset: str) -> list[str]:
    module = method(entry.method)
    usual = from_dict(module.Options, module.PRESETS.get(preset, {})).to_dict() | {"seed": entry.seed}
    options = runs.saved(entry.folder)[2].to_dict()
    return as_flags({name: value for name, value in options.items() if value != usual[name]})


def write_tables(
    folder: Path, asked: Sequence[MethodRun], about: str, preset: str, flags: Sequence[str]
) -> str:
    """Write table.md, table.csv and table.json of all finished runs; returns the first."""
    there = finished(asked)
    of_split = {split: _of_split(there, split) for split in (*SPLITS, HELD_OUT)}
    found = [
        difference
        for split in SPLITS
        for first, second in combinations(_by_mean(of_split[split]), 2)
        if (difference := tables.difference(split, first, second))
    ]
    missing = [f"{e.method} seed {e.seed}" for e in asked if e not in [f.entry for f in there]]
    text = f"{about}\n\n{_means(there, of_split)}\n"
    if missing:
        text += f"\nNot finished yet: {', '.join(missing)}.\n"
    text += f"\n{_machines(there)}\n" if there else ""
    text += f"\n{_paired(found)}\n" if found else ""
    rows = [row for f in there for row in f.rows()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(text)
    (folder / "table.csv").write_text(tables.comma_separated(rows))
    content = {
        "about": about,
        "preset": preset,
        "flags": list(flags),
        "runs": rows,
        "missing": missing,
        "differences": [difference.to_dict() for difference in found],
    }
    (folder / "table.json").write_text(json.dumps(content, indent=1) + "\n")
    return text


Named = tuple[str, dict[int, Result]]


def _of_split(there: Sequence[Finished], split: str) -> list[Named]:
    """Each method's results on a split by seed, in the order of `there`."""
    names = dict.fromkeys(f.entry.method for f in there)
    chosen = [f for f in there if split in f.results]
    return [
        (name, {f.entry.seed: f.results[split] for f in chosen if f.entry.method == name}) for name in names
    ]


def _by_mean(methods: list[Named]) -> list[Named]:
    """The methods that have results, best mean F1 first."""
    there = [(name, outcomes) for name, outcomes in methods if outcomes]
    return sorted(there, key=lambda m: -sum(r.score.f1 for r in m[1].values()) / len(m[1]))


def _means(there: Sequence[Finished], of_split: dict[str, list[Named]]) -> str:
    """Scores in percent: mean over the seeds ± standard deviation."""
    splits = [split for split, methods in of_split.items() if any(outcomes for _, outcomes in methods)]
    columns = ("F1", "precision", "recall", "F1 at best threshold")
    header = ["method", "seeds", *(f"{split} {column}" for split in splits for column in columns)]
    rows = []
    for name in dict.fromkeys(f.entry.method for f in there):
        mine = [f for f in there if f.entry.method == name]
        cells = [name, " ".join(str(f.entry.seed) for f in mine)]
        for split in splits:
            results = dict(of_split[split])[name].values()
            scores = [result.score for result in results]
            figures = [[s.f1 for s in scores], [s.precision for s in scores], [s.recall for s in scores]]
            figures.append([result.best_f1 for result in results])
            cells += [tables.mean_and_spread([100 * value for value in values], 1) for values in figures]
        seconds = tables.mean_and_spread([f.seconds for f in mine], 0)
        rows.append([*cells, seconds if all(f.exact for f in mine) else f"≥ {seconds}"])
    return tables.markdown([*header, "training (s)"], rows, texts=2)


def _machines(there: Sequence[Finished]) -> str:
    """Where the finished runs were trained, in one sentence each."""
    made = sorted({(f.made["machine"], f.made["versions"]["torch"], str(f.made["code"])) for f in there})
    told = (f"Trained on {machine}, torch {torch}, code {code}." for machine, torch, code in made)
    note = "Scores in percent, mean ± standard deviation over the seeds. The best threshold is chosen by the labels: no score."
    return "\n".join([note, *told])


def _paired(found: Sequence[tables.Difference]) -> str:
    header = ["split", "difference of F1", "points", "95 %", "p", "by seed"]
    rows = [
        [
            d.split,
            f"{d.first} − {d.second}",
            f"{100 * d.pooled:+.1f}",
            f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
            f"{d.p:.2g}",
            ", ".join(f"{100 * value:+.1f}" for value in d.by_seed.values()),
        ]
        for d in found
    ]
    note = (
        "Paired differences: counts of all seeds together, 95 % interval over the patches given these networks. What other seeds "
        "would give, the last column lets one guess."
    )
    return f"{note}\n\n{tables.markdown(header, rows, texts=2)}"
