"""Command line of the trainers: `python -m baseline COMMAND`."""

import argparse
import signal
import sys
from pathlib import Path

from baseline import synth
from baseline.cli import reference as reference_commands
from baseline.cli import train as trainer
from baseline.training.deadline import EXIT_STATUS, TimeIsUp

INTERRUPTED = 128 + signal.SIGINT  # as shells report it


def add_synth(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("synth", help="write a synthetic data set in the competition's format")
    parser.add_argument("out", type=Path, metavar="OUT", help="an empty or new folder")
    parser.add_argument("--preset", choices=synth.PRESETS, default="small")
    parser.add_argument("--seed", type=int, default=0, help="who knows it knows the labels")
    parser.add_argument("--splits", nargs="+", choices=synth.SPLITS, default=synth.SPLITS)
    parser.add_argument(
        "--masks-to", type=Path, metavar="FOLDER", help="keep the masks apart from the images"
    )
    parser.add_argument("--processes", type=int, help="default: one per core")
    parser.set_defaults(command=run_synth)


def run_synth(options: argparse.Namespace) -> int:
    counts = synth.generate(
        options.out,
        options.preset,
        options.seed,
        splits=options.splits,
        mask_root=options.masks_to,
        processes=options.processes,
        progress=show_progress,
    )
    print(f"SynthL4S version {synth.VERSION}, preset {options.preset}, in {options.out}: " + listed(counts))
    return 0


def listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name} patches" for name, count in counts.items())


def show_progress(done: int, total: int) -> None:
    """A progress bar if standard error is a terminal."""
    if sys.stderr.isatty():
        bar = "#" * (40 * done // total)
        print(f"\r{bar:<40} {done}/{total}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m baseline", description=__doc__)
    parser.set_defaults(rest=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_synth(commands)
    trainer.add_commands(commands)
    reference_commands.add_commands(commands)
    options, rest = parser.parse_known_args(arguments)
    if rest and not options.rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.command(options, rest) if options.rest else options.command(options)
    except TimeIsUp as stop:
        print(f"{stop} The same command goes on.", file=sys.stderr)
        return EXIT_STATUS
    except KeyboardInterrupt:
        print("Stopped." + " The same command goes on." * options.rest, file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        print(f"error: {error}. The trainers need: pip install -r baseline/requirements.txt", file=sys.stderr)
        return 1
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
