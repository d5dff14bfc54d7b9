"""From a finished run to entries on a leaderboard: its archives, a text about the method, upload, score."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from baseline.methods import METHODS
from baseline.submitting import client


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


def submit(
    connection: httpx.Client,
    phase: dict[str, Any],
    archive: Path,
    name: str,
    text: str,
    reference: bool = False,
    patience: float = 3600,
    show: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Upload an archive and wait for its score, at most `patience` seconds (0 = not at all); tells each new state."""
    submission = client.submit(connection, phase["id"], archive, name, text, reference)
    show(client.describe(submission))
    told = [submission["state"]]

    def tell(answer: dict[str, Any]) -> None:
        if answer["state"] != told[-1]:
            show(client.describe(answer))
            told.append(answer["state"])

    return client.wait(connection, submission, patience, tell) if patience else submission
