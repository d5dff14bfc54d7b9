"""When a request began to arrive. Servers and proxies buffer bodies, so the application starts only after the last byte.

waitress (``manage.py serve``) puts the time of the first byte into the environment. A proxy that buffers says in
REQUEST_TIME_HEADER for how many seconds it has been receiving; it must overwrite what the client sent under this name.
gunicorn alone starts the application when the headers are there. Behind a proxy that buffers and says nothing, a request
seems to begin after its last byte.
"""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

BEGAN = "leaderboard.began"  # in the WSGI environment, from waitress: seconds since the epoch
BEGAN_AT = "leaderboard.began_at"  # in request.META: a datetime


class ArrivalMiddleware:
    """Notes when each request began, for ``begun_at``. The first middleware, before anything reads the body."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        request.META[BEGAN_AT] = timezone.now() - timedelta(seconds=seconds_before(request))
        return self.get_response(request)


def seconds_before(request: HttpRequest) -> float:
    """How long the request had been arriving when the application was called."""
    seconds = max(0.0, time.time() - request.META[BEGAN]) if BEGAN in request.META else 0.0
    if settings.REQUEST_TIME_HEADER:
        seconds += number(request.headers.get(settings.REQUEST_TIME_HEADER, ""))
    return seconds


def number(text: str) -> float:
    """Seconds as nginx writes them (12.345); 0 for anything else."""
    whole, _, part = text.partition(".")
    return (
        float(text)
        if whole.isdecimal() and len(whole) < 6 and (part or "0").isdecimal() and text.isascii()
        else 0.0
    )


def begun_at(request: Any) -> datetime:
    """When this request began to arrive."""
    began: datetime = request.META[BEGAN_AT]
    return began
