"""Whether a worker reads archives here: behind a system-call filter, without one, or not at all. And alone, if need be."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core import checks

from evaluation.sandbox.guards import SystemCallFilter
from leaderboard.models import Worker

ALONE_SECONDS = 180.0
"""How long to wait for the other workers of this machine to finish what they are reading."""


@lru_cache(maxsize=1)
def confinement() -> Worker.Confinement:
    """What a worker of this machine does."""
    if SystemCallFilter().works():
        return Worker.Confinement.FILTERED
    allowed = settings.SCORE_WITHOUT_FILTER
    return Worker.Confinement.UNFILTERED if allowed else Worker.Confinement.REFUSES


@checks.register(checks.Tags.security, deploy=True)
def check_filter(**_: Any) -> list[checks.CheckMessage]:
    """`manage.py check --deploy` says whether workers of this machine confine what reads archives."""
    state = confinement()
    if state == Worker.Confinement.FILTERED:
        return []
    message = f"A worker on this machine {state.label}."
    hint = "Run workers on Linux (x86-64 or arm64), in containers that allow seccomp filters; see docs/security.md."
    kind = checks.Warning if state == Worker.Confinement.UNFILTERED else checks.Error
    return [kind(message, hint=hint, id="leaderboard.E001" if kind is checks.Error else "leaderboard.W001")]


@contextmanager
def turn(*, alone: bool = False) -> Iterator[None]:
    """Read an archive at the same time as other workers of this machine, or `alone`, to have its memory.

    Raises TimeoutError if the others do not finish.
    """
    with (settings.DATA_DIR / "reading.lock").open("a") as file:
        if not alone:
            fcntl.flock(file, fcntl.LOCK_SH)
        else:
            _wait_for_the_others(file.fileno())
        yield


def _wait_for_the_others(lock: int) -> None:
    end = time.monotonic() + ALONE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > end:
                raise TimeoutError("other workers of this machine do not stop reading archives") from None
            time.sleep(0.05)
