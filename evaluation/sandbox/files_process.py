"""The reader process for organisers' files: one confined child for each question of evaluation.sandbox.files.

A job reads a mapped file, writes its answer into shared memory, and returns how many bytes that are. It refuses a file
by InvalidArchive (problems of labels) or Refused (a sentence).
"""

from __future__ import annotations

import io
import json
import mmap
import os
import socket
import sys
import tomllib
from collections.abc import Callable
from datetime import date, time
from typing import Any

import h5py
import numpy as np

from evaluation.archive.layout import inflater
from evaluation.archive.problems import InvalidArchive, Problem, printable
from evaluation.archive.zip_directory import read_directory
from evaluation.report import pictures
from evaluation.sandbox import bounds, guards, protocol
from evaluation.sandbox.process import ReaderProcess
from evaluation.scoring import labels
from evaluation.task import TASK

Job = Callable[[memoryview, dict[str, Any], memoryview], int]
_CHUNK = 1 << 20


class Refused(Exception):
    """Why a file cannot be used, as a sentence."""


def describe(data: memoryview, _: dict[str, Any], out: memoryview) -> int:
    """Number and size of the masks in an archive of labels, as JSON."""
    spec = labels.describe(data)
    return _put(
        out, json.dumps({"patches": spec.patches, "height": spec.height, "width": spec.width}).encode()
    )


def image(data: memoryview, params: dict[str, Any], out: memoryview) -> int:
    """The pictures of an image, PNG files in the order of TASK.composites."""
    try:
        made = pictures.composites(bytes(data), params["height"], params["width"])
    except pictures.ImageError as error:
        raise Refused(str(error)) from error
    return _put(out, protocol.join(made))


def directory(data: memoryview, _: dict[str, Any], out: memoryview) -> int:
    """The files of an archive: a table of numbers (start, stop, method, crc, size), and their names, one a line."""
    try:
        found = read_directory(data, bounds.ENTRIES)
    except InvalidArchive as invalid:
        raise Refused(_said(invalid.problems[0])) from invalid
    names = [_plain(name) for name in found.names]
    files = [i for i, name in enumerate(names) if name and not name.endswith("/")]
    for i in files:
        if i in found.faults:
            raise Refused(f"{printable(found.names[i])} in the ZIP archive: {found.faults[i].message}")
        if found.sizes[i] > bounds.MEMBER_BYTES:
            raise Refused(
                f"{names[i]} would have {found.sizes[i]:,} bytes; a file may have at most {bounds.MEMBER_BYTES:,}."
            )
    inflated = sum(found.sizes[i] for i in files if found.methods[i])
    if inflated > bounds.INFLATED_BYTES:
        raise Refused(
            f"The ZIP archive would unpack to {inflated:,} bytes; at most {bounds.INFLATED_BYTES:,} are taken."
        )
    seen: dict[str, str] = {}
    for i in files:
        other = seen.setdefault(names[i].casefold(), names[i])
        if other is not names[i]:
            raise Refused(f"The ZIP archive holds {names[i]} twice (or as {other}).")
    columns = (found.starts, found.stops, found.methods, found.crcs, found.sizes)
    table = np.array([[column[i] for i in files] for column in columns], np.int64).reshape(5, -1)
    return _put(out, protocol.join([table.tobytes(), "\n".join(names[i] for i in files).encode()]))


def inflate(data: memoryview, params: dict[str, Any], out: memoryview) -> int:
    """A deflated member, checked against its size and checksum; nothing but a window of it is held."""
    stream, crc, at = inflater.decompressobj(-15), 0, 0
    rest: Any = b""
    source, stop = params["start"], params["stop"]
    try:
        while not stream.eof:
            if not rest:
                rest = data[source : min(source + _CHUNK, stop)]
                source += len(rest)
            content = stream.decompress(rest, _CHUNK)  # without input too: it may still hold output back
            rest = stream.unconsumed_tail
            if not content and not rest and source >= stop:
                break
            if at + len(content) > params["size"]:
                raise Refused("it is larger than the archive states.")
            out[at : at + len(content)] = content
            crc, at = inflater.crc32(content, crc), at + len(content)
    except inflater.error as error:
        raise Refused("its compressed bytes are damaged.") from error
    if not stream.eof or at != params["size"] or crc != params["crc"]:
        raise Refused("its size or checksum is not what the archive states.")
    return at


def stored(data: memoryview, _: dict[str, Any], out: memoryview) -> int:
    """Packed masks as labels.compress stores them, inflated: exactly as many bytes as the answer has room for."""
    stream = inflater.decompressobj()
    try:
        content = stream.decompress(data, len(out) + 1)
    except inflater.error as error:
        raise Refused("its compressed bytes are damaged.") from error
    if len(content) != len(out) or not stream.eof or stream.unused_data:
        raise Refused("it does not hold masks of the size that its label set has.")
    return _put(out, content)


def toml(data: memoryview, _: dict[str, Any], out: memoryview) -> int:
    """A TOML document as JSON. Times become {TOML_TIME: [kind, ISO 8601]}."""
    try:
        document = tomllib.loads(bytes(data).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise Refused("It is not UTF-8 text.") from error
    except RecursionError as error:
        raise Refused("This is not valid TOML: it is nested too deeply.") from error
    except ValueError as error:  # of numbers too
        raise Refused(f"This is not valid TOML: {str(error)[:500]}.") from error

    def told(value: date | time) -> dict[str, list[str]]:
        return {protocol.TOML_TIME: [type(value).__name__, value.isoformat()]}

    return _put(out, json.dumps(document, default=told, ensure_ascii=False).encode())


def json_lines(data: memoryview, params: dict[str, Any], out: memoryview) -> int:
    """JSON again, a document a line: of the lines, or of the whole file where params["whole"]."""
    at = 0
    for text in [bytes(data)] if params["whole"] else bytes(data).splitlines():
        if bounds.json_values(text) > bounds.LINE_VALUES:
            raise Refused(f"One line holds more than {bounds.LINE_VALUES:,} values.")
        try:
            line = json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        except RecursionError as error:
            raise Refused("This is not JSON that can be read: it is nested too deeply.") from error
        except ValueError as error:  # of half a character of UTF-16 too
            raise Refused("This is not JSON.") from error
        at += _put(out[at:], line)
    return at


JOBS: dict[str, Job] = {
    job.__name__: job for job in (describe, image, directory, inflate, stored, toml, json_lines)
}


def _said(problem: Problem) -> str:
    if problem.code == "too_many_entries":
        return f"The ZIP archive lists too many files; at most {bounds.ENTRIES:,} are taken."
    if problem.code == "overlapping_entries":
        return "Two entries of the ZIP archive share bytes: it would unpack to more than it holds."
    return (
        problem.message if problem.code.startswith("not_a_zip") else "The ZIP archive is cut off or damaged."
    )


def _plain(name: bytes) -> str:
    """A member's name, if it stays in the folder into which it would be unpacked."""
    try:
        text = name.decode()
    except UnicodeDecodeError:
        text = ""
    parts = text.removesuffix("/").split("/")
    ok = text.isprintable() and "\\" not in text and ":" not in text and len(text) <= bounds.NAME_CHARACTERS
    if not ok or any(part.strip(" .") == "" for part in parts):
        raise Refused(
            f"The name {printable(name)!r} in the ZIP archive could lead out of a folder or cannot be shown."
        )
    return text


def _put(out: memoryview, answer: bytes) -> int:
    if len(answer) > len(out):
        raise Refused("it holds more than is taken.")
    out[: len(answer)] = answer
    return len(answer)


class FilesProcess(ReaderProcess):
    """Answers jobs in children of its own."""

    def warm_up(self) -> None:
        _head, _tail, *archives = (protocol.receive_part(self.connection) for _ in range(4))
        room = memoryview(bytearray(1 << 20))
        trial = io.BytesIO()
        with h5py.File(trial, "w") as file:
            file[TASK.image_dataset] = np.zeros((8, 8, len(TASK.bands)))
        for archive in archives:
            describe(memoryview(archive), {}, room)
            directory(memoryview(archive), {}, room)
            found = read_directory(memoryview(archive), 9)
            numbers = (found.starts[0], found.stops[0], found.crcs[0], found.sizes[0])
            inflate(
                memoryview(archive), dict(zip(("start", "stop", "crc", "size"), numbers, strict=True)), room
            )
        image(memoryview(trial.getvalue()), {"height": 8, "width": 8}, room)
        masks = labels.compress(np.zeros((1, 8), np.uint8))
        stored(memoryview(masks), {}, memoryview(bytearray(8)))
        toml(
            memoryview(b"a = [2026-01-01T00:00:00Z, 07:00:00, 1.5e3, 'b']\n[[c]]\nd.e = {f = true}"), {}, room
        )
        json_lines(memoryview('{"a": [1, 2.5, "ä", null]}\n[true]\n'.encode()), {"whole": False}, room)
        jobs: list[tuple[Job, bytes]] = [(image, b"x"), (describe, b"x"), (directory, b"PK"), (stored, b"x")]
        for job, data in [*jobs, (toml, b"="), (json_lines, b"=")]:
            _answered(job, memoryview(data), {"height": 8, "width": 8, "whole": True}, room)

    def take(self) -> bytes | None:
        message, fds, _, _ = socket.recv_fds(self.connection, protocol.JOB.size, 2)
        if len(message) != protocol.JOB.size or len(fds) != 2:
            return None
        name, size, room, memory, cpu_s, wall_s, length = protocol.JOB.unpack(message)
        params = json.loads(protocol.receive(self.connection, length))

        def child() -> None:
            data = mmap.mmap(fds[0], size, access=mmap.ACCESS_READ)
            answer = mmap.mmap(fds[1], protocol.HEADER.size + room)
            os.closerange(0, 256)
            most = self.address_space + len(data) + len(answer) + memory
            guards.confine_child(self.pid, cpu_s, most if self.address_space else 0, self.system_calls)
            out = memoryview(answer)[protocol.HEADER.size :]
            state, done = _answered(JOBS[name.rstrip(b"\0").decode()], memoryview(data), params, out)
            protocol.HEADER.pack_into(answer, 0, state, 0, done)

        return self.in_a_child(child, fds, cpu_s, wall_s)


def _answered(job: Job, data: memoryview, params: dict[str, Any], out: memoryview) -> tuple[int, int]:
    """The state and length of a job's answer, or of its refusal."""
    try:
        return protocol.DONE, job(data, params, out)
    except InvalidArchive as invalid:
        state, text = (
            protocol.PROBLEMS,
            json.dumps([problem.as_dict() for problem in invalid.problems]).encode(),
        )
    except Refused as refusal:
        state, text = protocol.REFUSED, str(refusal).encode()
    text = text[: len(out)]
    out[: len(text)] = text
    return state, len(text)


def main() -> None:
    FilesProcess(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])).serve()
