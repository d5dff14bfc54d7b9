"""`l4s verify RECEIPT KEY`, `verify-labels LABELS COMMITMENT SALT`, `verify-log LOG [EARLIER]`: no
database, no server."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from evaluation.archive.problems import InvalidArchive
from evaluation.scoring import labels
from evaluation.trust.audit_log import faults
from evaluation.trust.receipts import ReceiptInvalid, commitment, fingerprint, verify

HEX64 = re.compile(r"[0-9a-f]{64}")


def add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "verify", help="check that a server signed a receipt, and say what it states"
    )
    parser.add_argument("receipt", type=Path, metavar="RECEIPT", help="the receipt, a JSON file")
    parser.add_argument(
        "key", type=Path, metavar="KEY", help="the server's public key, saved from /receipts/key"
    )
    parser.set_defaults(run=verify_receipt)


def add_verify_labels(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("verify-labels", help="check labels against the commitment published before")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="folder of masks, or an archive of them")
    parser.add_argument("commitment", type=_digest, metavar="COMMITMENT", help="64 hexadecimal digits")
    parser.add_argument(
        "salt", type=_digest, metavar="SALT", help="64 hexadecimal digits, shown after the end"
    )
    parser.set_defaults(run=verify_labels)


def add_verify_log(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("verify-log", help="check the public log of organisers' acts")
    parser.add_argument("log", type=Path, metavar="LOG", help="the public log, saved from .../trust/log.json")
    parser.add_argument(
        "earlier",
        type=Path,
        nargs="?",
        metavar="EARLIER",
        help="a copy saved earlier: is all of it still there?",
    )
    parser.set_defaults(run=verify_log)


def verify_log(arguments: argparse.Namespace) -> int:
    """Exit code 1 when an entry was changed or taken out."""
    logs = []
    for path in filter(None, (arguments.log, arguments.earlier)):
        try:
            logs.append(json.loads(path.read_text()))
        except (json.JSONDecodeError, UnicodeDecodeError):
            return _report(arguments, False, f"{path} is not a JSON file.", None)
    found = faults(*logs)
    if found:
        return _report(arguments, False, "The log does not hold:\n" + "\n".join(found), {"faults": found})
    facts = {"entries": len(logs[0]["entries"]), "head": logs[0].get("head")}
    return _report(arguments, True, "Every entry matches its digest.", facts)


def verify_receipt(arguments: argparse.Namespace) -> int:
    """Exit code 1 when the receipt cannot be trusted."""
    try:
        receipt = json.loads(arguments.receipt.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError):
        return _report(arguments, False, f"{arguments.receipt} is not a JSON file.", None)
    try:
        pem = arguments.key.read_text(errors="replace")
        statement = verify(receipt, pem)
    except ReceiptInvalid as invalid:
        return _report(arguments, False, str(invalid), None)
    sentence = f"The receipt is genuine: signed by the key with SHA-256 {fingerprint(pem)}."
    return _report(arguments, True, sentence, statement)


def verify_labels(arguments: argparse.Namespace) -> int:
    """Exit code 1 when the labels are not those that were committed to."""
    try:
        packed, spec = labels.load(arguments.labels)
    except InvalidArchive as invalid:
        problems = "\n".join(f"{problem.heading}\n    {problem.message}" for problem in invalid.problems)
        return _report(
            arguments, False, f"The labels in {arguments.labels} cannot be read.\n{problems}", None
        )
    digest = labels.sha256(packed, spec)
    made = commitment(arguments.salt, digest)
    if made == arguments.commitment:
        return _report(arguments, True, "These are the labels that were committed to.", {"sha256": digest})
    sentence = f"These are other labels, or another salt: their commitment is {made}."
    return _report(arguments, False, sentence, {"sha256": digest, "commitment": made})


def _report(
    arguments: argparse.Namespace, valid: bool, sentence: str, facts: dict[str, object] | None
) -> int:
    if arguments.json:
        print(json.dumps({"valid": valid, "message": sentence, "facts": facts}))
    else:
        print(sentence)
        if valid and facts:
            print(json.dumps(facts, indent=2, ensure_ascii=False))
    return 0 if valid else 1


def _digest(text: str) -> str:
    if not HEX64.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError("give 64 hexadecimal digits")
    return text.lower()
