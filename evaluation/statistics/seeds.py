"""Reproducible random numbers."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(phase: str, snapshot: str, purpose: str) -> np.random.Generator:
    """Random numbers fixed by SHA-256 of the phase's id, the snapshot's hash and what they are for, so that
    anyone with the counts gets the same report."""
    digest = hashlib.sha256("\n".join((phase, snapshot, purpose)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
