"""What every answer of the API carries in its headers."""

from collections.abc import Callable
from http import HTTPStatus

import structlog
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control

from .limits import rate_limit_headers

PREFIX = "/api/"
READING = ("GET", "HEAD", "OPTIONS")
EXPOSED = "ETag, Link, RateLimit, RateLimit-Policy, Retry-After, X-Request-ID"


class ApiFrameMiddleware:
    """`X-Request-ID`, as in the log; rate limits; `private, no-store` on what a token sees; reading by scripts of other sites (CORS).

    Other sites get what anybody may see: neither cookies nor tokens may come with their requests.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not request.path.startswith(PREFIX):
            return response
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            response.headers["X-Request-ID"] = request_id
        for name, value in rate_limit_headers(request).items():
            response.headers[name] = value
        has_identity = bool(request.headers.get("Authorization") or request.headers.get("Cookie"))
        if has_identity and "Cache-Control" not in response.headers:
            patch_cache_control(response, private=True, no_store=True)
        if request.method in READING and not has_identity and response.status_code != HTTPStatus.UNAUTHORIZED:
            response.headers["Access-Control-Allow-Origin"] = "*"
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = "GET, HEAD"
                response.headers["Access-Control-Allow-Headers"] = "Accept, If-None-Match"
        return response
