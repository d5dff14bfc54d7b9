"""Files of organisers, read where submissions are read: in confined children, which hand back what they found.

`FileReader` is for processes that hold secrets: labels, images and ZIP archives go through it. The bounds are in
evaluation.sandbox.bounds.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from evaluation.archive.problems import InvalidArchive, Problem, empty_file, from_dicts, unreadable
from evaluation.archive.zip_directory import DEFLATED
from evaluation.sandbox import bounds, protocol, sealed
from evaluation.sandbox.reader import NOT_CONFINED, Handle, Lost, Reader, ReaderKilled, ReaderNotConfined
from evaluation.sandbox.sealed import Sealed, seal
from evaluation.scoring import labels
from evaluation.scoring.counts import Packed
from evaluation.task import TASK, MaskSpec

_MODULE = "evaluation.sandbox.files_process"
_TEXT_ROOM = 64 << 10
_LINES_AT_ONCE = 1 << 20
"""Bytes of JSON lines for one child, if no line is longer."""
_JSON_GROWS = 8
"""JSON written again is at most so many times as large: 1e15 becomes 1000000000000000.0."""
_UNSAFE = "It could not be read safely."


class FileRefused(ValueError):
    """Why a file cannot be used: one sentence for the person who chose it."""


class Entry(NamedTuple):
    """A file in a ZIP archive: its stored bytes lie at start:stop of the archive."""

    name: str
    start: int
    stop: int
    method: int
    crc: int
    size: int


class FileReader:
    """Reads one file at a time, in processes of its own that `close` ends. `user`, `confined`: as for Reader."""

    def __init__(self, *, user: int | None = None, confined: bool = False) -> None:
        chosen = {} if user is None else {"user": user}
        self._masks = Reader(confined=confined, **chosen)
        self._handle: Handle | None = None

    def __enter__(self) -> FileReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self._masks.close()
        self._end()

    @property
    def guards(self) -> dict[str, Any]:
        """Which guards hold in its process."""
        return self._started().guards

    def labels(
        self, source: str | os.PathLike[str] | BinaryIO | bytes, spec: MaskSpec | None = None
    ) -> tuple[Packed, MaskSpec]:
        """Labels as evaluation.scoring.labels.load gives them: from a folder, an archive's path, open file or bytes.

        Raises InvalidArchive, OSError, and where nothing can be read ReaderNotStarted or ReaderKilled.
        """
        with labels.opened(source) as file, seal(file) as archive:
            if not archive.size:
                raise InvalidArchive([empty_file()])
            spec = spec or self._described(archive)
            labels.check_bounds(spec)
            packed = self._masks.read(archive, spec)
        labels.check_positive(packed)
        return packed, spec

    def _described(self, archive: Sealed) -> MaskSpec:
        try:
            found = json.loads(self._ask("describe", archive.fd, archive.size, {}, _TEXT_ROOM))
            return MaskSpec(*(int(found[name]) for name in ("patches", "height", "width")))
        except FileRefused as refusal:
            raise InvalidArchive([unreadable()]) from refusal

    def stored_masks(self, file: BinaryIO, spec: MaskSpec) -> Packed:
        """Packed masks from what evaluation.scoring.labels.compress made of them. Raises FileRefused."""
        labels.check_bounds(spec)
        with seal(file) as content:
            if not content.size:
                raise FileRefused("It is empty.")
            found = self._ask("stored", content.fd, content.size, {}, spec.patches * spec.row_bytes)
        return np.frombuffer(found, np.uint8).reshape(spec.packed_shape)

    def toml(self, content: bytes) -> dict[str, Any]:
        """A TOML document, as tomllib reads it. Raises FileRefused."""
        if len(content) > bounds.TEXT_BYTES:
            raise FileRefused(f"It has {len(content):,} bytes; at most {bounds.TEXT_BYTES:,} are taken.")
        if not content:
            return {}
        for number, line in enumerate(content.splitlines(), 1):
            if line.count(b".") > bounds.LINE_DOTS:
                raise FileRefused(f"Line {number:,} has more than {bounds.LINE_DOTS:,} dots.")
        with seal(io.BytesIO(content)) as text:
            found = self._ask("toml", text.fd, text.size, {}, 4 * bounds.TEXT_BYTES)
        try:
            return json.loads(found, object_hook=_time_or_table)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileRefused(_UNSAFE) from error

    def json(self, content: bytes) -> Any:
        """A JSON document. Raises FileRefused."""
        (document,) = self._json(content, whole=True)
        return document

    def json_lines(self, file: BinaryIO) -> Iterator[Any]:
        """The documents of a file that holds one a line. Raises FileRefused."""
        most, number, lines, size = bounds.LINE_BYTES, 0, [], 0
        while line := file.readline(most + 1):
            number += 1
            if number > bounds.LINES:
                raise FileRefused(f"It has more than {bounds.LINES:,} lines.")
            if len(line) > most:
                raise FileRefused(f"Line {number:,} is longer than {most:,} bytes.")
            lines.append(line)
            size += len(line)
            if size >= _LINES_AT_ONCE:
                yield from self._json(b"".join(lines), whole=False)
                lines, size = [], 0
        if lines:
            yield from self._json(b"".join(lines), whole=False)

    def _json(self, content: bytes, *, whole: bool) -> list[Any]:
        with seal(io.BytesIO(content)) as text:
            room = max(_JSON_GROWS * text.size, _TEXT_ROOM)
            found = self._ask("json_lines", text.fd, text.size, {"whole": whole}, room)
        lines = found.splitlines()
        expected = 1 if whole else len(content.splitlines())
        if len(lines) != expected or any(bounds.json_values(line) > bounds.LINE_VALUES for line in lines):
            raise FileRefused(_UNSAFE)
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError) as error:
            raise FileRefused(_UNSAFE) from error

    def images(self, folder: Path, spec: MaskSpec) -> dict[str, list[bytes]]:
        """The images of a folder as PNG files, by the key of each of TASK.composites, in order. Raises FileRefused and OSError."""
        pictures: dict[str, list[bytes]] = {composite.key: [] for composite in TASK.composites}
        values = spec.pixels * len(TASK.bands)
        most = values * bounds.IMAGE_BYTES_A_VALUE + bounds.IMAGE_OVERHEAD
        room = len(TASK.composites) * (4 * spec.pixels + _TEXT_ROOM)
        for number in range(1, spec.patches + 1):
            path = folder / TASK.image_name(number)
            if not path.is_file():
                raise FileRefused(f"{path} is missing: one image for each of 1 to {spec.patches} is needed.")
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                if not 0 < size <= most:
                    raise FileRefused(
                        f"{path} has {size:,} bytes; an image of this phase has at most {most:,}."
                    )
                wanted = {"height": spec.height, "width": spec.width}
                try:
                    made = self._ask("image", file.fileno(), size, wanted, room)
                except FileRefused as refusal:
                    raise FileRefused(f"{path}: {refusal}") from refusal
            for composite, picture in zip(TASK.composites, protocol.split(made), strict=True):
                pictures[composite.key].append(picture)
        return pictures

    def directory(self, file: BinaryIO) -> list[Entry]:
        """The files of a ZIP archive (folders left out), none of whose names leads anywhere. Raises FileRefused."""
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise FileRefused("The file is empty.")
        room = bounds.ENTRIES * (bounds.NAME_CHARACTERS * 4 + 64)
        columns, names = protocol.split(self._ask("directory", file.fileno(), size, {}, room))
        numbers = np.frombuffer(columns, np.int64).reshape(5, -1)
        texts = names.decode().split("\n") if names else []
        if len(texts) != numbers.shape[1] or len(texts) > bounds.ENTRIES:
            raise FileRefused(unreadable().message)
        return [Entry(name, *map(int, row)) for name, row in zip(texts, numbers.T, strict=True)]

    @contextmanager
    def member(self, file: BinaryIO, entry: Entry) -> Iterator[BinaryIO]:
        """The content of a member, open for reading; it lies on the disk, not in memory. Raises FileRefused."""
        if entry.method != DEFLATED:
            with os.fdopen(os.dup(file.fileno()), "rb") as source:
                yield io.BufferedReader(_Part(source, entry.start, entry.stop))
            return
        with tempfile.TemporaryFile() as target:
            room = max(entry.size, _TEXT_ROOM)
            target.truncate(protocol.HEADER.size + room)
            params = {name: getattr(entry, name) for name in ("start", "stop", "crc", "size")}
            size = os.fstat(file.fileno()).st_size
            try:
                self._run("inflate", file.fileno(), size, params, target.fileno(), room)
            except FileRefused as refusal:
                raise FileRefused(f"{entry.name}: {refusal}") from refusal
            begin = protocol.HEADER.size
            yield io.BufferedReader(_Part(target, begin, begin + entry.size))

    def unpack(self, file: BinaryIO, folder: Path) -> list[Path]:
        """Write the files of a ZIP archive into an empty folder; returns their paths. Raises FileRefused and OSError."""
        made = []
        for entry in self.directory(file):
            path = folder / entry.name
            path.parent.mkdir(parents=True, exist_ok=True)
            with self.member(file, entry) as content, path.open("xb") as target:
                while chunk := content.read(1 << 20):
                    target.write(chunk)
            made.append(path)
        return made

    def _ask(self, job: str, fd: int, size: int, params: dict[str, Any], room: int) -> bytes:
        """The bytes that a child answers, at most `room`."""
        answer = sealed.room(protocol.HEADER.size + room)
        try:
            return self._run(job, fd, size, params, answer, room, copy=True)
        finally:
            os.close(answer)

    def _run(
        self,
        job: str,
        fd: int,
        size: int,
        params: dict[str, Any],
        answer: int,
        room: int,
        *,
        copy: bool = False,
    ) -> bytes:
        text = json.dumps(params).encode()
        limits = (size, room, bounds.MEMORY_BYTES, bounds.CPU_S, bounds.WALL_S)
        message = protocol.JOB.pack(job.encode(), *limits, len(text)) + text
        status = self._status(message, [fd, answer])
        with mmap.mmap(answer, protocol.HEADER.size + room) as memory:
            state, _, length = protocol.HEADER.unpack_from(memory)
            said = memory[protocol.HEADER.size : protocol.HEADER.size + min(length, _TEXT_ROOM)]
            if status == 0 and state == protocol.DONE and length <= room:
                return memory[protocol.HEADER.size : protocol.HEADER.size + length] if copy else b""
        if status == 0 and state == protocol.PROBLEMS:
            raise InvalidArchive(_problems(said))
        if status == 0 and state == protocol.REFUSED:
            sentence = said[:2000].decode("utf-8", "replace")
            raise FileRefused("".join(c if c.isprintable() else "?" for c in sentence))
        raise FileRefused(
            "It could not be read safely: reading it failed or exceeded the limits on time and memory."
        )

    def _status(self, message: bytes, fds: list[int]) -> int:
        """The wait status of the child that read; -1 if it ran out of time. Tried again if it was killed from outside."""
        for last_try in (False, True):
            try:
                return self._started().ask(message, fds, bounds.WALL_S)[0]
            except TimeoutError:
                self._end()
                return -1
            except Lost as error:
                self._end()
                if last_try:
                    raise ReaderKilled(
                        "The process that reads files was killed twice, and not by us: is memory short?"
                    ) from error
            except BaseException:
                self._end()
                raise
        raise AssertionError

    def _started(self) -> Handle:
        if self._handle is None:
            self._handle = Handle(_MODULE, self._masks.user)
            if self._masks.confined and not self._handle.guards["system_calls"]:
                self._end()
                raise ReaderNotConfined(NOT_CONFINED)
        return self._handle

    def _end(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


def _time_or_table(found: dict[str, Any]) -> Any:
    if set(found) != {protocol.TOML_TIME}:
        return found
    kind, text = found[protocol.TOML_TIME]
    return {each.__name__: each for each in (datetime, date, time)}[kind].fromisoformat(text)


def _problems(text: bytes) -> list[Problem]:
    with suppress(ValueError, KeyError, TypeError):
        if found := from_dicts(json.loads(text)):
            return found
    return [unreadable()]


class _Part(io.RawIOBase):
    """Bytes start:stop of an open file."""

    def __init__(self, file: BinaryIO, start: int, stop: int) -> None:
        self._file, self._start, self._at, self._stop = file, start, start, stop

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._at, os.SEEK_END: self._stop}[whence]
        self._at = min(max(self._start, base + offset), self._stop)
        return self._at - self._start

    def readinto(self, buffer: Any) -> int:
        content = os.pread(self._file.fileno(), min(len(buffer), self._stop - self._at), self._at)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)
