"""A reader process: started by evaluation.sandbox.reader, it forks one confined child for each archive.

It starts as a fresh interpreter with an empty environment and one open socket; it never sees labels,
database, broker or keys, and parses no untrusted byte itself. Before the first request it imports and tries
all that a child will use, since afterwards nothing can be opened: as root it then becomes an unprivileged user.

A child maps the archive and the memory for its answer, closes every file, gives up what evaluation.sandbox.guards
lists, reads, and ends.

There are two such processes. This one has no libhdf5 in it and reads archives of official files: nothing that
could be attacked by HDF5 is there, and a fork costs half. evaluation.sandbox.hdf5_process is this one with
libhdf5, for all other archives.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from operator import setitem

import numpy as np

from evaluation.archive.entries import read_archive
from evaluation.archive.layout import Explain, Layout, Unexplained
from evaluation.archive.names import index_of_names
from evaluation.archive.problems import InvalidArchive
from evaluation.sandbox import guards
from evaluation.sandbox.protocol import (
    ANSWER,
    HEADER,
    MASKS,
    MASKS_AT,
    PROBLEMS,
    REQUEST,
    TRIAL_SPEC,
    UNEXPLAINED,
    Request,
    receive,
    receive_part,
    result_bytes,
    send_part,
)
from evaluation.task import MaskSpec


class ReaderProcess:
    """Answers requests over `connection` until the worker closes its end."""

    def __init__(self, connection: socket.socket, user: int, explain: Explain | None = None) -> None:
        self.connection, self.explain = connection, explain
        self.pid, self.child = os.getpid(), 0
        signal.signal(signal.SIGALRM, self._wall_clock)
        worker = os.getppid()
        self.warm_up()
        self.address_space = guards.address_space()
        system_calls = guards.SystemCallFilter()
        self.system_calls = system_calls if system_calls.works() else None
        self.landlock = guards.confine_reader(user, worker)
        gc.collect()
        gc.freeze()  # what exists is shared with every child; looking for garbage in it would copy it
        gc.disable()

    def serve(self) -> None:
        send_part(
            self.connection,
            json.dumps(guards.held(self.system_calls, self.address_space, self.landlock)).encode(),
        )
        while (answer := self.take()) is not None:
            self.connection.sendall(answer)

    def warm_up(self) -> None:
        _warm_up(self.connection, self.explain)

    def take(self) -> bytes | None:
        """Take a request and have it answered by a child; None when the worker has closed its end."""
        message, fds, _, _ = socket.recv_fds(self.connection, REQUEST.size, 2)
        if len(message) != REQUEST.size or len(fds) != 2:
            return None
        request = Request(*REQUEST.unpack(message))
        head = receive(self.connection, request.head_bytes)
        tail = receive(self.connection, request.tail_bytes)
        spec = MaskSpec(request.patches, request.height, request.width)
        official = Layout(len(head) + spec.pixels + len(tail), head, tail, np.dtype(np.uint8))
        index_of_names(spec)  # once here rather than in every child
        read = partial(self._read, request, spec, official, *fds)
        return self.in_a_child(read, fds, request.cpu_s, request.wall_s)

    def in_a_child(self, read: Callable[[], None], fds: list[int], cpu_s: float, wall_s: float) -> bytes:
        """Have a child do it, kill it at the wall clock, and say how it ended."""
        started = time.process_time()
        self.child, self.out_of_time = 0, False
        signal.setitimer(signal.ITIMER_REAL, wall_s)
        self.child = os.fork()
        if self.child == 0:
            status = 1
            try:
                read()
                status = 0
            finally:
                os._exit(status)
        for fd in fds:
            os.close(fd)
        _, status, usage = os.wait4(self.child, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        cpu = time.process_time() - started + usage.ru_utime + usage.ru_stime
        limited = self.out_of_time or usage.ru_utime + usage.ru_stime >= cpu_s
        from_outside = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and not limited
        return ANSWER.pack(
            status, from_outside, cpu, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        )

    def _wall_clock(self, *_: object) -> None:
        if self.child:
            self.out_of_time = True
            os.kill(self.child, signal.SIGKILL)

    def _read(
        self, request: Request, spec: MaskSpec, official: Layout, archive_fd: int, result_fd: int
    ) -> None:
        """All that a child does: map, give up, read, answer, and end before anything is tidied up."""
        data = mmap.mmap(archive_fd, request.archive_bytes, access=mmap.ACCESS_READ)
        result = mmap.mmap(result_fd, result_bytes(spec.patches, spec.row_bytes))
        os.closerange(0, 256)
        memory = self.address_space + len(data) + len(result) + request.memory_bytes
        guards.confine_child(self.pid, request.cpu_s, memory if self.address_space else 0, self.system_calls)
        out = np.frombuffer(result, np.uint8, offset=MASKS_AT).reshape(spec.packed_shape)

        progress = partial(setitem, memoryview(result)[:8].cast("I"), 1)  # UNFINISHED, index
        try:
            read_archive(memoryview(data), spec, self.explain, official, progress=progress, out=out)
        except Unexplained:
            HEADER.pack_into(result, 0, UNEXPLAINED, 0, 0)
        except InvalidArchive as invalid:
            text = _as_json(invalid)[: MASKS_AT - HEADER.size]
            result[HEADER.size : HEADER.size + len(text)] = text
            HEADER.pack_into(result, 0, PROBLEMS, 0, len(text))
        else:
            HEADER.pack_into(result, 0, MASKS, 0, 0)


def _as_json(invalid: InvalidArchive) -> bytes:
    return json.dumps([problem.as_dict() for problem in invalid.problems]).encode()


def _warm_up(connection: socket.socket, explain: Explain | None) -> None:
    """Use everything a child will need, on archives of our own, so nothing has to be opened later."""
    head, tail, *archives = (receive_part(connection) for _ in range(4))
    official = Layout(len(head) + TRIAL_SPEC.pixels + len(tail), head, tail, np.dtype(np.uint8))
    for archive in archives:
        for spec in (TRIAL_SPEC, MaskSpec(3), MaskSpec(2, 64, 64)):
            try:
                read_archive(archive, spec, explain, official if spec.pixels == TRIAL_SPEC.pixels else None)
            except Unexplained:
                pass
            except InvalidArchive as invalid:
                _as_json(invalid)


def main(explain: Explain | None = None) -> None:
    """Started by evaluation.sandbox.reader with the number of its socket and the user to become."""
    ReaderProcess(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), explain).serve()
