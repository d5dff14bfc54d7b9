"""board: a phase's leaderboard, once, as CSV, or as it changes."""

from __future__ import annotations

import argparse
import json
import sys
from time import sleep
from typing import Any

from evaluation.cli.tables import table
from l4s.errors import WrongUse
from l4s.text import percent

from .account import day
from .output import connect, show

PAUSE = 5.0  # seconds between two questions of --watch: what the API asks for
COLUMNS = ["kind", "rank", "team", "method", "f1", "precision", "recall", "entries", "date"]


def add_commands(commands: Any) -> None:
    parser = commands.add_parser("board", help="the leaderboard of a phase")
    parser.add_argument("phase", nargs="?", metavar="PHASE", help="PHASE or COMPETITION/PHASE (the open one)")
    parser.add_argument(
        "--csv", action="store_true", help="the whole board as the server's CSV, scores as fractions of 1"
    )
    parser.add_argument("--watch", action="store_true", help="print it again whenever it changes")
    parser.set_defaults(run=run_board)


def run_board(arguments: argparse.Namespace) -> int:
    if arguments.csv and arguments.json:
        raise WrongUse("Choose one of --csv and --json.")
    with connect(arguments) as client:
        number = client.phase(arguments.phase)["id"]
        ask = client.board_csv_if_changed if arguments.csv else client.board_if_changed
        etag = ""
        while True:
            found, etag = ask(number, etag)
            if found is not None:
                _print(arguments, found)
            if not arguments.watch:
                return 0
            sys.stdout.flush()
            sleep(PAUSE)


def _print(arguments: argparse.Namespace, board: Any) -> None:
    if arguments.csv:
        sys.stdout.write(board.replace("\r\n", "\n"))
    elif arguments.watch and arguments.json:
        print(json.dumps(board, ensure_ascii=False))  # one line for each change
    else:
        show(arguments, board, "\n".join(lines(board)))


def entries(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All rows of a board alike; a published entry's name stands for its team."""
    published = [{**row, "team": row["name"]} for row in board["published"]]
    kinds = {"ranked": board["rows"], "reference": board["reference"], "published": published}
    return [
        {name: row.get(name) for name in COLUMNS} | {"kind": kind}
        for kind, rows in kinds.items()
        for row in rows
    ]


def lines(board: dict[str, Any]) -> list[str]:
    """A board as text."""
    header = ["rank", "team", "F1", "precision", "recall", "entries", "date (UTC)"]
    rows = [
        [
            row["rank"] or row["kind"],
            row["method"] if row["kind"] == "reference" else row["team"],
            percent(row["f1"]) or "–",
            percent(row["precision"]) or "–",
            percent(row["recall"]) or "–",
            "" if row["entries"] is None else row["entries"],
            day(row["date"]),
        ]
        for row in entries(board)
    ]
    notes = [board["data_note"]] if board["data_note"] else []
    notes += ["The phase hides its board for now."] if board["hidden"] else []
    notes += ["The board stands still until the end of the phase."] if board["frozen"] else []
    return [*(table(header, rows) or ["Nobody is on the board yet."]), *notes]
