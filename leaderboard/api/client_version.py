"""What the server does with the User-Agent of our client: logs it, and says which version the API supports at least."""

import re
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

CLIENT = re.compile(r"l4s/[0-9.]{1,20}")


class ClientVersionMiddleware:
    """`L4S-Client-Minimum` on each answer to `l4s`, errors included; `client=l4s/1.1.0` in its log lines.

    Of browsers the log says nothing, for that is personal data.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        found = CLIENT.match(request.headers.get("User-Agent", ""))
        if found is None:
            return self.get_response(request)
        structlog.contextvars.bind_contextvars(client=found[0])
        response = self.get_response(request)
        response.headers["L4S-Client-Minimum"] = settings.L4S_CLIENT_MINIMUM
        return response
