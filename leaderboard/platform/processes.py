"""Tie a process to its parent, so that killing the parent with -9 leaves nothing behind."""

import ctypes
import os
import signal
import sys
import threading
import time

SUPERVISOR_VARIABLE = "SUPERVISOR_PID"  # set by leaderboard.platform.supervisor for the programs it starts
PR_SET_PDEATHSIG = 1


def end_with_supervisor() -> None:
    """Where a supervisor started this process: have it killed when the supervisor ends. Elsewhere nothing.

    On Linux the kernel does it at once. It watches the thread that made this process: the supervisor has but one.
    """
    variable = os.environ.get(SUPERVISOR_VARIABLE)
    if not variable:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        _end_without(int(variable))
    else:
        end_with_parent(int(variable))


def end_with_parent(parent: int, poll_seconds: float = 0.5) -> None:
    """Have this process killed when its parent, the process `parent`, ends: a thread looks every `poll_seconds`.

    For children of a process with threads, where the kernel's way would kill them when one of its threads ends.
    """
    threading.Thread(target=_poll, args=(parent, poll_seconds), daemon=True).start()


def _poll(parent: int, poll_seconds: float) -> None:
    while True:
        _end_without(parent)
        time.sleep(poll_seconds)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
