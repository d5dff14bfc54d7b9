"""check, submit, list, show, withdraw, select, download, receipt."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from evaluation.cli import main as offline
from evaluation.cli.tables import table
from evaluation.task import MaskSpec
from evaluation.trust.receipts import ReceiptInvalid
from l4s import Client
from l4s.errors import ReceiptForged
from l4s.operations import FINAL, spec_of
from l4s.text import describe, percent

from .account import day
from .output import connect, progress_bar, remark, show

BY_STATE = {"scored": 0, "invalid": 1, "failed": 8}


def add_commands(commands: Any) -> None:
    check = commands.add_parser("check", help="say what is wrong with an archive, all problems at once")
    check.add_argument("archive", type=Path, metavar="FILE")
    add_format(check)
    check.set_defaults(run=run_check)
    _add_submit(commands)
    listing = commands.add_parser("list", help="your team's submissions, newest first")
    listing.add_argument("--phase", metavar="NAME", help="of this phase")
    listing.add_argument("--state", choices=["queued", "scoring", *FINAL], help="in this state")
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (50); 0: all")
    listing.set_defaults(run=run_list)
    for name, run, text in (
        ("show", run_show, "one submission: state, scores, problems"),
        ("withdraw", run_withdraw, "take submissions off the board, where the phase allows it"),
        ("select", run_select, "let submissions count, where the phase lets teams choose"),
        ("download", run_download, "save the archive of a submission"),
        ("receipt", run_receipt, "the signed receipt of a score"),
    ):
        parser = commands.add_parser(name, help=text)
        several = name in ("withdraw", "select")
        parser.add_argument("submission", type=int, metavar="ID", nargs="+" if several else None)
        parser.set_defaults(run=run)
    show_one, select, save, receipt = (
        commands.choices[name] for name in ("show", "select", "download", "receipt")
    )
    _add_wait(show_one)
    select.add_argument("--off", action="store_true", help="they count no longer")
    save.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to (submission-ID.zip)")
    receipt.add_argument("-o", "--output", type=Path, metavar="FILE", help="save it")
    receipt.add_argument("--verify", action="store_true", help="check the signature with the server's key")


def add_format(parser: argparse.ArgumentParser) -> None:
    """What an archive must hold: from a phase of the server, or said here."""
    parser.add_argument(
        "--phase", metavar="NAME", help="read number and size of the masks from the server (the open phase)"
    )
    parser.add_argument("--patches", type=int, metavar="N", help="number of masks; the server is not asked")
    parser.add_argument(
        "--size", type=offline.size, default=(128, 128), metavar="HxW", help="pixels of a mask (128x128)"
    )


def _add_submit(commands: Any) -> None:
    parser = commands.add_parser("submit", help="upload an archive; sent again, it stays one submission")
    parser.add_argument("archive", type=Path, metavar="FILE")
    parser.add_argument("--phase", metavar="NAME", help="PHASE, COMPETITION/PHASE or number (the open one)")
    parser.add_argument("--method", required=True, metavar="NAME", help="as the board shows it")
    parser.add_argument("--description", default="", metavar="TEXT", help="of the method")
    parser.add_argument("--link", default="", metavar="URL", help="to paper or code")
    parser.add_argument(
        "--attempt", default="", metavar="WORD", help="another word makes another submission of the same file"
    )
    parser.add_argument("--reference", action="store_true", help="as the organisers' own entry, unranked")
    _add_wait(parser)
    parser.set_defaults(run=run_submit)


def _add_wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait", action="store_true", help="until there is a score; the exit code says which end"
    )
    parser.add_argument(
        "--timeout", type=float, default=3600, metavar="S", help="wait at most S seconds (3600)"
    )


def spec(arguments: argparse.Namespace) -> MaskSpec:
    """What the archive must hold, by the options of `add_format`."""
    if arguments.patches is not None:
        return MaskSpec(arguments.patches, *arguments.size)
    with connect(arguments) as client:
        return spec_of(client.phase(arguments.phase))


def run_check(arguments: argparse.Namespace) -> int:
    wanted = spec(arguments)
    arguments.patches, arguments.size = wanted.patches, (wanted.height, wanted.width)
    return offline.check(arguments)


def run_submit(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        with progress_bar(arguments, arguments.archive.name) as progress:
            made = client.submit(
                arguments.archive,
                phase=arguments.phase,
                method=arguments.method,
                description=arguments.description,
                link=arguments.link,
                reference=arguments.reference,
                attempt=arguments.attempt,
                progress=progress,
            )
        return _finish(arguments, client, made, str(made["id"]))


def run_show(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.show(arguments.submission)
        return _finish(arguments, client, found, "\n".join(_details(found)))


def _finish(arguments: argparse.Namespace, client: Client, submission: dict[str, Any], text: str) -> int:
    """Wait, if that was asked for, and print; the exit code says how it ended."""
    if not arguments.wait:
        show(
            arguments,
            submission,
            text if arguments.quiet or arguments.run is run_show else describe(submission),
        )
        return 0
    if submission["state"] not in FINAL:
        remark(arguments, describe(submission))

    def news(latest: dict[str, Any]) -> None:
        if latest["state"] not in FINAL:
            remark(arguments, describe(latest))

    done = client.wait(submission, arguments.timeout, news)
    show(arguments, done, describe(done))
    return BY_STATE[done["state"]]


def _details(submission: dict[str, Any]) -> list[str]:
    facts = [
        ("method", submission["method"]),
        ("team", submission["team"]),
        ("received", f"{day(submission['received_at'])} UTC"),
        ("file", f"{submission['original_name']}, {submission['size']:,} bytes"),
        ("SHA-256", submission["sha256"]),
        ("withdrawn", submission["withdrawn_at"] and f"{day(submission['withdrawn_at'])} UTC"),
        ("disqualified", submission["disqualified_at"] and submission["disqualified_reason"]),
        ("selected", "yes" if submission["selected"] else ""),
    ]
    return [describe(submission), *(f"  {name:12}  {value}" for name, value in facts if value)]


def run_list(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        found = client.submissions(
            phase=arguments.phase, state=arguments.state, limit=arguments.limit or None
        )
    rows = [
        [
            each["id"],
            day(each["received_at"]),
            "withdrawn" if each["withdrawn_at"] else each["state"],
            percent(each["f1"]) or "–",
            percent(each["precision"]) or "–",
            percent(each["recall"]) or "–",
            each["method"],
        ]
        for each in found
    ]
    header = ["id", "received", "state", "F1", "precision", "recall", "method"]
    show(arguments, found, table(header, rows) or "There is no submission.")
    return 0


def run_withdraw(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        done = [client.withdraw(number) for number in arguments.submission]
    show(arguments, done, [f"Submission {each['id']} is withdrawn." for each in done])
    return 0


def run_select(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        done = [client.select(number, not arguments.off) for number in arguments.submission]
    word = "no longer counts" if arguments.off else "counts"
    show(arguments, done, [f"Submission {each['id']} {word}." for each in done])
    return 0


def run_download(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client, progress_bar(arguments, f"submission {arguments.submission}") as bar:
        path = client.download(arguments.submission, arguments.output, bar)
    show(arguments, {"submission": arguments.submission, "file": str(path)}, str(path))
    return 0


def run_receipt(arguments: argparse.Namespace) -> int:
    """The receipt itself is the output; what is said about it goes to stderr."""
    with connect(arguments) as client:
        try:
            get = client.verify if arguments.verify else client.receipt
            found = get(arguments.submission)
        except ReceiptInvalid as invalid:
            raise ReceiptForged(str(invalid)) from invalid
    text = json.dumps(found, indent=2, ensure_ascii=False)
    if arguments.output:
        arguments.output.write_text(text + "\n")
        text = str(arguments.output)
    if arguments.verify:
        remark(arguments, "The receipt is genuine: the server's key signed it.")
    show(arguments, found, text)
    return 0
