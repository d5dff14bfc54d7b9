"""The commands that make the reference results: `compare`. torch is imported when one of them runs."""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from baseline import deadline
from baseline.commands import PRESETS, add_option_flags
from baseline.methods import METHODS


def add_commands(commands: Any) -> None:
    compare = commands.add_parser(
        "compare",
        add_help=False,
        help="train all methods with several seeds and tabulate them; goes on where it was stopped",
    )
    compare.set_defaults(command=run_compare, rest=True)


def run_compare(arguments: argparse.Namespace, rest: Sequence[str]) -> int:
    began = time.monotonic()
    from baseline import compare
    from baseline.options import Options
    from baseline.world import world

    chosen, changes = _compare_flags(rest)
    folders = chosen.runs or f"{chosen.out}/runs/{{method}}-{{seed}}"
    data = chosen.data or f"{chosen.out}/data-{{seed}}"
    asked = compare.entries(chosen.methods, chosen.seeds, folders, data)
    about = f"SynthL4S {compare.synth.VERSION}" if not chosen.data else f"Data {chosen.data}"
    about += f", preset {chosen.preset}, {time.strftime('%Y-%m-%d', time.gmtime())}"
    options = Options(**{k: v for k, v in changes.items() if k in ("device", "threads")})
    with world(options.device, options.threads, began + 60 * chosen.limit_minutes) as here:

        def work(entry: compare.Entry) -> None:
            if not chosen.train:
                return compare.score(entry, here)
            if not chosen.data:
                compare.make_data(entry.data, chosen.preset, entry.seed)
            compare.carry_out(entry, chosen.preset, changes, here, chosen.archives)

        try:
            return 1 if compare.for_each(asked, work, here) else 0
        finally:
            if here.main:
                print(compare.write_tables(chosen.out, asked, about))


def _compare_flags(rest: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The command's own flags, and those of training that were given, which hold for every method."""
    from baseline.options import Options

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
        "--runs", metavar="PATH", help="of the runs' folders (default: DIR/runs/{method}-{seed})"
    )
    deadline.add_flag(parser)
    parser.add_argument("--archives", action="store_true", help="also write each run's archives, to submit")
    parser.add_argument(
        "--train",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="--no-train: tabulate what is there",
    )
    names = {action.dest for action in parser._actions}
    flags = parser.add_argument_group(
        "options of training, the same for every method (default: each its own)"
    )
    add_option_flags(flags, Options, skip={"seed"})
    values = vars(parser.parse_args(rest))
    changes = {name: values.pop(name) for name in list(values) if name not in names}
    return argparse.Namespace(**values), changes
