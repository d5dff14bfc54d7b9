"""From a finished run to entries on a leaderboard: its archives, a text about the method, upload, score."""

import getpass
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baseline.methods import METHODS
from l4s import Client, credentials
from l4s.text import describe


def description(folder: Path) -> str:
    """A method text for the board: what the method is, and what makes this run."""
    saved = json.loads((folder / "options.json").read_text())
    made = json.loads((folder / "provenance.json").read_text())
    name, options = saved["method"], saved["options"]
    data = ", ".join(f"{split} {digest[:12]}" for split, digest in made.get("data_sha256", {}).items())
    chosen = ", ".join(f"{k} {v}" for k, v in options.items())
    return (
        f"{METHODS[name]}. Trained by `python -m baseline train {name}`, code {made['code']}, torch {made['versions']['torch']}, "
        f"{made['seconds']:.0f} s on {made['machine']}, data SHA-256 {data}.\n{chosen}"
    )


def connect(server: str, token: str | None) -> Client:
    """A client of the leaderboard at `server`; without a token with that of L4S_TOKEN, of `l4s login`, or one asked for."""
    address = credentials.server(server)
    token = token or credentials.token(address)
    if not token and not sys.stdin.isatty():
        raise ValueError("No API token: put yours into the variable L4S_TOKEN, or run `python -m l4s login`.")
    return Client(address, token or getpass.getpass("API token: "))


def submit(
    client: Client,
    phase: dict[str, Any],
    archive: Path,
    name: str,
    text: str,
    reference: bool = False,
    patience: float = 3600,
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Upload an archive and wait for its score, at most `patience` seconds (0 = not at all); tells each new state."""
    submission = client.submit(archive, phase=phase["id"], method=name, description=text, reference=reference)
    show(describe(submission))
    told = [submission["state"]]

    def tell(answer: dict[str, Any]) -> None:
        if answer["state"] != told[-1]:
            show(describe(answer))
            told.append(answer["state"])

    return client.wait(submission, patience, tell) if patience else submission
