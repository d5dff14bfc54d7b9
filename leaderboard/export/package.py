"""The ZIP of an export: files with their checksums, the same bytes for the same content."""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

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
    """An export being read. Opening it checks every file against its checksum; nothing is unpacked to disk."""

    def __init__(self, path: Path) -> None:
        try:
            self.zip = zipfile.ZipFile(path)
            self.manifest = json.loads(self.zip.read(MANIFEST))
        except (zipfile.BadZipFile, KeyError, ValueError) as error:
            raise ExportInvalid(f"{path} is not an export of a competition.") from error
        if not isinstance(self.manifest, dict) or self.manifest.get("format") != FORMAT:
            raise ExportInvalid(f"{path} is not an export of a competition.")
        if self.manifest.get("version") != VERSION:
            raise ExportInvalid(
                f"{path} has version {self.manifest.get('version')} of the format; this program reads version {VERSION}."
            )
        self._check()

    def __enter__(self) -> "OpenedPackage":
        return self

    def __exit__(self, *_: Any) -> None:
        self.zip.close()

    def _check(self) -> None:
        files = self.manifest["files"]
        there = set(self.zip.namelist()) - {MANIFEST, CHECKSUMS}
        if missing := sorted(set(files) - there):
            raise ExportInvalid(
                f"{missing[0]} is missing from the export, and {len(missing) - 1} other files."
            )
        if surplus := sorted(there - set(files)):
            raise ExportInvalid(f"{surplus[0]} is in the export but not in its manifest.")
        for name, entry in files.items():
            try:
                with self.open(name) as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except zipfile.BadZipFile as error:
                raise ExportInvalid(f"{name} in the export is damaged.") from error
            if found != entry["sha256"]:
                raise ExportInvalid(
                    f"{name} in the export does not match its SHA-256: it was damaged or changed."
                )

    @contextmanager
    def open(self, name: str) -> Iterator[Any]:
        with self.zip.open(name) as file:
            yield file

    def read(self, name: str) -> bytes:
        return self.zip.read(name)

    def has(self, name: str) -> bool:
        return name in self.manifest["files"]

    def lines(self, name: str) -> Iterator[dict[str, Any]]:
        with self.open(name) as file:
            for line in io.TextIOWrapper(file, encoding="utf-8"):
                yield json.loads(line)
