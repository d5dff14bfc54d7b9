"""Parsers that reject a body by its Content-Length, before reading it."""

from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser, MultiPartParser

from evaluation.archive.problems import too_large
from leaderboard.actions.descriptions import LARGEST_DESCRIPTION
from leaderboard.actions.refusals import ArchiveTooLarge

from .errors import TooLarge

FIELDS_BYTES = 64 * 1024  # room for method, description, link and multipart headers beside the archive


class SmallJSONParser(JSONParser):
    """JSON of at most FIELDS_BYTES."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        if stated_length(parser_context) > FIELDS_BYTES:
            raise TooLarge(f"A JSON body may have at most {FIELDS_BYTES:,} bytes.")
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise ParseError("The JSON is nested too deeply.") from error


class ArchiveParser(MultiPartParser):
    """A multipart form with an archive of at most MAX_UPLOAD_BYTES."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        length = stated_length(parser_context)
        if length > settings.MAX_UPLOAD_BYTES + FIELDS_BYTES:
            raise ArchiveTooLarge(too_large(length, settings.MAX_UPLOAD_BYTES).message)
        return super().parse(stream, media_type, parser_context)


class DescriptionParser(MultiPartParser):
    """A multipart form with a PDF of at most LARGEST_DESCRIPTION."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        if stated_length(parser_context) > LARGEST_DESCRIPTION + FIELDS_BYTES:
            raise TooLarge(f"A method description may have at most {LARGEST_DESCRIPTION:,} bytes.")
        return super().parse(stream, media_type, parser_context)


def stated_length(parser_context: Any) -> int:
    """Content-Length; 0 if absent: then the server does not pass on a body either."""
    stated = parser_context["request"].META.get("CONTENT_LENGTH") or "0"
    return int(stated) if stated.isascii() and stated.isdigit() else 0
