"""The command `l4s`: check, score and verify offline; submit, wait, list and more on a leaderboard's server."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from typing import NoReturn

from evaluation import __version__
from evaluation.cli import main as offline
from evaluation.trust.receipts import MissingPackage
from l4s.errors import EXIT_CODES, L4SError, WrongUse

from . import account, board, completion, diff, submissions

DESCRIPTION = """\
Check and score archives of masks, submit them to a leaderboard, wait for the score.

The server is the one of --server, of L4S_SERVER, or of the last `l4s login`; the token that of L4S_TOKEN or of the
log-in. Commands that need no server: score, report, verify, verify-labels, verify-log, and check with --patches."""
LOCAL = ("completion",)


class Parser(argparse.ArgumentParser):
    """Raises WrongUse instead of ending the program, so that `--json` holds for it too."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise WrongUse(f"{message[:1].upper()}{message[1:]}.")


def make_parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code:3}  {text}" for code, text in EXIT_CODES.items())
    parser: argparse.ArgumentParser = Parser(
        prog="l4s",
        description=DESCRIPTION,
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"l4s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for room in (account, submissions, diff, board, completion):
        room.add_commands(commands)
    online = set(commands.choices)
    offline.add_commands(commands)
    for name, command in commands.choices.items():
        if name in LOCAL:
            continue
        command.add_argument("--json", action="store_true", help="print one JSON value, errors too")
        command.add_argument("-q", "--quiet", action="store_true", help="print nothing but the result")
        if name in online:
            command.add_argument("--server", metavar="URL", help="such as https://leaderboard.example")
    parser.set_defaults(json=False, quiet=False)
    return parser


def main(argv: list[str] | None = None) -> int:
    """The exit code: `l4s.errors.EXIT_CODES` says which."""
    asked = sys.argv[1:] if argv is None else argv
    arguments = argparse.Namespace(json="--json" in asked)
    try:
        arguments = make_parser().parse_args(asked)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except L4SError as error:
        return _fail(arguments, str(error), error.as_dict())
    except BrokenPipeError:  # `l4s list | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return _fail(arguments, "Interrupted.", {"code": "interrupted", "exit_code": 130})
    except MissingPackage as error:
        return _fail(arguments, str(error), {"code": "not_installed", "exit_code": 2})
    except (OSError, ValueError) as error:
        return _fail(arguments, _sentence(error), {"code": "wrong_use", "exit_code": 2})
    return code


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    return str(error)


def _fail(arguments: argparse.Namespace, sentence: str, error: dict[str, object]) -> int:
    """The sentence to stderr; with --json the error to stdout too."""
    if arguments.json:
        print(json.dumps({"error": {**error, "message": sentence}}, ensure_ascii=False))
    print(f"l4s: {sentence}", file=sys.stderr)
    return int(str(error["exit_code"]))
