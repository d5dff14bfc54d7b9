"""Rate limits: so many requests in each minute of the clock, for each person, or for each address without log-in.

They keep a script gone wild from slowing everybody; they are no quota. Settings: API_RATES.
"""

import hashlib
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.throttling import BaseThrottle

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
            return cache.incr(key) <= settings.API_RATES[self.scope]
        except ValueError:  # dropped by a full cache between the two calls
            return True

    def caller(self, request: Any) -> str | None:
        """Who is counted; None: nobody."""
        return str(request.user.pk) if request.user.is_authenticated else None

    def wait(self) -> float:
        return WINDOW - time.time() % WINDOW


class PerAddress(PerPerson):
    """Counts the requests of one address that come without log-in."""

    scope = "address"

    def caller(self, request: Any) -> str | None:
        return None if request.user.is_authenticated else self.get_ident(request)


class Uploads(PerPerson):
    scope = "upload"


class Passwords(PerPerson):
    """For addresses that ask for the password again."""

    scope = "password"
