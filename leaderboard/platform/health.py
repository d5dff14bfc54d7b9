"""Health checks for monitoring: liveness and readiness."""

import redis
import structlog
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

logger = structlog.get_logger(__name__)


@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while this process answers; checks nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while the database answers. The state of the broker is reported but not required."""
    database, broker = _database_answers(), _broker_answers()
    state = {"database": "ok" if database else "unreachable", "broker": "ok" if broker else "unreachable"}
    return JsonResponse(
        {"status": "ok" if database else "unavailable", **state}, status=200 if database else 503
    )


def _database_answers() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.error("database_unreachable", error=str(error))
        return False
    return True


def _broker_answers() -> bool:
    if not settings.REDIS_URL:
        return True
    try:
        redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1).ping()
    except redis.RedisError as error:
        logger.warning("broker_unreachable", error=str(error))
        return False
    return True
