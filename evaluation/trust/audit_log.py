"""The public part of a server's log of acts: each entry holds the SHA-256 of the one before and its own.

Anyone can check a saved copy: every entry against its digest, and a later copy against an earlier one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

COVERED = ("previous", "at", "actor_name", "act", "subject", "reason", "details", "public")


def digest_of(entry: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the entry's `COVERED` values, in this order, as canonical JSON; `at` is in ISO 8601."""
    body = [entry[name] for name in COVERED]
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def faults(log: Any, earlier: Any = None) -> list[str]:
    """The faults of a log as the server publishes it (`{"head": ..., "entries": [...]}`), in words; empty if it is
    intact. `earlier`: a copy saved before, of which every entry must still be there."""
    try:
        entries, known = log["entries"], earlier["entries"] if earlier else []
        wrong = [_name(entry) for entry in entries if entry["digest"] != digest_of(entry)]
        found = [f"{name} does not match its digest" for name in wrong]
        return found + _lost([entry["digest"] for entry in entries], known)
    except (KeyError, TypeError) as error:
        return [f"This is not a public log: {type(error).__name__} at {error}"]


def _lost(digests: Sequence[str], known: Sequence[Mapping[str, Any]]) -> list[str]:
    """Entries of an earlier copy that are missing, and whether the order has changed."""
    there = set(digests)
    found = [
        f"{_name(entry)} was there earlier and is gone" for entry in known if entry["digest"] not in there
    ]
    kept = [entry["digest"] for entry in known if entry["digest"] in there]
    if kept != digests[: len(kept)]:
        found.append("entries stand before or between those that were there earlier")
    return found


def _name(entry: Mapping[str, Any]) -> str:
    return f"the entry of {entry['at']}, {entry['act']}: {entry['subject']},"
