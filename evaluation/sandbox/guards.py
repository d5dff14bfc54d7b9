"""What a process gives up before it parses untrusted bytes."""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import resource
import signal
import struct
import sys
from contextlib import suppress

NOBODY = 65534

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_LIBC = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *values: object) -> bool:
    """True if the kernel accepted it; other systems than Linux have no such call."""
    if not _LINUX:
        return False
    arguments = list(values) + [ctypes.c_ulong(0)] * (4 - len(values))
    return _LIBC.prctl(option, *arguments) == 0


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


class SystemCallFilter:
    """Memory, time and the end: what a child may still ask of the kernel (x86-64 Linux only).

    All other calls fail with EPERM; another architecture's calls kill. Nothing becomes executable.
    """

    _ARCHITECTURE = 0xC000003E  # AUDIT_ARCH_X86_64
    _X32 = 0x40000000
    _ALLOWED = {
        "munmap": 11,
        "brk": 12,
        "rt_sigreturn": 15,
        "sched_yield": 24,
        "mremap": 25,
        "madvise": 28,
        "exit": 60,
        "futex": 202,
        "clock_gettime": 228,
        "exit_group": 231,
        "getrandom": 318,
    }
    _NEVER_EXECUTABLE = {"mmap": 9, "mprotect": 10}
    _PROT_EXEC = 4
    _KILL, _EPERM, _ALLOW = 0x80000000, 0x00050001, 0x7FFF0000

    def __init__(self) -> None:
        load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
        code = [
            (load, 0, 0, 4),  # seccomp_data.arch
            (equal, 1, 0, self._ARCHITECTURE),
            (give, 0, 0, self._KILL),
            (load, 0, 0, 0),  # seccomp_data.nr
            (at_least, 0, 1, self._X32),
            (give, 0, 0, self._KILL),
        ]
        for number in self._ALLOWED.values():
            code += [(equal, 0, 1, number), (give, 0, 0, self._ALLOW)]
        for number in self._NEVER_EXECUTABLE.values():
            code += [
                (equal, 0, 4, number),
                (load, 0, 0, 32),  # low half of the third argument: protection
                (any_bit, 1, 0, self._PROT_EXEC),
                (give, 0, 0, self._ALLOW),
                (give, 0, 0, self._EPERM),
            ]
        code.append((give, 0, 0, self._EPERM))
        self._code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in code))
        self._program = _Program(len(code), ctypes.addressof(self._code))

    def set(self) -> bool:
        """Confine this process for the rest of its life; True if the kernel did."""
        return _prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(self._program))

    def works(self) -> bool:
        """Tried in a child of our own, since a container may forbid it and another system has none."""
        if not _LINUX or platform.machine() != "x86_64":
            return False
        child = os.fork()
        if child == 0:
            _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
            self.set()
            os._exit(0 if os.getppid() == -1 else 1)  # refused, as it should be
        return os.waitpid(child, 0)[1] == 0


def limit(kind: str, soft: int, hard: int | None = None) -> bool:
    """Set a resource limit where the system has it; a hard limit can only sink."""
    number = getattr(resource, kind, None)
    if number is None:
        return False
    try:
        resource.setrlimit(number, (soft, soft if hard is None else hard))
    except (ValueError, OSError):
        return False
    return True


def address_space() -> int:
    """Bytes of address space in use; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 0


def drop_privileges(user: int) -> None:
    """Become `user` for good if this process is root, and may (a container can forbid it)."""
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
        with suppress(OSError):
            os.setgid(user)
            os.setuid(user)


def confine_reader(user: int, parent: int) -> None:
    """What the reader process gives up once it has everything open that it needs. Ends it without its parent."""
    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_FSIZE", 0)
    drop_privileges(user)
    _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    _prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0))
    _die_with(parent)  # last: a change of user clears it


def confine_child(parent: int, cpu_s: float, memory: int, system_calls: SystemCallFilter | None) -> None:
    """What a child of `parent` gives up for good, after archive and answer are mapped and all files closed.

    `memory` is its address space in bytes, 0 for no limit.
    """
    _die_with(parent)
    limit("RLIMIT_NOFILE", 0)
    limit("RLIMIT_NPROC", 0)
    limit("RLIMIT_CPU", max(1, round(cpu_s)))
    if memory:
        limit("RLIMIT_AS", memory)
    if system_calls:
        system_calls.set()


def _die_with(parent: int) -> None:
    """Have the kernel end this process when the parent ends; at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def held(system_calls: SystemCallFilter | None, memory: int) -> dict[str, object]:
    """Which guards hold on this machine, for logs and tests."""
    return {
        "user": os.geteuid(),
        "system_calls": system_calls is not None,
        "memory": memory > 0,
        "dies_with_parent": _LINUX,
    }
