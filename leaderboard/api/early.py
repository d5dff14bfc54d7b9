"""Refusals that a request's headers decide: `manage.py serve` answers them before it takes the body.

waitress passes a request on only after its last byte, so the views would refuse it too late. Its own errors (a body above
every limit, malformed headers) get the API's shape here too.
"""

import json
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import close_old_connections
from django.utils import timezone
from knox.crypto import hash_token
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask
from waitress.utilities import Error

from evaluation.archive.problems import too_large
from leaderboard.models import ApiToken

from .authentication import TOKEN
from .errors import MEDIA_TYPE, UNAUTHENTICATED, challenge, problem
from .parsers import FIELDS_BYTES

log = structlog.get_logger(__name__)

PREFIX = b"/api/"
WORTH_ASKING = 1 << 16  # bytes; a smaller body costs less than asking the database about its token
CODES = {400: "parse_error", 413: "too_large", 431: "headers_too_large", 501: "not_implemented"}


class EarlyRefusal(Error):
    """A problem for which waitress need not read on."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.reason, self.problem_code = status, HTTPStatus(status).phrase, code


class EarlyParser(HTTPRequestParser):
    """Ends a request after its headers, without a `100 Continue`, where they decide it."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.body_rcv is not None and self.path.startswith(PREFIX.decode()):
            self.error = refusal_of(self.headers, self.content_length)
        if self.error is not None:
            self.completed, self.expect_continue = True, False

    @property
    def is_for_the_api(self) -> bool:
        """Also where the headers were too malformed to be parsed to their end."""
        _, _, target = getattr(self, "first_line", b"").partition(b" ")
        return target.startswith(PREFIX)


def refusal_of(headers: dict[str, str], length: int) -> EarlyRefusal | None:
    """Why a request to the API with these headers and a body of so many bytes (0: unknown) is refused unread."""
    if length > settings.MAX_UPLOAD_BYTES + FIELDS_BYTES:
        return EarlyRefusal(413, "too_large", too_large(length, settings.MAX_UPLOAD_BYTES).message)
    authorization = headers.get("AUTHORIZATION", "")
    if not authorization:
        has_session = "COOKIE" in headers
        return None if has_session else unauthorized(NotAuthenticated)
    kind, _, token = authorization.partition(" ")
    if kind.lower() == "bearer" and not may_be_valid(token, length):
        return unauthorized(AuthenticationFailed)
    return None


def unauthorized(reason: type[AuthenticationFailed] | type[NotAuthenticated]) -> EarlyRefusal:
    return EarlyRefusal(401, reason.default_code, UNAUTHENTICATED[reason])


def may_be_valid(token: str, length: int) -> bool:
    """Whether the view should decide. SQLite answers at once; a database elsewhere must not hold up the server's one loop."""
    if not TOKEN.fullmatch(token.encode("latin-1")):
        return False
    if settings.POSTGRESQL or length < WORTH_ASKING:
        return True
    try:
        return ApiToken.objects.filter(digest=hash_token(token), expiry__gt=timezone.now()).exists()
    finally:
        close_old_connections()


class ProblemTask(ErrorTask):
    """An error of the API as a problem; of any other address as waitress writes it."""

    def say_in_a_sentence(self) -> None:
        """For people with a browser: too large a file is refused in words, everything else as waitress writes it."""
        if self.request.error.code != HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            super().execute()
            return
        most = settings.MAX_UPLOAD_MB
        body = (
            f"The file is too large for this server: an archive of a submission may have {most} MiB, one of labels {2 * most} "
            "MiB. Nothing was changed. Go back, compress the ZIP archive or choose another file, and try again.\n"
        ).encode()
        self.status = f"413 {HTTPStatus.REQUEST_ENTITY_TOO_LARGE.phrase}"
        self.response_headers += [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Cache-Control", "no-store"),
        ]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)

    def execute(self) -> None:
        if not getattr(self.request, "is_for_the_api", False):
            self.say_in_a_sentence()
            return
        error = self.request.error
        code = getattr(error, "problem_code", CODES.get(error.code, "error"))
        detail = error.body if isinstance(error, EarlyRefusal) else sentence_of(error)
        body = json.dumps(problem(error.code, {"code": code, "detail": detail})).encode()
        self.status = f"{error.code} {error.reason}"
        self.response_headers += [("Content-Type", MEDIA_TYPE), ("Cache-Control", "no-store")]
        request_id = str(uuid4())
        log.info("request_refused_early", status=int(error.code), code=code, request_id=request_id)
        self.response_headers.append(("X-Request-ID", request_id))
        if error.code == HTTPStatus.UNAUTHORIZED:
            self.response_headers.append(("WWW-Authenticate", challenge(code)))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def sentence_of(error: Any) -> str:
    """waitress says what is wrong with the bytes of a request in half a sentence."""
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return f"The body is too large; an archive may have at most {settings.MAX_UPLOAD_BYTES:,} bytes."
    return f"The server cannot read this request: {error.body}."


class EarlyChannel(HTTPChannel):
    parser_class = EarlyParser
    error_task_class = ProblemTask
