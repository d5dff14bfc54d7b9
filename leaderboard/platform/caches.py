"""A Redis cache that treats failures as misses, so that pages and uploads work while Redis is down.

Rate limits use the cache, so they are off meanwhile. Quotas are not affected: the database enforces them.
"""

from collections.abc import Callable
from typing import Any

import structlog
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)


class ForgivingRedisCache(RedisCache):
    """Django's Redis cache; if the server is unreachable, each call behaves as on an empty cache."""

    def add(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().add, True, args, kwargs)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return self._forgive(super().get, default, (key, default, version), {})

    def set(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().set, None, args, kwargs)

    def touch(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().touch, False, args, kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().delete, False, args, kwargs)

    def get_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().get_many, {}, args, kwargs)

    def has_key(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().has_key, False, args, kwargs)

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> Any:
        return self._forgive(super().incr, delta, (key, delta, version), {})

    def set_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().set_many, [], args, kwargs)

    def delete_many(self, *args: Any, **kwargs: Any) -> Any:
        return self._forgive(super().delete_many, None, args, kwargs)

    def _forgive(self, call: Callable[..., Any], instead: Any, args: Any, kwargs: Any) -> Any:
        try:
            return call(*args, **kwargs)
        except (RedisError, OSError) as error:
            logger.warning("cache_unreachable", error=str(error))
            return instead
