"""The same command in several processes, which share out its work by claiming it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from baseline.training.deadline import EXIT_STATUS

_JOB = "LANDSLIDE4SENSE_JOB"
_PR_SET_PDEATHSIG = 1


def is_job() -> bool:
    """Whether this process is one of several that `run_side_by_side` started."""
    return _JOB in os.environ


def run_side_by_side(command: Sequence[str], count: int, options: Mapping[str, Any]) -> int:
    """Run `python -m baseline COMMAND` in `count` processes; its status: 1 if one failed, else that of a deadline, else 0.

    They share the processor's cores, and end with this process, however that ends.
    """
    if "threads" not in options:
        command = [*command, "--threads", str(max(1, (os.cpu_count() or 1) // count))]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "baseline", *command],
            env=os.environ | {_JOB: str(number)},
            preexec_fn=_end_with_parent,
        )
        for number in range(count)
    ]
    try:
        statuses = [process.wait() for process in started]
    except BaseException:
        for process in started:
            process.send_signal(signal.SIGINT)
        for process in started:
            process.wait()
        raise
    if any(status not in (0, EXIT_STATUS) for status in statuses):
        return 1
    return EXIT_STATUS if EXIT_STATUS in statuses else 0


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
