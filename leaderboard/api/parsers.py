"""Parsers that reject a body by its Content-Length, before reading it, and compare it with its Content-Digest."""

import base64
import binascii
import hashlib
import re
from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser, MultiPartParser

from evaluation.archive.problems import too_large
from leaderboard.actions.descriptions import LARGEST_DESCRIPTION
from leaderboard.actions.refusals import ArchiveTooLarge, DigestMismatch, InvalidInput

from .errors import TooLarge

FIELDS_BYTES = 64 * 1024  # room for method, description, link and multipart headers beside the archive
BLOCK = 64 * 1024
ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}
MEMBER = re.compile(r"([a-z*][a-z0-9_.*-]*)=:([A-Za-z0-9+/=]*):")


def digests_of(header: str) -> dict[str, bytes]:
    """The digests of a `Content-Digest` (RFC 9530) by hashlib's name; those of other algorithms are left out.

    Raises InvalidInput for a header that is not one.
    """
    found = {}
    for part in filter(None, header.split(",")):
        member = MEMBER.fullmatch(part.strip())
        try:
            digest = base64.b64decode(member[2], validate=True) if member else None
        except binascii.Error:
            digest = None
        if member is None or digest is None:
            raise InvalidInput(
                "Content-Digest: write it as `sha-256=:…:`, the digest in base64 between colons (RFC 9530).",
                fields={"Content-Digest": ["Write it as `sha-256=:…:`."]},
            )
        if member[1] in ALGORITHMS:
            found[ALGORITHMS[member[1]]] = digest
    return found


class Digested:
    """A body that is hashed while it is read."""

    def __init__(self, body: Any, expected: dict[str, bytes]) -> None:
        self._body, self._expected = body, expected
        self._hashes = {name: hashlib.new(name) for name in expected}

    def read(self, *size: int) -> bytes:
        block: bytes = self._body.read(*size)
        for found in self._hashes.values():
            found.update(block)
        return block

    def check(self) -> None:
        """Read what is left. Raises DigestMismatch, with what came."""
        while self.read(BLOCK):
            pass
        for name, found in self._hashes.items():
            if found.digest() != self._expected[name]:
                came = f"sha-{name[3:]}=:{base64.b64encode(found.digest()).decode()}:"
                raise DigestMismatch(
                    f"The body that arrived has the digest {came}, not the one in Content-Digest. Send it again.",
                    fields={"Content-Digest": [f"The body that arrived has {came}."]},
                )


class CheckedParser:
    """Compares the body, as it came, with its `Content-Digest`, if it has one."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        header = parser_context["request"].headers.get("Content-Digest", "")
        expected = digests_of(header)
        if not expected:
            return super().parse(stream, media_type, parser_context)  # type: ignore[misc]
        body = Digested(stream, expected)
        try:
            return super().parse(body, media_type, parser_context)  # type: ignore[misc]
        finally:
            body.check()


class SmallJSONParser(CheckedParser, JSONParser):
    """JSON of at most FIELDS_BYTES."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        if stated_length(parser_context) > FIELDS_BYTES:
            raise TooLarge(f"A JSON body may have at most {FIELDS_BYTES:,} bytes.")
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error


class ArchiveParser(CheckedParser, MultiPartParser):
    """A multipart form with an archive of at most MAX_UPLOAD_BYTES."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        length = stated_length(parser_context)
        if length > settings.MAX_UPLOAD_BYTES + FIELDS_BYTES:
            raise ArchiveTooLarge(too_large(length, settings.MAX_UPLOAD_BYTES).message)
        return super().parse(stream, media_type, parser_context)


class DescriptionParser(CheckedParser, MultiPartParser):
    """A multipart form with a PDF of at most LARGEST_DESCRIPTION."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        if stated_length(parser_context) > LARGEST_DESCRIPTION + FIELDS_BYTES:
            raise TooLarge(f"A method description may have at most {LARGEST_DESCRIPTION:,} bytes.")
        return super().parse(stream, media_type, parser_context)


def stated_length(parser_context: Any) -> int:
    """Content-Length; 0 if absent: then the server does not pass on a body either."""
    return whole_number(parser_context["request"].META.get("CONTENT_LENGTH") or "")


def whole_number(text: str) -> int:
    """The number of a Content-Length; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
