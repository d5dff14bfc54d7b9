"""The commands around the reference results: `compare`, `reference` and `cost`. torch is imported when one of them runs."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baseline.cli.train import PRESETS, add_option_flags
from baseline.methods import METHODS, refuse_idle
from baseline.training import deadline
from baseline.training.options import OptionError, as_flags

if TYPE_CHECKING:
    from baseline.experiments.compare import MethodRun
    from baseline.experiments.cost import Cost


def add_commands(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        add_help=False,
        help="train all methods with several seeds and tabulate them; goes on where it was stopped",
    )
    compare.set_defaults(command=run_compare, rest=True)
    reference = commands.add_parser(
        "reference",
        add_help=False,
        help="train methods and submit their masks to a leaderboard as the organisers' reference entries",
    )
    reference.set_defaults(command=run_reference, rest=True)
    cost = commands.add_parser(
        "cost", add_help=False, help="what each method costs: multiply-accumulates, speed, memory"
    )
    cost.set_defaults(command=run_cost, rest=True)
    figures = commands.add_parser(
        "figures",
        help="draw Fig. 9 (what encoders respond to) or Fig. 10 (pseudo-labels by λ) of finished runs of seek",
    )
    figures.add_argument("figure", choices=("activations", "pseudo-labels"))
    figures.add_argument(
        "runs", nargs="+", metavar="RUN", help="folder of a run; for activations, LABEL=RUN for each column"
    )
    figures.add_argument("--out", type=Path, required=True, metavar="PNG")
    figures.add_argument("--split", choices=("validation", "test"), default="test")
    figures.add_argument(
        "--patches", type=int, default=4, metavar="N", help="those with most landslide pixels"
    )
    figures.set_defaults(command=run_figures)
    fill = commands.add_parser(
        "fill", help="put the figures of table.json files into a document's column of results"
    )
    fill.add_argument("document", type=Path, metavar="DOCUMENT", help="such as baseline/README.md")
    fill.add_argument(
        "tables", type=Path, nargs="+", metavar="TABLE", help="table.json of a compare or a study"
    )
    fill.set_defaults(command=run_fill)


def run_compare(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    began = time.monotonic()
    from baseline.experiments import compare, jobs
    from baseline.training.world import world

    chosen, changes = _compare_flags(rest)
    folders = chosen.runs or f"{chosen.out}/runs/{{method}}-{{seed}}"
    data = chosen.data or f"{chosen.out}/data-{{seed}}"
    results = chosen.results or chosen.out
    asked = compare.entries(chosen.methods, chosen.seeds, folders, data, results)
    data_set = f"SynthL4S {compare.synth.VERSION}" if not chosen.data else f"Data {chosen.data}"
    end = began + 60 * chosen.limit_minutes

    def tabulate() -> str:
        flags = as_flags(changes) if chosen.train else compare.flags_of(asked, chosen.preset)
        today = time.strftime("%Y-%m-%d", time.gmtime())
        targets = [f"data of {chosen.synth}"] if chosen.synth else []
        about = ", ".join([data_set, f"preset {chosen.preset}", *targets, *flags, today])
        return compare.write_tables(results, asked, about, chosen.preset, flags)

    if chosen.jobs > 1:
        try:
            return jobs.run_side_by_side(["compare", *rest, "--jobs", "1"], chosen.jobs, changes)
        finally:
            print(tabulate())
    with world(changes.get("device", "auto"), changes.get("threads", 0), end) as here:

        def work(entry: compare.MethodRun) -> None:
            if not chosen.train:
                return compare.score(entry, chosen.preset, here)
            if not chosen.archives and compare.is_recorded(entry, chosen.preset, changes):
                return
            if not chosen.data:
                compare.make_data(entry.data, chosen.synth or chosen.preset, entry.seed)
            name = f"{entry.method}-{entry.seed}"
            other_targets = chosen.other_targets / "runs" / name if chosen.other_targets else None
            compare.carry_out(entry, chosen.preset, changes, here, chosen.archives, other_targets)
            if here.main:
                tabulate()

        try:
            return 1 if compare.for_each(asked, work, here) else 0
        finally:
            if here.main and not jobs.is_job():
                print(tabulate())


def run_reference(_: argparse.Namespace, rest: Sequence[str]) -> int:
    began = time.monotonic()
    from baseline.experiments import compare
    from baseline.submitting import entries, reference
    from baseline.training.world import world

    chosen, changes = _reference_flags(rest)
    folders = f"{chosen.out}/runs/{{method}}-{chosen.preset}-{{seed}}"
    data = f"{chosen.out}/data-{chosen.preset}-{{seed}}"
    asked = compare.entries(
        chosen.methods, chosen.seeds, folders, data, chosen.out / f"results-{chosen.preset}"
    )
    prefix = f"{chosen.competition}/" if chosen.competition else ""
    phases = {split: prefix + split for split in reference.SPLITS}
    states: list[str] = []
    with (
        entries.connect(chosen.server, chosen.token) as client,
        world(
            changes.get("device", "auto"), changes.get("threads", 0), began + 60 * chosen.limit_minutes
        ) as here,
    ):
        for phase in phases.values():  # what is wrong with address or token is said before the training
            client.phase(phase)
        print(_forecast(asked, chosen.preset), flush=True)

        def work(entry: compare.MethodRun) -> None:
            reference.make_data(entry.data, chosen.images, chosen.preset, entry.seed)
            compare.carry_out(entry, chosen.preset, changes, here, archives=True)
            name = reference.entry_name(entry.method, chosen.preset, entry.seed)
            made = reference.submit(client, entry.folder, name, phases)
            states.extend(submission["state"] for submission in made)

        failed = compare.for_each(asked, work, here)
        for phase in phases.values():
            print(f"\n{reference.board(client, phase)}")
    return 1 if failed or {"invalid", "failed"} & set(states) else 0


def _forecast(asked: "Sequence[MethodRun]", preset: str) -> str:
    """How long the trainings that are still to be done took where they were measured."""
    from baseline.experiments.records import quickest
    from baseline.training.run import finished_weights

    left = [entry.method for entry in asked if not finished_weights(entry.folder)]
    if not left:
        return "All runs are trained."
    measured = {name: quickest(name, preset) for name in dict.fromkeys(left)}
    known = [found for name in left if (found := measured[name])]
    unknown = sorted({name for name in left if not measured[name]})
    sentences = [f"{len(left)} runs are to be trained."]
    if known:
        minutes = f"{sum(found.seconds for found in known) / 60:.0f} minutes in all"
        if not all(found.exact for found in known):
            minutes = f"at least {minutes}"
        machine = known[0].made["machine"]
        sentences.append(f"{len(known)} of them took {minutes} on {machine}, one after the other.")
    if unknown:
        sentences.append(f"The time of {', '.join(unknown)} at preset {preset} has not been measured.")
    return " ".join(sentences)


def _reference_flags(rest: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The command's own flags, and those of training that were given, which hold for every method."""
    parser = argparse.ArgumentParser(
        prog="python -m baseline reference",
        allow_abbrev=False,
        description="Train methods on fresh SynthL4S, predict a leaderboard's public images and submit the masks with an organiser's "
        "token: they stand on the board, marked and unranked. Repeated, it goes on, and submits nothing twice.",
    )
    parser.add_argument("--server", required=True, metavar="URL", help="such as http://127.0.0.1:8000")
    parser.add_argument(
        "--token", help="an organiser's; default: L4S_TOKEN, then that of `l4s login`, else asked for"
    )
    parser.add_argument("--competition", metavar="SLUG", help="needed where the server has several")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="its public images")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for data and runs")
    parser.add_argument("--methods", nargs="+", default=["unet"], metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--preset", choices=PRESETS, default="small")
    deadline.add_flag(parser)
    return _parsed_with_options(parser, rest)


def _compare_flags(rest: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The command's own flags, and those of training that were given, which hold for every method."""
    from baseline.synth.generate import PRESETS as GENERATED

    parser = argparse.ArgumentParser(
        prog="python -m baseline compare",
        allow_abbrev=False,
        description="Train all methods with several seeds, score them and write table.md, table.csv and table.json to DIR. The "
        "same command goes on where it was stopped.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for data, runs and tables")
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--data", metavar="PATH", help="of data that are there; {seed} in it = others for each seed"
    )
    parser.add_argument(
        "--synth",
        choices=GENERATED,
        help="preset of the generator, where it is not that of the methods: medium-scene",
    )
    parser.add_argument(
        "--other-targets",
        type=Path,
        metavar="DIR",
        help="--out of a comparison of the same runs with another --synth, whose training patches are the same: stages that look at "
        "labelled patches alone are taken over from there",
    )
    parser.add_argument(
        "--runs", metavar="PATH", help="of the runs' folders (default: DIR/runs/{method}-{seed})"
    )
    deadline.add_flag(parser)
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        help="of the tables and of a record of each finished run, which is not trained again (default: the folder of --out)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="runs trained side by side, each in a process of its own",
    )
    parser.add_argument("--archives", action="store_true", help="also write each run's archives, to submit")
    parser.add_argument(
        "--train",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--no-train: tabulate what is there",
    )
    chosen, changes = _parsed_with_options(parser, rest)
    if chosen.data and chosen.synth:
        raise OptionError("--synth makes data, and --data names data that are there: leave one out.")
    if not chosen.train and (idle := as_flags(changes) + ["--archives"] * chosen.archives):
        raise OptionError(f"--no-train tabulates runs as they are: leave out {', '.join(idle)}.")
    return chosen, changes


def _parsed_with_options(
    parser: argparse.ArgumentParser, rest: Sequence[str]
) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The values of the parser's own flags, and of those flags of training that were given."""
    from baseline.training.options import Options

    names = {action.dest for action in parser._actions}
    flags = parser.add_argument_group(
        "options of training, the same for every method that has a use for them (default: each its own)"
    )
    add_option_flags(flags, Options, skip={"seed"})
    values = vars(parser.parse_args(rest))
    changes = {name: values.pop(name) for name in list(values) if name not in names}
    refuse_idle(values["methods"], changes)
    return argparse.Namespace(**values), changes


def run_figures(arguments: argparse.Namespace) -> int:
    from contextlib import ExitStack

    from baseline.cli.train import opened
    from baseline.experiments import figures

    named = dict(_label_and_folder(text) for text in arguments.runs)
    if arguments.figure == "pseudo-labels" and len(named) > 1:
        raise ValueError("pseudo-labels takes one run.")
    with ExitStack() as stack:
        runs = {label: stack.enter_context(opened(folder)) for label, folder in named.items()}
        first = next(iter(runs.values()))
        rows = figures.richest(first, arguments.split, arguments.patches)
        if arguments.figure == "activations":
            figures.draw_activations(runs, arguments.split, rows, arguments.out)
        else:
            figures.draw_pseudo_labels(first, arguments.split, rows, arguments.out)
    print(arguments.out)
    return 0


def _label_and_folder(text: str) -> tuple[str, Path]:
    label, equals, folder = text.rpartition("=")
    return (label, Path(folder)) if equals else (Path(text).name, Path(text))


def run_fill(arguments: argparse.Namespace) -> int:
    from baseline.experiments.result_column import filled

    text, seen = filled(arguments.document.read_text(), arguments.tables)
    arguments.document.write_text(text)
    print(f"{arguments.document}: filled {', '.join(dict.fromkeys(seen)) or 'nothing'}.")
    return 0 if seen else 1


def run_cost(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    from baseline.experiments import cost
    from baseline.training import provenance
    from baseline.training.world import world

    parser = argparse.ArgumentParser(
        prog="python -m baseline cost",
        allow_abbrev=False,
        description="Take a few steps of every stage of each method on random patches, each method in a process of its own, and print "
        "what it costs as a Markdown table.",
    )
    parser.add_argument("--preset", choices=PRESETS, default="small")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), metavar="METHOD")
    parser.add_argument(
        "--measured-steps", type=int, default=3, help="timed steps of each stage (default: 3)"
    )
    parser.add_argument(
        "--as-json", action="store_true", help="measure here, in this process, and print JSON"
    )
    chosen, changes = _parsed_with_options(parser, rest)
    with world(changes.get("device", "auto"), changes.get("threads", 0)) as here:
        if chosen.as_json:
            made = [
                cost.measure(name, chosen.preset, changes, here, chosen.measured_steps)
                for name in chosen.methods
            ]
            print(json.dumps([each.to_dict() for each in made]))
            return 0
        about = provenance.provenance(here)
    costs = [measured for name in chosen.methods for measured in _measured_apart(name, rest)]
    print(f"{cost.table(costs)}\n")
    print(
        f"{', '.join([f'Preset {chosen.preset}', *(f'{k} {v}' for k, v in changes.items())])}; {about['machine']}, ",
        end="",
    )
    print(f"{about['threads']} threads, torch {about['versions']['torch']}, {about['written'][:10]}.")
    return 0


def _measured_apart(name: str, rest: Sequence[str]) -> "list[Cost]":
    """What `cost` measures of one method in a process of its own, whose memory is the method's alone."""
    from baseline.experiments.cost import from_json

    command = [sys.executable, "-m", "baseline", "cost", *rest, "--as-json", "--methods", name]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ValueError(f"The cost of {name} could not be measured; what is wrong is said above.")
    return [from_json(content) for content in json.loads(done.stdout.splitlines()[-1])]
