"""`l4s report COUNTS.csv`: the statistics of anyone's counts, as text or as one JSON object."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evaluation.cli.tables import table
from evaluation.report.phase_report import build
from evaluation.statistics.count_files import CountFileError, read_counts


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "report", help="intervals, rank ranges and tests from a CSV file of counts per team and patch"
    )
    parser.add_argument(
        "counts",
        type=Path,
        metavar="COUNTS.csv",
        help="CSV, gzipped or not: columns team, patch, tp, fp, fn and optionally site",
    )
    parser.add_argument("--phase", default="", metavar="ID", help="name of the phase, part of the seed")
    parser.add_argument(
        "--replicates",
        type=_replicates,
        default=10_000,
        metavar="B",
        help="resamples and permutations (10000)",
    )
    parser.set_defaults(run=report)


def report(arguments: argparse.Namespace) -> int:
    """Print the statistics. Exit code 1 when the file cannot be used, with every problem and its line."""
    try:
        counts = read_counts(arguments.counts)
        content = build(counts, arguments.phase, replicates=arguments.replicates)
    except CountFileError as error:
        if arguments.json:
            print(json.dumps({"valid": False, "problems": error.problems}))
        else:
            print(f"{arguments.counts} cannot be used:\n{error}")
        return 1
    print(json.dumps(content, allow_nan=False) if arguments.json else "\n".join(_text(content)))
    return 0


def _replicates(text: str) -> int:
    number = int(text)
    if not 100 <= number <= 1_000_000:
        raise argparse.ArgumentTypeError("give 100 to 1,000,000 replicates")
    return number


def _text(content: dict[str, Any]) -> Iterable[str]:
    data, method = content["data"], content["method"]
    yield (
        f"{data['teams']} teams, {data['patches']} patches ({data['patches_without_label']} without label pixels)"
        + (f", {data['sites']} sites" if data["sites"] else "")
    )
    yield f"data SHA-256 {data['sha256']}"
    yield f"95 % intervals and tests by {method['unit']}; {method['replicates']:,} replicates"
    if method["few_sites"]:
        yield "Fewer than 5 sites: everything here is conditional on these sites."
    yield ""
    yield from table(
        ["rank", "team", "F1", "95 % interval", "ranks", "leader", "precision", "recall", "IoU"],
        [
            [
                row["rank"],
                row["team"],
                row["f1_text"],
                f"{row['low']:.2f} to {row['high']:.2f}",
                f"{row['rank_low']}-{row['rank_high']}",
                "*" if row["leader"] else "",
                row["precision_text"] or "–",
                row["recall_text"],
                f"{row['iou']:.2f}",
            ]
            for row in content["board"]
        ],
    )
    yield "* not distinguishable from rank 1; ranks: Holm's test over all pairs"
    yield from _section("Podium, paired on the same patches", _podium(content["podium"]))
    yield from _section("Best of the podium on each patch", _oracle(content["patch_oracle"]))
    if content["sites"]:
        yield from _section("F1 by site (rank without it)", _sites(content["sites"]))
    yield from _section("Hardest patches (top 10 teams together)", _hardest(content["hardest"]))
    yield from _section(
        "Pairs to review: same counts on many patches", _copies(content["copies"]["by_counts"])
    )


def _podium(pairs: Sequence[dict[str, Any]]) -> Iterable[str]:
    return table(
        ["pair", "difference", "95 % interval", "p permutation", "p delta"],
        [
            [
                f"{pair['first']} - {pair['second']}",
                f"{pair['difference']:.2f}",
                f"{pair['low']:.2f} to {pair['high']:.2f}",
                f"{pair['p_permutation']:.4f}",
                f"{pair['p_delta']:.4f}",
            ]
            for pair in pairs
        ],
    )


def _oracle(oracle: dict[str, Any]) -> Iterable[str]:
    yield f"{oracle['f1']:.2f}, best single team {oracle['best_single']:.2f}"


def _sites(sites: dict[str, Any]) -> Iterable[str]:
    without = sites["ranks_without"]
    return table(
        ["team", *sites["names"]],
        [
            [
                team,
                *(
                    ("–" if score is None else f"{score:.2f}") + (f" ({without[k][s]})" if without else "")
                    for s, score in enumerate(sites["f1"][k])
                ),
            ]
            for k, team in enumerate(sites["teams"])
        ],
    )


def _hardest(patches: Sequence[dict[str, Any]]) -> Iterable[str]:
    return table(
        ["patch", "F1", "label pixels", "missed by"],
        [
            [row["patch"], f"{row['f1']:.2f}", row["label_pixels"], f"{row['missed_by']:.0%}"]
            for row in patches[:10]
        ],
    )


def _copies(pairs: Sequence[dict[str, Any]]) -> Iterable[str]:
    return [
        f"{pair['first']}, {pair['second']}: {pair['value']:.0%} (limit {pair['limit']:.0%})"
        for pair in pairs
    ]


def _section(title: str, lines: Iterable[str]) -> Iterable[str]:
    content = list(lines)
    return ["", title, *content] if content else []
