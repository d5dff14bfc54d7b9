"""Rate limits per clock minute, for each person or, without log-in, for each address. Setting: API_RATES.

They stop a runaway script from slowing everybody down; they are separate from the quotas.
"""

import hashlib
import math
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.throttling import BaseThrottle

from .limits import Limit, note_limit

WINDOW = 60  # seconds


class PerPerson(BaseThrottle):
    """Counts the requests of one person."""

    scope = "person"

    def allow_request(self, request: Any, view: Any) -> bool:
        who = self.caller(request)
        if who is None:
            return True
        window = int(time.time()) // WINDOW
        digest = hashlib.sha256(who.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        key = f"rate:{self.scope}:{digest}:{window}"
        cache.add(key, 0, 2 * WINDOW)
        try:
            used = cache.incr(key)
        except ValueError:  # evicted from a full cache between the two calls
            used = 1
        quota = settings.API_RATES[self.scope]
        note_limit(request, Limit(self.scope, quota, max(0, quota - used), WINDOW, math.ceil(self.wait())))
        return used <= quota

    def caller(self, request: Any) -> str | None:
        """Who is counted; None: not counted."""
        return str(request.user.pk) if request.user.is_authenticated else None

    def wait(self) -> float:
        return WINDOW - time.time() % WINDOW


class PerAddress(PerPerson):
    """Counts the requests of one address without log-in."""

    scope = "address"

    def caller(self, request: Any) -> str | None:
        return None if request.user.is_authenticated else self.get_ident(request)


class Uploads(PerPerson):
    scope = "upload"


class Passwords(PerPerson):
    """For endpoints that ask for the password again."""

    scope = "password"
