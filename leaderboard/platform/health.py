"""Health checks for monitoring: liveness and readiness."""

import time
from typing import Any, cast

import redis
import structlog
from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from rest_framework.throttling import BaseThrottle

from leaderboard.platform.arrival import seconds_before

logger = structlog.get_logger(__name__)

CHALLENGE_SECONDS = 60
_signer = TimestampSigner(salt="leaderboard.doctor")


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


def challenge() -> str:
    """For the header X-Doctor: proves for a minute that the sender has this server's SECRET_KEY."""
    return _signer.sign("as-seen")


@never_cache
def as_seen(request: HttpRequest) -> JsonResponse:
    """What the server sees and believes of this request, for `manage.py doctor` alone."""
    try:
        _signer.unsign(request.headers.get("X-Doctor", ""), max_age=CHALLENGE_SECONDS)
    except BadSignature as error:
        raise Http404 from error
    entries = request.headers.get("X-Forwarded-For", "").split(",")
    return JsonResponse(
        {
            "secure": request.is_secure(),
            "host": request.get_host(),
            "address": BaseThrottle().get_ident(cast(Any, request)),
            "forwarded_for": [entry.strip() for entry in entries if entry.strip()],
            "seconds": seconds_before(request),
            "time": time.time(),
        }
    )
