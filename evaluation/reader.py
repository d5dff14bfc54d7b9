"""The worker's handle on the reader process, in which the bytes of strangers are parsed.

The worker itself parses none: it passes the archive on as an open file, waits, and takes back packed masks or
problems. Whatever an archive does to its reader costs that archive the problem "unreadable", and the worker
nothing.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from evaluation import reader_protocol as protocol
from evaluation.counts import Packed
from evaluation.guards import NOBODY
from evaluation.problems import MOST, InvalidArchive, Problem, empty_file, unreadable
from evaluation.spec import MaskSpec

_START = """
import os, sys
os.environ.update(HDF5_PLUGIN_PRELOAD="::", OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
sys.path[:] = sys.argv[3:]
from evaluation.reader_process import main
main()
"""
_START_S = 60.0
_GRACE_S = 5.0  # the reader process kills a child at the wall clock; after this much more it is killed itself


class ReaderNotStarted(RuntimeError):
    """The reader process did not come up: a fault of the installation, never of an archive."""


class Usage(NamedTuple):
    """What the last archive cost: CPU seconds of reader and child, peak memory of the child in bytes."""

    cpu_s: float
    peak_bytes: int


class Reader:
    """Reads archives, one at a time, in a process of its own that starts with the first of them.

    Safe to keep for the life of a worker, to share between threads, and to carry through a fork (the child
    starts its own). `cpu_s` and `wall_s` bound the time for one archive, `memory_bytes` what its reader may
    take beyond archive and result; `user` is whom the reader becomes when this process is root.
    """

    def __init__(
        self,
        *,
        cpu_s: float = 20.0,
        wall_s: float = 60.0,
        memory_bytes: int = 256 << 20,
        user: int = NOBODY,
    ) -> None:
        self.cpu_s, self.wall_s, self.memory_bytes, self.user = cpu_s, wall_s, memory_bytes, user
        self.guards: dict[str, Any] = {}
        self.usage = Usage(0.0, 0)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._answer: SharedAnswer | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """The reader process, if it runs."""
        return self._process.pid if self._process else None

    def read(self, file: BinaryIO | str | PathLike[str] | bytes, spec: MaskSpec) -> Packed:
        """Packed masks of an archive: an open binary file (read from its start), a path, or its bytes.

        The array is read-only. Raises InvalidArchive with every problem, "unreadable" among them; OSError where
        the file cannot be read; ReaderNotStarted if the reader process does not come up.
        """
        archive_fd = _descriptor(file)
        try:
            size = os.fstat(archive_fd).st_size
            if size == 0:
                raise InvalidArchive([empty_file()])
            with self._lock:
                self._own()
                if self._answer is None or self._answer.spec != spec:
                    self._answer = SharedAnswer(spec)
                answer = self._answer
                answer.clear()
                return answer.masks(self._ask(spec, size, [archive_fd, answer.fd]))
        finally:
            os.close(archive_fd)

    def start(self) -> None:
        """Start the reader process now, if it does not run; `read` does it otherwise."""
        with self._lock:
            self._ensure()

    def close(self) -> None:
        """End the reader process; the next `read` starts another."""
        with self._lock:
            self._stop()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _ask(self, spec: MaskSpec, size: int, fds: list[int]) -> int:
        """The wait status of the child that read, or -1 if its reader process was lost, twice."""
        request = protocol.REQUEST.pack(
            spec.patches, spec.height, spec.width, size, self.memory_bytes, self.cpu_s, self.wall_s
        )
        for _ in range(2):  # an idle reader process may have been lost for reasons of its own
            connection = self._ensure()
            try:
                connection.settimeout(self.wall_s + _GRACE_S)
                socket.send_fds(connection, [request], fds)
                status, cpu, peak = protocol.ANSWER.unpack(_receive(connection, protocol.ANSWER.size))
            except TimeoutError:
                self._stop()
                return -1
            except (OSError, EOFError):
                self._stop()
                continue
            self.usage = Usage(cpu, peak)
            return int(status)
        return -1

    def _own(self) -> None:
        """Leave what was carried here through a fork to the process that it belongs to."""
        if self._owner == os.getpid():
            return
        if self._connection:
            self._connection.close()
        if self._process:
            self._process.returncode = 0  # not ours to wait for
        self._process = self._connection = self._answer = None
        self._owner = os.getpid()

    def _ensure(self) -> socket.socket:
        self._own()
        if self._connection is None:
            self._start()
        assert self._connection is not None
        return self._connection

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parent.parent)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-c",
                    _START,
                    str(theirs.fileno()),
                    str(self.user),
                    root,
                    *filter(None, sys.path),
                ],
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
            (length,) = struct.unpack("<I", _receive(ours, 4))
            self.guards = json.loads(_receive(ours, length))
        except (OSError, EOFError) as error:
            said = self._said()
            self._stop()
            raise ReaderNotStarted(f"The reader process did not start: {said or error!r}") from error

    def _said(self) -> str:
        """The last line of what a reader process that failed to start had to say, for the organiser's log."""
        assert self._process is not None
        self._kill()
        said = self._process.communicate()[1].decode(errors="replace").strip()
        return said.rpartition("\n")[2]

    def _stop(self) -> None:
        self._own()
        if self._connection:
            self._connection.close()
        if self._process:
            self._kill()
            self._process.wait()
            if self._process.stderr:
                self._process.stderr.close()
        self._process = self._connection = None

    def _kill(self) -> None:
        """Reader process and child are one group."""
        assert self._process is not None
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self._process.kill()


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError("the reader process ended")
        data += part
    return data


def _shared_memory(size: int, content: bytes | None = None) -> int:
    """A file without a name in memory. Sealed: it keeps its size, and its content if it was given one."""
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryFile() as file:
            file.truncate(size) if content is None else file.write(content)
            file.flush()
            return os.dup(file.fileno())
    fd = os.memfd_create("evaluation", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    if content is None:
        os.ftruncate(fd, size)
    else:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        seals |= fcntl.F_SEAL_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


def _descriptor(file: BinaryIO | str | PathLike[str] | bytes) -> int:
    """A descriptor of our own that can be mapped and only read."""
    if isinstance(file, bytes):
        return _shared_memory(len(file), file)
    if isinstance(file, str | PathLike):
        return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
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
    content = file.read()
    return _shared_memory(len(content), content)


class SharedAnswer:
    """Memory that a child fills with masks or problems, believed only as far as it is checked here.

    It is kept from one archive to the next, since new pages cost more than all else about it, and wiped before
    each. Nobody but the one child that reads maps it, and it is looked at only after that child's end.
    """

    def __init__(self, spec: MaskSpec) -> None:
        self.spec = spec
        size = protocol.result_bytes(spec.patches, spec.row_bytes)
        self.fd = _shared_memory(size)
        self._memory = mmap.mmap(self.fd, size)
        self._cells = np.frombuffer(self._memory, np.uint8)

    def __del__(self) -> None:
        os.close(self.fd)

    def clear(self) -> None:
        self._cells.fill(0)

    def masks(self, status: int) -> Packed:
        """A copy of the masks, read-only, for the child's wait status. Raises InvalidArchive for all but masks."""
        state, index, length = protocol.HEADER.unpack_from(self._memory)
        if status == 0 and state == protocol.MASKS:
            packed = self._cells[protocol.MASKS_AT :].reshape(self.spec.packed_shape).copy()
            packed.setflags(write=False)
            return packed
        if status == 0 and state == protocol.PROBLEMS:
            begin = protocol.HEADER.size
            raise InvalidArchive(_problems(self._memory[begin : min(begin + length, protocol.MASKS_AT)]))
        reading = state == protocol.UNFINISHED and index < self.spec.patches
        raise InvalidArchive([unreadable(self.spec.name(index) if reading else "")])


def _problems(text: bytes) -> list[Problem]:
    """The child's problems if they have the form that ours have."""
    try:
        problems = [Problem(p["code"], p["file"], p["message"]) for p in json.loads(text)]
    except (ValueError, KeyError, TypeError):
        return [unreadable()]
    sound = all(
        isinstance(field, str) and len(field) <= longest and field.isprintable()
        for p in problems
        for field, longest in ((p.file, 100), (p.message, 1000))
    )
    return problems if sound and 0 < len(problems) <= MOST else [unreadable()]
