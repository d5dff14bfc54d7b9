"""Tie a process to its parent, so that killing the parent with -9 leaves nothing behind."""

import ctypes
import os
import signal
import sys
import threading
import time

PR_SET_PDEATHSIG = 1


def end_with_parent(number: int = signal.SIGKILL, poll_seconds: float = 1.0) -> None:
    """Have this process receive the signal `number` when its parent ends, however that happened.

    Linux does it in the kernel. Elsewhere a thread looks at the parent's id. A parent that ended before this call is
    noticed as well.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), number)
        return
    threading.Thread(target=_watch, args=(parent, number, poll_seconds), daemon=True).start()


def _watch(parent: int, number: int, poll_seconds: float) -> None:
    while os.getppid() == parent:
        time.sleep(poll_seconds)
    os.kill(os.getpid(), number)
