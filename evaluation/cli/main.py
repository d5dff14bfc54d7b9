"""`python -m evaluation`: check and score archives, report on counts, verify receipts, labels and logs. All offline."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from evaluation import __version__
from evaluation.archive.problems import InvalidArchive
from evaluation.cli.report import add_report
from evaluation.cli.trust import add_verify, add_verify_labels, add_verify_log
from evaluation.sandbox.reader import Reader
from evaluation.scoring import labels
from evaluation.scoring.counts import count
from evaluation.scoring.metrics import f1, percent, precision, recall
from evaluation.task import TASK, MaskSpec
from evaluation.trust.receipts import MissingPackage


def check(arguments: argparse.Namespace) -> int:
    """Say everything that is wrong with an archive."""
    spec = MaskSpec(arguments.patches, *arguments.size)
    try:
        with Reader() as reader:
            reader.read(arguments.archive, spec)
    except InvalidArchive as invalid:
        return _problems(invalid, arguments.json)
    if arguments.json:
        print(json.dumps({"valid": True, "problems": []}))
    else:
        print(f"{arguments.archive}: all {spec.patches:,} masks are valid.")
    return 0


def score(arguments: argparse.Namespace) -> int:
    """Count an archive against true masks."""
    try:
        truth, spec = labels.load(arguments.truth)
    except InvalidArchive as invalid:
        print(f"The true masks in {arguments.truth} cannot be used.", file=sys.stderr)
        return _problems(invalid, arguments.json)
    try:
        with Reader() as reader:
            prediction = reader.read(arguments.archive, spec)
    except InvalidArchive as invalid:
        return _problems(invalid, arguments.json)
    tp, fp, fn = count(prediction, truth).total
    if arguments.json:
        result = {"tp": tp, "fp": fp, "fn": fn, "precision": precision(tp, fp), "recall": recall(tp, fn)}
        print(json.dumps(result | {"f1": f1(tp, fp, fn)}))
    else:
        print(f"tp        {tp}\nfp        {fp}\nfn        {fn}")
        print(f"precision {percent(tp, tp + fp)} %\nrecall    {percent(tp, tp + fn)} %")
        print(f"f1        {percent(2 * tp, 2 * tp + fp + fn)} %")
    return 0


def _problems(invalid: InvalidArchive, as_json: bool) -> int:
    if as_json:
        print(json.dumps({"valid": False, "problems": [problem.as_dict() for problem in invalid.problems]}))
    else:
        for problem in invalid.problems:
            print(f"{problem.heading}\n    {problem.message}")
    return 1


def size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return int(height), int(width)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("check", help="say what is wrong with an archive, all problems at once")
    parser.add_argument("archive", type=Path, metavar="ARCHIVE")
    parser.add_argument(
        "--patches", type=int, required=True, metavar="N", help="masks of the phase, such as 245 or 800"
    )
    parser.add_argument(
        "--size",
        type=size,
        default=(TASK.height, TASK.width),
        metavar="HxW",
        help=f"pixels of a mask ({TASK.height}x{TASK.width})",
    )
    parser.set_defaults(run=check)


def _add_score(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("score", help="precision, recall and F1 of an archive")
    parser.add_argument("archive", type=Path, metavar="ARCHIVE")
    parser.add_argument(
        "truth", type=Path, metavar="TRUTH", help="folder of true masks, or an archive of them"
    )
    parser.set_defaults(run=score)


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add all offline commands but `check`, which `l4s` has with more options, to a parser's sub-commands."""
    for add in (_add_score, add_report, add_verify, add_verify_labels, add_verify_log):
        add(commands)


def main(argv: list[str] | None = None) -> int:
    """Exit code: 0 no problem; 1 the archive, file, receipt or log has problems; 2 that could not be found out."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation", description="Check and score mask archives; statistics of counts."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_check(commands)
    add_commands(commands)
    for command in commands.choices.values():
        command.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `l4s report ... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, MissingPackage) as error:
        print(f"python -m evaluation: {error}", file=sys.stderr)
        return 2
    return code
