"""One shape for every error under /api/: application/problem+json (RFC 9457)."""

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.http import Http404, UnreadablePostError
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.utils.http import http_date
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from leaderboard.actions.refusals import ChecksumMismatch, Refusal
from leaderboard.scoring.queue import new_incident

from .scopes import InsufficientScope

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
REALM = "api"

# Replaces framework messages that do not say how to fix the problem.
UNAUTHENTICATED: dict[type[Exception], str] = {
    exceptions.NotAuthenticated: "Send a token: `Authorization: Bearer TOKEN`. Create one on the site, under your account.",
    exceptions.AuthenticationFailed: "This token is unknown, expired or revoked. Check it, or create a new one on the "
    "site, under your account.",
}


def handler(error: Exception, context: dict[str, Any]) -> Response:
    """The response to an exception in an API view; an unexpected one shows an incident id, not its cause."""
    known = _known(error)
    headers: dict[str, str] = {}
    if isinstance(known, Refusal):
        known.count()
        status, members = known.status, _of_refusal(known)
    elif isinstance(known, exceptions.APIException):
        status, members, headers = of_api_exception(known)
    else:
        status, members = 500, _of_incident(error, context)
    next_at = members.get("next_at")
    if status == HTTPStatus.TOO_MANY_REQUESTS and next_at is not None:
        headers["Retry-After"] = _retry_after(next_at)
    return _response(context["request"], status, members, headers)


def _known(error: Exception) -> Exception:
    """Translate Django's exceptions to REST framework's."""
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, RequestDataTooBig):
        return TooLarge("The fields of this request are too large.")
    if isinstance(error, SuspiciousOperation):
        return exceptions.ParseError()
    if isinstance(error, UnreadablePostError):
        return exceptions.ParseError("The request ended before its body was complete. Please send it again.")
    return error


def of_api_exception(error: exceptions.APIException) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, members of the body, and headers."""
    return error.status_code, _members_of(error), _headers_of(error)


class TooLarge(exceptions.APIException):
    """A body larger than the endpoint accepts."""

    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def phrase_of(status: int) -> str:
    return "Checksum Mismatch" if status == ChecksumMismatch.status else HTTPStatus(status).phrase


def _of_refusal(refusal: Refusal) -> dict[str, Any]:
    members: dict[str, Any] = {"code": refusal.code, "detail": refusal.message + refusal.for_scripts}
    if "fields" in refusal.facts:
        members["errors"] = refusal.facts["fields"]
    members |= {
        name: refusal.facts[name] for name in ("next_at", "submission", "address") if refusal.facts.get(name)
    }
    return members


def _members_of(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        errors = error.detail if isinstance(error.detail, dict) else {"non_field_errors": error.detail}
        return {"code": "invalid", "detail": _sentences(errors), "errors": errors}
    if isinstance(error, exceptions.Throttled):
        wait = timedelta(seconds=getattr(error, "wait", None) or 1)
        return {
            "code": "throttled",
            "detail": "Too many requests. Please wait for the time given in Retry-After.",
            "next_at": timezone.now() + wait,
        }
    facts = {"scopes": list(error.need.scopes)} if isinstance(error, InsufficientScope) else {}
    return {
        **facts,
        "code": getattr(error.detail, "code", error.default_code),
        "detail": UNAUTHENTICATED.get(type(error), str(error.detail)),
    }


def _sentences(errors: dict[str, Any]) -> str:
    """All field errors in one line, e.g. "method: This field is required." """
    lines = []
    for field, found in errors.items():
        text = " ".join(map(str, found)) if isinstance(found, list) else str(found)
        lines.append(text if field == "non_field_errors" else f"{field}: {text}")
    return " ".join(lines)


def _headers_of(error: exceptions.APIException) -> dict[str, str]:
    if isinstance(error, exceptions.AuthenticationFailed | exceptions.NotAuthenticated):
        return {"WWW-Authenticate": challenge(error.default_code)}
    if isinstance(error, InsufficientScope):
        wanted = " ".join(error.need.scopes)
        return {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{wanted}"'}
    return {}


def challenge(code: str) -> str:
    """The header of a 401 (RFC 6750): it names an error only where a token was sent."""
    if code != exceptions.AuthenticationFailed.default_code:
        return f'Bearer realm="{REALM}"'
    sentence = UNAUTHENTICATED[exceptions.AuthenticationFailed]
    return f'Bearer realm="{REALM}", error="invalid_token", error_description="{sentence}"'


def _of_incident(error: Exception, context: dict[str, Any]) -> dict[str, Any]:
    incident = new_incident()
    log.error("internal_error", incident=incident, exc_info=error)
    got_request_exception.send(sender=None, request=context["request"]._request)
    return {
        "code": "internal_error",
        "detail": f"An internal error occurred. Please report this incident number to the organisers: {incident}.",
        "incident": incident,
    }


def _retry_after(next_at: datetime) -> str:
    """Seconds for a short wait; a date for a long one."""
    seconds = (next_at - timezone.now()).total_seconds()
    return str(max(1, round(seconds))) if seconds < 3600 else http_date(next_at.timestamp())


def problem(status: int, members: dict[str, Any]) -> dict[str, Any]:
    """The body of every error; ``members`` has at least ``code`` and ``detail``."""
    return {"type": "about:blank", "title": phrase_of(status), "status": int(status), **members}


def _response(request: Any, status: int, members: dict[str, Any], headers: dict[str, str]) -> Response:
    # Always JSON, even where the view renders HTML (the docs) or YAML (the schema).
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    body = problem(status, members)
    response = Response(body, int(status), headers=headers, content_type=MEDIA_TYPE)
    patch_cache_control(response, no_store=True)
    return response
