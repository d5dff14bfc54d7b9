"""Tie a process to its parent, so that killing the parent with -9 leaves no children behind."""

import ctypes
import os
import signal
import sys
import threading
import time

SUPERVISOR_VARIABLE = "SUPERVISOR_PID"  # set by leaderboard.platform.supervisor for its child processes
PR_SET_PDEATHSIG = 1


def end_with_supervisor() -> None:
    """If a supervisor started this process, kill it when the supervisor ends; otherwise do nothing.

    On Linux the kernel does this at once. It watches the parent's thread, and the supervisor has only one.
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
    """Kill this process when its parent, the process `parent`, ends: a thread checks every `poll_seconds`.

    For children of multi-threaded processes, which the kernel's way would kill when one thread ends.
    """
    threading.Thread(target=_poll, args=(parent, poll_seconds), daemon=True).start()


def _poll(parent: int, poll_seconds: float) -> None:
    while True:
        _end_without(parent)
        time.sleep(poll_seconds)


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
