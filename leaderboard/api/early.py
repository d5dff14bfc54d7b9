"""Refusals that a request's headers decide: `manage.py serve` answers them before it takes the body.

waitress passes a request on only after its last byte, so the views would refuse it too late. Its own errors (a body above
every limit, malformed headers) get the API's shape here too.
"""

from http import HTTPStatus
from typing import Any
from uuid import uuid4

import structlog
from django.conf import settings
from django.db import close_old_connections
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import ErrorTask
from waitress.utilities import Error

from .admission import Incoming, Refused, refusal_of
from .errors import MEDIA_TYPE

log = structlog.get_logger(__name__)

PREFIX = b"/api/"
WORTH_ASKING = 1 << 16  # bytes; a smaller body costs less than asking the database about its token
CODES = {400: "parse_error", 413: "too_large", 431: "headers_too_large", 501: "not_implemented"}


class EarlyRefusal(Error):
    """A problem for which waitress need not read on."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.members["detail"])
        self.refused, self.code, self.reason = refused, refused.status, HTTPStatus(refused.status).phrase


class EarlyParser(HTTPRequestParser):
    """Ends a request after its headers, without a `100 Continue`, where they decide it."""

    error: Any

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if self.error is None and self.body_rcv is not None and self.path.startswith(PREFIX.decode()):
            self.error = self.refusal()
        if self.error is not None:
            self.completed, self.expect_continue = True, False

    def refusal(self) -> EarlyRefusal | None:
        """SQLite answers at once; a database elsewhere must not hold up the server's one loop."""
        incoming = Incoming(
            method=self.command,
            path=self.path,
            authorization=self.headers.get("AUTHORIZATION", ""),
            has_session=bool(self.headers.get("COOKIE")),
            length=self.content_length,
        )
        asks_database = not settings.POSTGRESQL and self.content_length >= WORTH_ASKING
        try:
            refused = refusal_of(incoming, asks_database=asks_database)
        finally:
            if asks_database:
                close_old_connections()
        return None if refused is None else EarlyRefusal(refused)

    @property
    def is_for_the_api(self) -> bool:
        """Also where the headers were too malformed to be parsed to their end."""
        _, _, target = getattr(self, "first_line", b"").partition(b" ")
        return target.startswith(PREFIX)


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
        refused = error.refused if isinstance(error, EarlyRefusal) else of_waitress(error)
        body = refused.body.encode()
        self.status = f"{refused.status} {error.reason}"
        self.response_headers += [("Content-Type", MEDIA_TYPE), ("Cache-Control", "no-store")]
        request_id = str(uuid4())
        code = refused.members["code"]
        log.info("request_refused_early", status=int(refused.status), code=code, request_id=request_id)
        self.response_headers += [("X-Request-ID", request_id), *refused.headers.items()]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


def of_waitress(error: Any) -> Refused:
    """waitress says what is wrong with the bytes of a request in half a sentence."""
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = f"The body is too large; an archive may have at most {settings.MAX_UPLOAD_BYTES:,} bytes."
    else:
        detail = f"The server cannot read this request: {error.body}."
    return Refused(error.code, {"code": CODES.get(error.code, "error"), "detail": detail})


class EarlyChannel(HTTPChannel):
    parser_class = EarlyParser
    error_task_class = ProblemTask
