"""A reader process whose children do what a file tells them, as if an attacker had taken them over.

A file is "b'act argument'"; what the act came to is told as a problem of code hdf5_damaged.
"""

import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import time

from evaluation.archive.hdf5 import SIGNATURE, explain
from evaluation.archive.layout import InvalidMask
from evaluation.sandbox import process as reader_process

HELD = []


def act(content, spec):
    if content.startswith(SIGNATURE):
        return explain(content, spec)
    verb, _, argument = content.decode().partition(" ")
    try:
        outcome = ACTS[verb](argument)
    except (OSError, MemoryError, ValueError) as error:
        outcome = f"refused: {type(error).__name__}"
    refusal = InvalidMask("hdf5_damaged")
    refusal.message = str(outcome)
    raise refusal


def spin(_):
    while True:
        pass


def stubborn(_):
    """Ignore the signal of the soft limit where that is still allowed."""
    try:
        signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    except OSError:
        pass
    spin(_)


def grow(_):
    while True:
        HELD.append(bytearray(1 << 20))
        HELD[-1][::4096] = b"x" * 256


def execute(_):
    os.execv(sys.executable, [sys.executable, "-c", "1"])


def executable_memory(_):
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    return "got it"


def kill_parent(_):
    os.kill(os.getppid(), signal.SIGKILL)
    return "done"


def raise_limit(_):
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    return "done"


ACTS = {
    "crash": lambda _: ctypes.string_at(0),
    "exit": lambda code: os._exit(int(code)),
    "spin": spin,
    "stubborn": stubborn,
    "sleep": lambda s: time.sleep(float(s)) or "slept",
    "grow": grow,
    "open": lambda path: os.open(path, os.O_RDONLY),
    "write": lambda path: os.open(path, os.O_WRONLY | os.O_CREAT),
    "list": lambda path: os.listdir(path),
    "unlink": lambda path: os.unlink(path) or "done",
    "socket": lambda _: socket.socket(),
    "fork": lambda _: os.fork(),
    "execute": execute,
    "executable": executable_memory,
    "kill": kill_parent,
    "limit": raise_limit,
    "say": lambda _: os.write(1, b"x"),
    "setuid": lambda _: os.setuid(0) or "done",
    "environment": lambda _: dict(os.environ),
    "user": lambda _: os.getuid(),
    "remember": lambda text: HELD.append(text) or HELD,
}


def main():
    reader_process.main(act)
