"""What proxies in front of the server say of a request, and what is wrong with it.

With an https SITE_URL the server redirects what did not arrive by TLS. If it does not believe the proxy, or the proxy says nothing,
every answer is that redirect, for ever: then it says so instead.
"""

import time
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware

log = structlog.get_logger(__name__)

# Any of them is set by a proxy; a browser on this machine sends none.
FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via")
LOG_SECONDS = 60  # between two lines about the same fault
NOT_BELIEVED = (
    "A proxy says that the visitor uses TLS, but this server trusts no proxy, so it would redirect this page to itself for ever. "
    "Set TRUSTED_PROXIES to the number of proxies in front of the server (with one nginx: TRUSTED_PROXIES=1) and start it again."
)
NOT_SAID = (
    "A proxy is in front, but does not say whether the visitor uses TLS, so this server would redirect this page to itself for ever. "
    "Let the proxy set the header X-Forwarded-Proto (nginx: proxy_set_header X-Forwarded-Proto $scheme;)."
)


def is_forwarded(request: HttpRequest) -> bool:
    """Whether the request came through a proxy that says so."""
    return any(name in request.headers for name in FORWARDED)


def fault_of(request: HttpRequest) -> str:
    """Why every visitor of this proxy would be redirected for ever; empty if none would."""
    if not settings.SECURE_SSL_REDIRECT or request.is_secure() or not is_forwarded(request):
        return ""
    said = request.headers.get("X-Forwarded-Proto", "") + request.headers.get("Forwarded", "").lower()
    if settings.TRUSTED_PROXIES:
        return "" if "X-Forwarded-Proto" in request.headers else NOT_SAID
    return NOT_BELIEVED if "https" in said else ""


class ProxyMiddleware:
    """Answers 500 with the reason where a redirect would only lead to itself. Before Django's SecurityMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.exempt = SecurityMiddleware(get_response).redirect_exempt
        self.logged = 0.0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path.lstrip("/")
        fault = "" if any(each.search(path) for each in self.exempt) else fault_of(request)
        if not fault:
            return self.get_response(request)
        if time.monotonic() - self.logged > LOG_SECONDS:
            self.logged = time.monotonic()
            log.error("this server would redirect for ever", fix=fault)
        return HttpResponse(f"{fault}\n", "text/plain; charset=utf-8", status=500)
