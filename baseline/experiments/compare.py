"""All methods and seeds side by side: the table of reference results, computed in as many sittings as needed.

Every run has its own folder; an interrupted run is resumed, and a finished one is not trained again. The tables are rewritten
after every run from all finished runs.
"""

import fcntl
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from baseline import synth
from baseline.experiments import records, study, tables
from baseline.experiments.records import Record
from baseline.experiments.results import HELD_OUT, SPLITS, Result, is_scored, score_run
from baseline.methods import method
from baseline.submitting.archives import archive_of, is_fresh, write_archive
from baseline.training import run as runs
from baseline.training.deadline import TimeIsUp
from baseline.training.options import Options, as_flags, from_dict
from baseline.training.world import World


@dataclass(frozen=True)
class MethodRun:
    """One method with one seed: the folder of its run, the folder of its data, the file of its record."""

    method: str
    seed: int
    folder: Path
    data: Path
    record: Path


def entries(
    methods: Sequence[str], seeds: Sequence[int], folders: str, data: str, records: Path
) -> list[MethodRun]:
    """What is to be compared, seed by seed, so that the first seed's board is whole first.

    folders, data: paths with {method} and {seed} in them, such as "runs/{method}-{seed}"; those of the runs need both.
    records: the folder of the records.
    """
    for name in methods:
        method(name)  # an unknown name is an error now, not in an hour
    try:
        made = [
            MethodRun(
                name,
                seed,
                Path(folders.format(method=name, seed=seed)),
                Path(data.format(method=name, seed=seed)),
                records / f"{name}-{seed}.json",
            )
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
    """Create synthetic data, completely or not at all; does nothing if they exist, and waits where another process makes them."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
        print(f"{folder}: making SynthL4S, preset {preset}, seed {seed} ...", file=sys.stderr, flush=True)
        synth.generate(partial, preset, seed)
        partial.rename(folder)


def for_each(asked: Sequence[MethodRun], work: Callable[[MethodRun], None], world: World) -> list[MethodRun]:
    """Do the work of every entry; returns those that failed, whose errors are printed. Raises TimeIsUp at the deadline.

    An entry that another process works on is left to it.
    """
    failed = []
    for entry in asked:
        if not world.time_for(0):
            raise TimeIsUp("The time is up.")
        with _claimed(entry, world) as mine:
            if not mine:
                print(f"{entry.folder}: another process works on it.", file=sys.stderr, flush=True)
                continue
            try:
                work(entry)
            except (ValueError, RuntimeError) as error:
                if world.size > 1:
                    raise  # the other processes would wait for this one
                failed.append(entry)
                print(f"error: {entry.folder}: {error}", file=sys.stderr, flush=True)
    return failed


@contextmanager
def _claimed(entry: MethodRun, world: World) -> Iterator[bool]:
    """Whether the entry is this process's; a claim ends with its process, however that ends."""
    if world.size > 1:
        yield True
        return
    entry.folder.parent.mkdir(parents=True, exist_ok=True)
    with entry.folder.with_name(f"{entry.folder.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def options_of(entry: MethodRun, preset: str, changes: dict[str, Any]) -> Options:
    """What an entry is trained with."""
    module = method(entry.method)
    made: Options = from_dict(module.Options, module.PRESETS.get(preset, {}) | changes)
    return replace(made, seed=entry.seed)


def is_recorded(entry: MethodRun, preset: str, changes: dict[str, Any]) -> bool:
    """Whether there is a record of the entry; RunError where it is of other options."""
    if not entry.record.exists():
        return False
    records.check(records.read(entry.record), options_of(entry, preset, changes), entry.record)
    return True


def carry_out(
    entry: MethodRun,
    preset: str,
    changes: dict[str, Any],
    world: World,
    archives: bool,
    other_targets: Path | None = None,
) -> None:
    """Train the entry's run to its end, score and record it. Raises TimeIsUp at the world's deadline.

    other_targets: the folder of the same run on other targets, whose stages on labelled patches are taken over.
    """
    options = options_of(entry, preset, changes)
    run = runs.start(entry.folder, entry.method, entry.data, options, world)
    if other_targets and world.main and not runs.finished_weights(run.folder):
        study.take_over_from_other_targets(run, other_targets)
    world.wait()
    predictor = runs.train(run)
    if not is_scored(run):
        score_run(run, predictor)
    if world.main:
        records.write(records.of_run(run, preset), entry.record)
    for split in SPLITS if archives and world.main else ():
        if not is_fresh(entry.folder, split):
            write_archive(run, predictor, run.pool(split), archive_of(entry.folder, split))


def score(entry: MethodRun, preset: str, world: World) -> None:
    """Score and record a run that was finished before; nothing for one that is not finished or has a record."""
    if entry.record.exists() or not runs.finished_weights(entry.folder):
        return
    name, _, options = runs.saved(entry.folder)
    run: runs.Run[Options] = runs.Run(entry.folder, name, entry.data, options, world)
    if not is_scored(run):
        score_run(run, run.trained())
    records.write(records.of_run(run, preset), entry.record)


def finished(asked: Sequence[MethodRun]) -> list[Record]:
    """The records of those entries that have one."""
    return [records.read(entry.record) for entry in asked if entry.record.exists()]


def flags_of(asked: Sequence[MethodRun], preset: str) -> list[str]:
    """The flags that, beside the preset, give the finished runs the options they have: "METHOD: --flag" where not all have it."""
    of_runs = [(record.method, _flags_of(record, preset)) for record in finished(asked)]
    everywhere = set.intersection(*(set(flags) for _, flags in of_runs)) if of_runs else set()
    every = [(f"{name}: " * (flag not in everywhere)) + flag for name, flags in of_runs for flag in flags]
    return list(dict.fromkeys(every))


def _flags_of(record: Record, preset: str) -> list[str]:
    module = method(record.method)
    usual = from_dict(module.Options, module.PRESETS.get(preset, {})).to_dict()
    usual |= {name: record.options[name] for name in ("seed", "precision")}
    return as_flags({name: value for name, value in record.options.items() if value != usual.get(name)})


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
    missing = [f"{e.method} seed {e.seed}" for e in asked if not e.record.exists()]
    text = f"{about}\n\n{_means(there, of_split)}\n"
    if missing:
        text += f"\nNot finished yet: {', '.join(missing)}.\n"
    text += f"\n{_machines(there)}\n" if there else ""
    text += f"\n{_paired(found)}\n" if found else ""
    rows = [row for record in there for row in record.rows()]
    content = {
        "about": about,
        "preset": preset,
        "flags": list(flags),
        "runs": rows,
        "missing": missing,
        "differences": [difference.to_dict() for difference in found],
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "table.md", text)
    _write(folder / "table.csv", tables.comma_separated(rows))
    _write(folder / "table.json", json.dumps(content, indent=1) + "\n")
    return text


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.write_text(text)
    partial.replace(path)


Named = tuple[str, dict[int, Result]]


def _of_split(there: Sequence[Record], split: str) -> list[Named]:
    """Each method's results on a split by seed, in the order of `there`."""
    names = dict.fromkeys(f.method for f in there)
    chosen = [f for f in there if split in f.results]
    return [(name, {f.seed: f.results[split] for f in chosen if f.method == name}) for name in names]


def _by_mean(methods: list[Named]) -> list[Named]:
    """The methods that have results, best mean F1 first."""
    there = [(name, outcomes) for name, outcomes in methods if outcomes]
    return sorted(there, key=lambda m: -sum(r.score.f1 for r in m[1].values()) / len(m[1]))


def _means(there: Sequence[Record], of_split: dict[str, list[Named]]) -> str:
    """Scores in percent: mean over the seeds ± standard deviation."""
    splits = [split for split, methods in of_split.items() if any(outcomes for _, outcomes in methods)]
    columns = ("F1", "precision", "recall", "F1 at best threshold")
    header = ["method", "seeds", *(f"{split} {column}" for split in splits for column in columns)]
    rows = []
    for name in dict.fromkeys(f.method for f in there):
        mine = [f for f in there if f.method == name]
        cells = [name, " ".join(str(f.seed) for f in mine)]
        for split in splits:
            results = dict(of_split[split])[name].values()
            scores = [result.score for result in results]
            figures = [[s.f1 for s in scores], [s.precision for s in scores], [s.recall for s in scores]]
            figures.append([result.best_f1 for result in results])
            cells += [tables.mean_and_spread([100 * value for value in values], 1) for values in figures]
        seconds = tables.mean_and_spread([f.seconds for f in mine], 0)
        rises = [f.last_rise for f in mine if f.last_rise is not None]
        cells.append(f"{100 * max(rises):+.1f}" if rises else "")
        rows.append([*cells, seconds if all(f.exact for f in mine) else f"≥ {seconds}"])
    return tables.markdown([*header, "last rise", "training (s)"], rows, texts=2)


def _machines(there: Sequence[Record]) -> str:
    """Where the finished runs were trained, in one sentence each."""
    made = sorted({(f.made["machine"], f.made["versions"]["torch"], str(f.made["code"])) for f in there})
    told = (f"Trained on {machine}, torch {torch}, code {code}." for machine, torch, code in made)
    note = (
        "Scores in percent, mean ± standard deviation over the seeds. The best threshold is chosen by the labels: no score. "
        "Last rise: by how many points F1 on the patches held out rose in the last quarter of a stage, the largest of all stages and "
        "seeds; below 1 the training has converged."
    )
    return "\n".join([note, *told])


def _paired(found: Sequence[tables.Difference]) -> str:
    header = ["split", "difference of F1", "points", "95 %", "p", "over", "by seed"]
    rows = [
        [
            d.split,
            f"{d.first} − {d.second}",
            f"{100 * d.pooled:+.1f}",
            f"{100 * d.low:+.1f} to {100 * d.high:+.1f}",
            f"{d.p:.2g}" if d.p >= 1e-4 else "< 0.0001",
            d.units,
            ", ".join(f"{100 * value:+.1f}" for value in d.by_seed.values()),
        ]
        for d in found
    ]
    note = (
        "Paired differences: counts of all seeds together, with an interval of 95 % over the sites of all seeds, each of which has data "
        "and training of its own."
    )
    return f"{note}\n\n{tables.markdown(header, rows, texts=2)}"
