"""The ZIP of an export: files with their checksums, the same bytes for the same content."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from evaluation.sandbox import bounds
from evaluation.sandbox.files import Entry, FileRefused
from leaderboard.scoring.confined import file_reader

FORMAT = "landslide4sense-leaderboard-competition"
VERSION = 1
MANIFEST = "manifest.json"
CHECKSUMS = "SHA256SUMS"
CHUNK = 1 << 20
BEGINNING_OF_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same content gives the same bytes


class ExportInvalid(Exception):
    """The file is not an export, or a part of it was damaged or changed; names the part."""


def as_json(value: Any) -> str:
    """One line, keys in order: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass
class Package:
    """An export being written. Every file goes through ``add``, so that none lacks a checksum."""

    path: Path
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __enter__(self) -> "Package":
        self.zip = zipfile.ZipFile(self.path, "x", zipfile.ZIP_DEFLATED)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        self.zip.close()
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def add(self, name: str, content: bytes | str | Iterable[bytes], *, compressed: bool = True) -> None:
        """Add a file from bytes, text or chunks of bytes; a name that is there already is refused."""
        if name in self.files:
            raise ValueError(f"{name} is in the export already.")
        if isinstance(content, str):
            content = content.encode()
        chunks = [content] if isinstance(content, bytes) else content
        info = zipfile.ZipInfo(name, BEGINNING_OF_ZIP_TIME)
        info.compress_type = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        digest, size = hashlib.sha256(), 0
        with self.zip.open(info, "w", force_zip64=True) as target:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                target.write(chunk)
        self.files[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def add_lines(self, name: str, rows: Iterable[dict[str, Any]]) -> int:
        """Add rows as one JSON object a line; returns their number."""
        number = 0

        def lines() -> Iterator[bytes]:
            nonlocal number
            for row in rows:
                number += 1
                yield as_json(row).encode() + b"\n"

        self.add(name, lines())
        return number

    def finish(self, about: dict[str, Any]) -> str:
        """Write checksums and manifest; returns the SHA-256 of the contents: of what SHA256SUMS lists."""
        sums = "".join(f"{entry['sha256']}  {name}\n" for name, entry in sorted(self.files.items()))
        contents = hashlib.sha256(sums.encode()).hexdigest()
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            **about,
            "contents_sha256": contents,
            "files": self.files,
        }
        for name, text in (
            (CHECKSUMS, sums),
            (MANIFEST, json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)),
        ):
            info = zipfile.ZipInfo(name, BEGINNING_OF_ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            self.zip.writestr(info, text)
        return contents


class OpenedPackage:
    """An export being read. A confined process reads the ZIP; opening it checks every file against its checksum.

    Raises ExportInvalid, OSError, and CannotRead where this machine cannot read files safely.
    """

    def __init__(self, path: Path) -> None:
        self._open = ExitStack()
        try:
            self._file: BinaryIO = self._open.enter_context(path.open("rb"))
            self.reader = self._open.enter_context(file_reader())
            self._entries = {entry.name: entry for entry in self._directory(path)}
            self.manifest = self._manifest(path)
            self._check()
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> "OpenedPackage":
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def _directory(self, path: Path) -> list[Entry]:
        try:
            return self.reader.directory(self._file)
        except FileRefused as refusal:
            raise ExportInvalid(f"{path} is not an export of a competition: {refusal}") from refusal

    def _manifest(self, path: Path) -> dict[str, Any]:
        """The manifest, if this program can read what it describes."""
        entry = self._entries.get(MANIFEST)
        if entry is None or entry.size > bounds.LINE_BYTES:
            raise ExportInvalid(f"{path} is not an export of a competition.")
        try:
            manifest = self.reader.json(self.read(MANIFEST))
        except FileRefused as refusal:
            raise ExportInvalid(f"{MANIFEST} in the export cannot be read: {refusal}") from refusal
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ExportInvalid(f"{path} is not an export of a competition.")
        if manifest.get("version") != VERSION:
            raise ExportInvalid(
                f"{path} has version {manifest.get('version')} of the format; this program reads version {VERSION}."
            )
        files = manifest.get("files")
        sound = isinstance(files, dict) and all(
            isinstance(entry, dict) and isinstance(entry.get("sha256"), str) for entry in files.values()
        )
        if not sound or not all(
            isinstance(manifest.get(key), str) for key in ("competition", "contents_sha256")
        ):
            raise ExportInvalid(f"The manifest of {path} is incomplete.")
        return manifest

    def _check(self) -> None:
        files = self.manifest["files"]
        there = set(self._entries) - {MANIFEST, CHECKSUMS}
        if missing := sorted(set(files) - there):
            raise ExportInvalid(
                f"{missing[0]} is missing from the export, and {len(missing) - 1} other files."
            )
        if surplus := sorted(there - set(files)):
            raise ExportInvalid(f"{surplus[0]} is in the export but not in its manifest.")
        for name, entry in files.items():
            digest = hashlib.sha256()
            with self.open(name) as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
            if digest.hexdigest() != entry["sha256"]:
                raise ExportInvalid(
                    f"{name} in the export does not match its SHA-256: it was damaged or changed."
                )

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """A file of the export, for reading in pieces."""
        if name not in self._entries:
            raise ExportInvalid(f"The export refers to {name}, which it does not hold.")
        with ExitStack() as stack:
            try:
                file = stack.enter_context(self.reader.member(self._file, self._entries[name]))
            except FileRefused as refusal:
                raise ExportInvalid(f"{refusal} The export is damaged.") from refusal
            yield file

    def read(self, name: str) -> bytes:
        """The content of a small file."""
        if name in self._entries and self._entries[name].size > bounds.LABEL_BYTES:
            raise ExportInvalid(f"{name} in the export is larger than any such file can be.")
        with self.open(name) as file:
            return file.read()

    def has(self, name: str) -> bool:
        return name in self.manifest["files"]

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a table. Raises ExportInvalid for a line that is too long or is not a row."""
        with self.open(name) as file:
            try:
                for row in self.reader.json_lines(file):
                    if not isinstance(row, dict):
                        raise ExportInvalid(f"A line of {name} in the export is not a row.")
                    yield row
            except FileRefused as refusal:
                raise ExportInvalid(f"{name} in the export cannot be read: {refusal}") from refusal
