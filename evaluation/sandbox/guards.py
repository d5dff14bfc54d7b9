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
from typing import NamedTuple

NOBODY = 65534

_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SECCOMP_MODE_FILTER = 2
_PR_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, _CAP_SETUID, _CAPABILITY_VERSION = 47, 4, 7, 0x20080522
_LANDLOCK_CREATE, _LANDLOCK_RESTRICT = 444, 446  # the same on every architecture
_LIBC = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *values: object) -> bool:
    """True if the kernel accepted it; other systems than Linux have no such call."""
    if not _LINUX:
        return False
    arguments = list(values) + [ctypes.c_ulong(0)] * (4 - len(values))
    return _LIBC.prctl(option, *arguments) == 0


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


class Architecture(NamedTuple):
    """A processor's number in the kernel's audit, and its numbers of system calls."""

    audit: int
    allowed: dict[str, int]
    never_executable: dict[str, int]
    foreign_from: int | None = None  # calls from this number on belong to another ABI (x32)


ARCHITECTURES = {
    "x86_64": Architecture(
        0xC000003E,
        {
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
        },
        {"mmap": 9, "mprotect": 10},
        foreign_from=0x40000000,
    ),
    "aarch64": Architecture(
        0xC00000B7,
        {
            "munmap": 215,
            "brk": 214,
            "rt_sigreturn": 139,
            "sched_yield": 124,
            "mremap": 216,
            "madvise": 233,
            "exit": 93,
            "futex": 98,
            "clock_gettime": 113,
            "exit_group": 94,
            "getrandom": 278,
        },
        {"mmap": 222, "mprotect": 226},
    ),
}
"""What a child may still ask of the kernel: memory, time and the end."""
KILL, EPERM, ALLOW = 0x80000000, 0x00050001, 0x7FFF0000


def filter_code(machine: Architecture) -> list[tuple[int, int, int, int]]:
    """The seccomp program: (code, jump if true, jump if false, value). Other calls than the allowed fail with EPERM,
    those of another architecture kill; no memory becomes executable."""
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    code = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 1, 0, machine.audit),
        (give, 0, 0, KILL),
        (load, 0, 0, 0),  # seccomp_data.nr
    ]
    if machine.foreign_from is not None:
        code += [(at_least, 0, 1, machine.foreign_from), (give, 0, 0, KILL)]
    for number in machine.allowed.values():
        code += [(equal, 0, 1, number), (give, 0, 0, ALLOW)]
    for number in machine.never_executable.values():
        code += [
            (equal, 0, 4, number),
            (load, 0, 0, 32),  # low half of the third argument: protection
            (any_bit, 1, 0, mmap.PROT_EXEC),
            (give, 0, 0, ALLOW),
            (give, 0, 0, EPERM),
        ]
    return [*code, (give, 0, 0, EPERM)]


class SystemCallFilter:
    """The filter of this machine's architecture (Linux on x86-64 and arm64)."""

    def __init__(self) -> None:
        machine = ARCHITECTURES.get(platform.machine()) if _LINUX else None
        code = filter_code(machine) if machine else []
        self._known = machine is not None
        self._code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in code))
        self._program = _Program(len(code), ctypes.addressof(self._code))

    def set(self) -> bool:
        """Confine this process for the rest of its life; True if the kernel did."""
        return _prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), ctypes.byref(self._program))

    def works(self) -> bool:
        """Tried in a child of our own, since a container may forbid it and another system has none."""
        if not self._known:
            return False
        child = os.fork()
        if child == 0:
            _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
            self.set()
            os._exit(0 if os.getppid() == -1 else 1)  # refused, as it should be
        return os.waitpid(child, 0)[1] == 0


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


def landlock() -> int:
    """Take away from this process and its children, for good: every file that is not open yet, TCP (from version 4),
    signals to and abstract sockets of all other processes (from 6), and tracing them. The version of Landlock that
    the kernel offers; 0 without it."""
    if not _LINUX:
        return 0
    version = _LIBC.syscall(ctypes.c_long(_LANDLOCK_CREATE), None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return 0
    files = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    rules = _Ruleset(files, 0b11 if version >= 4 else 0, 0b11 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    handle = _LIBC.syscall(
        ctypes.c_long(_LANDLOCK_CREATE), ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0)
    )
    if handle < 0:
        return 0
    held = _LIBC.syscall(ctypes.c_long(_LANDLOCK_RESTRICT), ctypes.c_int(handle), ctypes.c_uint32(0)) == 0
    os.close(handle)
    return int(version) if held else 0


def hide_memory() -> bool:
    """Keep other processes of the same user from tracing this one and from reading its memory; True if the kernel did.

    For a worker: it holds labels and keys. The next program that it starts is not affected.
    """
    return _prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(0))


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
    """Become `user` for good where this process may (root, or the capability to change its user; a container can forbid
    both), and give up every capability."""
    if os.geteuid() == 0 or _may_change_user():
        with suppress(OSError):
            os.setgroups([])
        with suppress(OSError):
            os.setgid(user)
            os.setuid(user)
    if os.geteuid() != 0:
        _drop_capabilities()


def _may_change_user() -> bool:
    """Whether this process has CAP_SETUID without being root: a worker started by setpriv, as in the compose file."""
    try:
        with open("/proc/self/status") as file:
            effective = next((line for line in file if line.startswith("CapEff:")), "CapEff: 0")
    except OSError:
        return False
    return bool(int(effective.split()[1], 16) >> _CAP_SETUID & 1)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def _drop_capabilities() -> None:
    """Changing from one user to another that is not root keeps them, other than a change from root."""
    _prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_CAP_AMBIENT_CLEAR_ALL))
    if _LINUX:
        header, none = _CapabilityHeader(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
        _LIBC.capset(ctypes.byref(header), ctypes.byref(none))


def confine_reader(user: int, parent: int) -> int:
    """What the reader process gives up once it has everything open that it needs. Ends it without its parent.

    The version of Landlock that holds, 0 for none.
    """
    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_FSIZE", 0)
    drop_privileges(user)
    _prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))
    hide_memory()
    _die_with(parent)  # after the change of user, which clears it
    return landlock()


def confine_child(parent: int, cpu_s: float, memory: int, system_calls: SystemCallFilter | None) -> None:
    """What a child of `parent` gives up for good, after archive and answer are mapped and all files closed.

    `memory` is its address space in bytes, 0 for no limit.
    """
    _die_with(parent)
    limit("RLIMIT_NOFILE", 0)
    limit("RLIMIT_NPROC", 0)
    soft = max(1, round(cpu_s))
    limit("RLIMIT_CPU", soft, soft + 1)  # SIGXCPU at the first, so that SIGKILL means something else
    if memory:
        limit("RLIMIT_AS", memory)
    if system_calls:
        system_calls.set()


def _die_with(parent: int) -> None:
    """Have the kernel end this process when the parent ends; at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def held(system_calls: SystemCallFilter | None, memory: int, landlock: int) -> dict[str, object]:
    """Which guards hold on this machine, for logs and tests."""
    return {
        "user": os.geteuid(),
        "system_calls": system_calls is not None,
        "landlock": landlock,
        "memory": memory > 0,
        "dies_with_parent": _LINUX,
    }
