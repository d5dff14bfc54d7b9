"""The worker's handle on the reader process, in which untrusted bytes are parsed.

The worker itself parses none: it passes the archive on as an open file, waits, and takes back packed masks or
problems. Whatever an archive does to its reader costs that archive the problem "unreadable", and the worker
nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Hashable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from evaluation.archive.hdf5 import official_layout
from evaluation.archive.mask_zip import trial_archives
from evaluation.archive.problems import (
    MOST,
    MOST_NAMED,
    InvalidArchive,
    Problem,
    empty_file,
    from_dicts,
    unreadable,
)
from evaluation.sandbox import bounds, sealed
from evaluation.sandbox import protocol as protocol
from evaluation.sandbox.guards import NOBODY
from evaluation.sandbox.sealed import Sealed
from evaluation.scoring.counts import Packed
from evaluation.task import MaskSpec

_START = """
import os, sys
os.environ.update(HDF5_PLUGIN_PRELOAD="::", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
sys.path[:] = sys.argv[4:]
from importlib import import_module
import_module(sys.argv[3]).main()
"""
_MODULES = ("evaluation.sandbox.process", "evaluation.sandbox.hdf5_process")  # tried in this order
_ASKED_AGAIN = (
    16  # of so many archives of one sender the first reader is asked once, whatever the last one was
)
_MOST_MET = 10_000  # senders
_START_S = 60.0
_MOST_KEPT = 16 << 20  # bytes of shared memory that a reader keeps between archives
_GRACE_S = 5.0  # the reader process kills a child at the wall clock; after this much more it is killed itself


NOT_CONFINED = (
    "The kernel does not filter system calls here (seccomp), so an archive could attack this machine. Use Linux on "
    "x86-64 or arm64, and a container that allows filters."
)


class ReaderNotStarted(RuntimeError):
    """The reader process did not come up: a fault of the installation, never of an archive."""


class ReaderNotConfined(ReaderNotStarted):
    """This machine gives no system-call filter, and the reader was asked not to read without one."""


class ReaderKilled(RuntimeError):
    """The system or a person killed the reader, twice: for instance because memory ran out. Not the archive's fault."""


class Usage(NamedTuple):
    """What the last archive cost: CPU seconds of reader processes and children, peak memory of a child in bytes."""

    cpu_s: float
    peak_bytes: int


class Lost(Exception):
    """The reader process, or its child, was killed from outside."""


class Handle:
    """One reader process: light (evaluation.sandbox.process) or with libhdf5 (evaluation.sandbox.hdf5_process)."""

    def __init__(self, module: str, user: int) -> None:
        root = str(Path(__file__).resolve().parents[2])
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(user), module, root, *filter(None, sys.path)]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START, *arguments],
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self._connection = ours
        ours.settimeout(_START_S)
        try:
            official = official_layout(protocol.TRIAL_SPEC)
            for part in (official.head, official.tail, *trial_archives(protocol.TRIAL_SPEC)):
                protocol.send_part(ours, part)
            self.guards: dict[str, Any] = json.loads(protocol.receive_part(ours))
        except (OSError, EOFError) as error:
            said = self._end().rpartition("\n")[2]
            raise ReaderNotStarted(f"The reader process did not start: {said or error!r}") from error

    def ask(self, message: bytes, fds: list[int], wall_s: float) -> tuple[int, Usage]:
        """The wait status of the child that read, and what it cost. Raises TimeoutError, or Lost if the child or this
        process was killed by someone else than us."""
        try:
            self._connection.settimeout(wall_s + _GRACE_S)
            socket.send_fds(self._connection, [message], fds)
            status, from_outside, cpu_s, peak = protocol.ANSWER.unpack(
                protocol.receive(self._connection, protocol.ANSWER.size)
            )
        except TimeoutError:
            raise
        except (OSError, EOFError) as error:
            raise Lost from error
        if from_outside:
            raise Lost
        return status, Usage(cpu_s, peak)

    def close(self) -> None:
        self._end()

    def forget(self) -> None:
        """Let go of a process that was carried here through a fork and belongs to the parent."""
        self._connection.close()
        self.process.returncode = 0

    def _end(self) -> str:
        """Kill reader process and child, which are one group; what was said on stderr."""
        self._connection.close()
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                with suppress(PermissionError):  # another user's: it ends when the connection does
                    self.process.kill()
        return self.process.communicate()[1].decode(errors="replace").strip()


class Reader:
    """Reads archives, one at a time, in processes of its own that start when they are first needed.

    Safe to keep for the life of a worker, to share between threads, and to carry through a fork (the child
    starts its own). `cpu_s` and `wall_s` bound the time for one archive, `memory_bytes` what its reader may
    take beyond archive and result; `user` is whom the reader becomes when this process is root. With `confined`
    it reads only where the kernel filters system calls.
    """

    def __init__(
        self,
        *,
        cpu_s: float = bounds.CPU_S,
        wall_s: float = bounds.WALL_S,
        memory_bytes: int = bounds.MEMORY_BYTES,
        user: int = NOBODY,
        confined: bool = False,
    ) -> None:
        self.confined = confined
        self.cpu_s, self.wall_s, self.memory_bytes, self.user = cpu_s, wall_s, memory_bytes, user
        self.usage = Usage(0.0, 0)
        self._lock = threading.Lock()
        self._handles: dict[str, Handle] = {}
        self._answer: SharedAnswer | None = None
        self._met: dict[Hashable, int] = {}
        self._owner = os.getpid()

    @property
    def pids(self) -> list[int]:
        """The reader processes that run."""
        return [handle.process.pid for handle in self._handles.values()]

    @property
    def guards(self) -> list[dict[str, Any]]:
        """Which guards hold in each reader process that runs."""
        return [handle.guards for handle in self._handles.values()]

    def read(
        self, file: Sealed | BinaryIO | str | PathLike[str] | bytes, spec: MaskSpec, sender: Hashable = None
    ) -> Packed:
        """Packed masks of an archive: a sealed copy, an open binary file (read from its start), a path, or its bytes.

        `sender`: who made it, if known. Whose last archive had another layout than the official one will send such
        files again: the reader that explains layouts is asked at once, the other one only now and then.

        The array is read-only. Raises InvalidArchive with every problem, "unreadable" among them; OSError where
        the file cannot be read; ReaderNotStarted if a reader process does not come up (ReaderNotConfined if that is
        for the want of a system-call filter); ReaderKilled if it was killed from outside, twice.
        """
        archive_fd = _descriptor(file)
        try:
            size = os.fstat(archive_fd).st_size
            if size == 0:
                raise InvalidArchive([empty_file()])
            with self._lock:
                self._own()
                self.usage = Usage(0.0, 0)
                for module in self._in_turn(sender):
                    answer, status = self._ask(module, spec, size, archive_fd)
                    if not (status == 0 and answer.unexplained()):
                        break
                self._remember(sender, module)
                if answer.size > _MOST_KEPT:
                    self._answer = None
                return answer.masks(status)
        finally:
            os.close(archive_fd)

    def _in_turn(self, sender: Hashable) -> tuple[str, ...]:
        return _MODULES[-1:] if self._met.get(sender, 0) % _ASKED_AGAIN else _MODULES

    def _remember(self, sender: Hashable, module: str) -> None:
        """Count the archives in a row of this sender that needed the last reader."""
        met = self._met.pop(sender, 0)
        if sender is not None and module == _MODULES[-1]:
            self._met[sender] = met + 1
            if len(self._met) > _MOST_MET:
                del self._met[next(iter(self._met))]

    def start(self) -> None:
        """Start the reader processes now; `read` does it otherwise."""
        with self._lock:
            self._own()
            for module in _MODULES:
                self._handle(module)

    def close(self) -> None:
        """End the reader processes; the next `read` starts others."""
        with self._lock:
            self._own()
            for module in list(self._handles):
                self._handles.pop(module).close()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask(self, module: str, spec: MaskSpec, size: int, archive_fd: int) -> tuple[SharedAnswer, int]:
        """The answer of the child that read and its wait status, or -1 if that could not be had."""
        official = official_layout(spec)
        lengths = (len(official.head), len(official.tail), size, self.memory_bytes)
        request = protocol.Request(spec.patches, spec.height, spec.width, *lengths, self.cpu_s, self.wall_s)
        message = protocol.REQUEST.pack(*request) + official.head + official.tail
        for last_try in (
            False,
            True,
        ):  # the first may have been lost while it was idle, or for want of memory
            handle, answer = self._handle(module), self._cleared(spec)
            try:
                status, usage = handle.ask(message, [archive_fd, answer.fd], self.wall_s)
            except (
                BaseException
            ) as error:  # a task's time limit or Ctrl-C too: an answer may still be on its way
                for name in list(self._handles):  # all of them: the second try has more room
                    self._handles.pop(name).close()
                self._answer = None  # a child that is just being killed may still write to it
                if isinstance(error, TimeoutError):
                    break
                if not isinstance(error, Lost):
                    raise
                if last_try:
                    raise ReaderKilled(
                        "The process that reads archives was killed twice, and not by us: is memory short?"
                    ) from error
            else:
                self.usage = Usage(
                    self.usage.cpu_s + usage.cpu_s, max(self.usage.peak_bytes, usage.peak_bytes)
                )
                return answer, status
        return answer, -1

    def _own(self) -> None:
        """Leave what was carried here through a fork to the process that it belongs to."""
        if self._owner != os.getpid():
            for handle in self._handles.values():
                handle.forget()
            self._handles, self._answer, self._owner = {}, None, os.getpid()

    def _handle(self, module: str) -> Handle:
        if module not in self._handles:
            handle = Handle(module, self.user)
            if self.confined and not handle.guards["system_calls"]:
                handle.close()
                raise ReaderNotConfined(NOT_CONFINED)
            self._handles[module] = handle
        return self._handles[module]

    def _cleared(self, spec: MaskSpec) -> SharedAnswer:
        if self._answer is None or self._answer.spec != spec:
            self._answer = SharedAnswer(spec)
        self._answer.clear()
        return self._answer


def _descriptor(file: Sealed | BinaryIO | str | PathLike[str] | bytes) -> int:
    """A descriptor of our own that can be mapped and only read."""
    if isinstance(file, Sealed):
        return os.dup(file.fd)
    if isinstance(file, bytes):
        return sealed.holding(file)
    if isinstance(file, str | PathLike):
        fd = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise OSError(errno.EINVAL, "This is not a regular file", str(file))
    try:
        fd = file.fileno()
        plain = (
            stat.S_ISREG(os.fstat(fd).st_mode)
            and fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        )
        if plain:
            return os.dup(fd)
    except (AttributeError, OSError):
        pass
    file.seek(0)
    return sealed.holding(file.read())


class SharedAnswer:
    """Memory that a child fills with masks or problems, believed only as far as it is checked here.

    It is kept from one archive to the next, since new pages cost more than all else about it, and wiped before
    each. Nobody but the one child that reads maps it, and it is looked at only after that child's end.
    """

    def __init__(self, spec: MaskSpec) -> None:
        self.spec = spec
        self.size = protocol.result_bytes(spec.patches, spec.row_bytes)
        self.fd = sealed.room(self.size)
        self._memory = mmap.mmap(self.fd, self.size)
        self._cells = np.frombuffer(self._memory, np.uint8)

    def __del__(self) -> None:
        os.close(self.fd)

    def clear(self) -> None:
        self._cells.fill(0)

    def unexplained(self) -> bool:
        """True if the child met a file whose layout it does not know."""
        state, _, _ = protocol.HEADER.unpack_from(self._memory)
        return bool(state == protocol.UNEXPLAINED)

    def masks(self, status: int) -> Packed:
        """A copy of the masks, read-only, for the child's wait status. Raises InvalidArchive for all but masks."""
        state, index, length = protocol.HEADER.unpack_from(self._memory)
        if status == 0 and state == protocol.MASKS:
            packed = self._cells[protocol.MASKS_AT :].reshape(self.spec.packed_shape).copy()
            packed.setflags(write=False)
            return packed
        if status == 0 and state == protocol.PROBLEMS:
            begin = protocol.HEADER.size
            raise InvalidArchive(
                _problems(
                    self._memory[begin : min(begin + length, protocol.MASKS_AT)], self.spec.most_entries
                )
            )
        reading = state == protocol.UNFINISHED and index < self.spec.patches
        raise InvalidArchive([unreadable(self.spec.name(index) if reading else "")])


def _problems(text: bytes, most: int) -> list[Problem]:
    """The child's problems if they have the form that ours have, in at most `most` files each."""
    try:
        problems = from_dicts(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return [unreadable()]
    sound = all(
        isinstance(field, str) and len(field) <= longest and field.isprintable()
        for p in problems
        for field, longest in ((p.file, 100), (p.message, 1000), *((name, 100) for name in p.files))
    ) and all(type(p.count) is int and 0 < p.count <= most and len(p.files) <= MOST_NAMED for p in problems)
    return problems if sound and 0 < len(problems) <= MOST else [unreadable()]
