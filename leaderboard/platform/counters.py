"""Per-process Prometheus counters: requests and refusals. Queue figures come from the database (prometheus.py)."""

import time
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from prometheus_client import Counter, Histogram

REFUSALS = Counter("leaderboard_refusals", "Refused actions by code", ["code"])
REQUESTS = Histogram(
    "leaderboard_request_seconds",
    "Requests by route, method and status",
    ["route", "method", "status"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 60),
)
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class MeasureMiddleware:
    """Measures requests by route name, so that the number of series stays bounded."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        start = time.perf_counter()
        response = self.get_response(request)
        route = request.resolver_match.view_name if request.resolver_match else "unknown"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(route, method, response.status_code).observe(time.perf_counter() - start)
        return response
