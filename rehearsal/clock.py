"""The server's time, moved.

What is moved is what ``django.utils.timezone.now`` answers: every rule, default of a field, session, token and lease
asks there. Left alone are rate limits (they count requests in the minute of the computer's clock), deadlines of
processes (a monotonic clock) and the time stamps of log lines.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.utils import timezone


class _LikeAnyDate(type):
    """The stand-in counts as the class of every date, as the original does."""

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, datetime)


class Clock:
    """Stands still until it is set."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def tick(self, seconds: float = 1) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    @contextmanager
    def in_force(self) -> Iterator["Clock"]:
        """Meanwhile ``timezone.now()`` is this clock's time, also where a field's default is that function."""
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
