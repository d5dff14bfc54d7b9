"""Resumable uploads by tus 1.0 (https://tus.io/protocols/resumable-upload), where the server announces them.

`OPTIONS uploads/` announces it with `Tus-Version` and `Tus-Extension: creation`. `POST uploads/` has the metadata filename,
phase (an id) and sha256 (hex). What was uploaded is submitted by the usual form of `POST submissions/`, with the upload's
address in the field `upload` instead of a file in `archive`, under the usual Idempotency-Key.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from .errors import ConnectionBroken, NotFound, Refused, ServerFailed, TooManyRequests, Unreachable
from .exchange import TRIES, Answer, Pause, Progress, Request, Slice, Steps, ask, backoff

VERSION = "1.0.0"
HEADERS = {"Tus-Resumable": VERSION}
UPLOADS = "uploads/"
CHUNK = 4 * 2**20  # bytes of one PATCH


def is_offered() -> Steps[bool]:
    """Does the server take resumable uploads?"""
    try:
        answer = yield from ask(Request("OPTIONS", UPLOADS, headers=HEADERS))
    except Refused:  # an older server: 404 or 405
        return False
    versions = answer.headers.get("tus-version", "").split(",")
    return VERSION in [version.strip() for version in versions] and "creation" in answer.headers.get(
        "tus-extension", ""
    )


def upload(
    path: Path,
    size: int,
    metadata: Mapping[str, str],
    key: str,
    begun: MutableMapping[str, str],
    progress: Progress | None,
) -> Steps[str]:
    """Send the file, from where an earlier upload under this `key` stopped; returns the address of the whole upload.

    `begun` maps keys to addresses. Where it outlives the process, an upload does too.
    """
    location, offset = begun.get(key), None
    if location is not None:
        offset = yield from offset_of(location)
    if location is None or offset is None:
        location, offset = (yield from create(size, metadata)), 0
        begun[key] = location
    yield from send(path, size, location, offset, progress)
    return location


def create(size: int, metadata: Mapping[str, str]) -> Steps[str]:
    """The address of a new upload."""
    described = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in metadata.items())
    headers = {**HEADERS, "Upload-Length": str(size), "Upload-Metadata": described}
    answer = yield from ask(Request("POST", UPLOADS, headers=headers))
    location = answer.headers.get("location")
    if not location:
        raise Unreachable(f"{answer.url} made an upload without saying where (no Location).")
    return location


def offset_of(location: str) -> Steps[int | None]:
    """How many bytes the server has; None where the upload is gone."""
    try:
        answer = yield from ask(Request("HEAD", location, headers=HEADERS))
    except NotFound:
        return None
    except Refused as refused:
        if refused.status == 410:
            return None
        raise
    return _offset(answer)


def send(path: Path, size: int, location: str, offset: int, progress: Progress | None) -> Steps[None]:
    """PATCH by PATCH. After a failure the server says how much it has; the tries start again with each success."""
    failures = 0
    while offset < size:
        if progress:
            progress(offset, size)
        part = Slice(path, offset, min(CHUNK, size - offset))
        headers = {
            **HEADERS,
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        try:
            answer = yield from ask(Request("PATCH", location, headers=headers, slice=part), tries=1)
        except (ConnectionBroken, ServerFailed, TooManyRequests, Refused) as error:
            if failures + 1 >= TRIES or (isinstance(error, Refused) and error.status != 409):
                raise
            yield Pause(getattr(error, "retry_after", None) or backoff(failures), error)
            failures += 1
            known = yield from offset_of(location)
            if known is None:
                raise
            offset = known
        else:
            offset, failures = _offset(answer), 0
    if progress:
        progress(size, size)


def _offset(answer: Answer) -> int:
    text = answer.headers.get("upload-offset", "")
    if not text.isdecimal():
        raise Unreachable(f"{answer.url} does not say how much it has (no Upload-Offset).")
    return int(text)
