"""`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): every limit that a request has met."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest


@dataclass(frozen=True)
class Limit:
    """A quota of ``quota`` requests in ``window`` seconds (None: for good), ``left`` now, whole again in ``seconds``."""

    name: str
    quota: int
    left: int
    window: int | None = None
    seconds: int | None = None

    @property
    def policy(self) -> str:
        return f'"{self.name}";q={self.quota}' + ("" if self.window is None else f";w={self.window}")

    @property
    def state(self) -> str:
        return f'"{self.name}";r={self.left}' + ("" if self.seconds is None else f";t={self.seconds}")


def note_limit(request: Any, limit: Limit) -> None:
    """Say this limit in the answer's headers; ``request``: REST framework's or Django's."""
    held = getattr(request, "_request", request)
    held.rate_limits = [*getattr(held, "rate_limits", ()), limit]


def rate_limit_headers(request: HttpRequest) -> dict[str, str]:
    """The two headers; none where nothing was counted."""
    limits: list[Limit] = getattr(request, "rate_limits", [])
    if not limits:
        return {}
    return {
        "RateLimit-Policy": ", ".join(limit.policy for limit in limits),
        "RateLimit": ", ".join(limit.state for limit in limits),
    }
