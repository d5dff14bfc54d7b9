"""A simulated clock for the server.

It replaces ``django.utils.timezone.now``, which every rule, field default, session, token and lease uses. Rate limits
(they count per minute of real time), process deadlines (monotonic clock) and timestamps of log lines stay real.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.utils import timezone


class _LikeAnyDate(type):
    """Makes isinstance checks against the replacement work for every date."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, datetime)


class Clock:
    """Stands still until set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def tick(self, seconds: float = 1) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    @contextmanager
    def in_force(self) -> Iterator["Clock"]:
        """In this context ``timezone.now()`` returns this clock's time, also as a field default."""
        clock = self

        class Moved(datetime, metaclass=_LikeAnyDate):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Any:
                return clock.now.astimezone(tz)

        module: Any = timezone
        original, module.datetime = module.datetime, Moved
        try:
            yield self
        finally:
            module.datetime = original
