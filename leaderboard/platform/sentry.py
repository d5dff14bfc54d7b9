"""Optional: sends errors to Sentry if SENTRY_DSN is set and sentry-sdk is installed."""

from importlib import import_module
from typing import Any

from leaderboard.platform import environment as env


def start(dsn: str) -> None:
    """Send errors to the project `dsn`, without visitors' input, IP addresses or local variables."""
    if not dsn:
        return
    try:
        sentry = import_module("sentry_sdk")
    except ImportError:
        raise env.refuse(
            "SENTRY_DSN", "is set, but sentry-sdk is not installed", "Run: pip install sentry-sdk"
        ) from None
    sentry.init(
        dsn=dsn,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        before_send=without_visitor,
    )


def without_visitor(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """Keep the request's method and path, drop its query and headers."""
    request = event.get("request", {})
    event["request"] = {name: request[name] for name in ("method", "url") if name in request}
    return event
