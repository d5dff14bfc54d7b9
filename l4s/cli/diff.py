"""diff A B: what two submissions, or two archives, have in common and what not."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.archive.problems import InvalidArchive
from evaluation.cli.tables import table
from evaluation.sandbox.reader import Reader
from evaluation.scoring.counts import count
from evaluation.task import MaskSpec
from l4s import Client
from l4s.errors import WrongUse
from l4s.operations import spec_of
from l4s.text import percent

from .output import connect, show
from .submissions import add_format, spec

METRICS = ("f1", "precision", "recall")
MOST_PATCHES = 10


def add_commands(commands: Any) -> None:
    parser = commands.add_parser("diff", help="compare two submissions, or archives: scores and masks")
    parser.add_argument("a", metavar="A", help="a submission's number, or a file")
    parser.add_argument("b", metavar="B", help="another one")
    add_format(parser)
    parser.set_defaults(run=run_diff)


def run_diff(arguments: argparse.Namespace) -> int:
    """Exit code 0, whether or not they differ."""
    names = (arguments.a, arguments.b)
    numbers = [None if Path(name).exists() else _number(name) for name in names]
    content: dict[str, Any] = {"a": names[0], "b": names[1]}
    with tempfile.TemporaryDirectory() as folder:
        if numbers == [None, None]:
            paths, wanted = [Path(name) for name in names], spec(arguments)
        else:
            with connect(arguments) as client:
                found = [None if number is None else client.show(number) for number in numbers]
                paths = [
                    Path(name) if number is None else client.download(number, Path(folder) / f"{i}.zip")
                    for i, (name, number) in enumerate(zip(names, numbers, strict=True))
                ]
                wanted = _spec_of(client, [each for each in found if each])
            if all(found):
                content["scores"] = _scores(*found)  # type: ignore[arg-type]
        content["masks"] = _masks(paths, wanted)
    show(arguments, content, _text(content))
    return 0


def _number(name: str) -> int:
    if not name.isdecimal():
        raise WrongUse(f"{name!r} is neither a file nor the number of a submission.")
    return int(name)


def _spec_of(client: Client, found: list[dict[str, Any]]) -> MaskSpec:
    specs = {spec_of(client.phase(str(number))) for number in {each["phase"] for each in found}}
    if len(specs) > 1:
        raise WrongUse("The two are of phases with other masks: they cannot be compared.")
    return specs.pop()


def _scores(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {
            "a": a[name],
            "b": b[name],
            "difference": None if a[name] is None or b[name] is None else b[name] - a[name],
        }
        for name in METRICS
    }


def _masks(paths: list[Path], wanted: MaskSpec) -> dict[str, Any]:
    """Pixels of landslide in both, in one alone, and where they differ most."""
    packed = []
    with Reader() as reader:
        for path in paths:
            try:
                packed.append(reader.read(path, wanted))
            except InvalidArchive as invalid:
                raise WrongUse(f"{path} cannot be compared. {invalid.problems[0]}") from invalid
    counts = count(packed[1], packed[0])  # tp: both, fp: B alone, fn: A alone
    changed = counts.fp.astype(int) + counts.fn
    order = np.argsort(-changed, kind="stable")
    both, only_b, only_a = counts.total
    return {
        "both": both,
        "only_a": only_a,
        "only_b": only_b,
        "iou": both / (both + only_a + only_b) if both + only_a + only_b else None,
        "changed_patches": int((changed > 0).sum()),
        "patches": [
            {"patch": int(i) + 1, "only_a": int(counts.fn[i]), "only_b": int(counts.fp[i])}
            for i in order
            if changed[i]
        ],
    }


def _text(content: dict[str, Any]) -> list[str]:
    lines = []
    if scores := content.get("scores"):
        rows = [
            [name, percent(each["a"]) or "–", percent(each["b"]) or "–", _signed(each["difference"])]
            for name, each in scores.items()
        ]
        lines += [*table(["%", content["a"], content["b"], "difference"], rows), ""]
    masks = content["masks"]
    lines.append(
        f"Landslide pixels: {masks['both']:,} in both, {masks['only_a']:,} in {content['a']} alone, "
        f"{masks['only_b']:,} in {content['b']} alone; {masks['changed_patches']:,} patches differ."
    )
    rows = [[each["patch"], each["only_a"], each["only_b"]] for each in masks["patches"][:MOST_PATCHES]]
    return lines + table(["patch", f"only {content['a']}", f"only {content['b']}"], rows)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:+.2f}"
