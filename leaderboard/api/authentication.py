"""Authentication by bearer token, or by the session of somebody logged in on the site."""

import re
from typing import Any

import structlog
from django.db import DatabaseError
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied

from leaderboard.actions.second_factor import refusal_of_token
from leaderboard.models import ApiToken, Scope
from leaderboard.platform.addresses import client_address

from . import scopes

log = structlog.get_logger(__name__)

TOKEN = re.compile(rb"[A-Za-z0-9_]{16,200}")


class BearerToken(TokenAuthentication):
    """``Authorization: Bearer TOKEN``. A malformed token is rejected without a database query.

    This is where scopes are enforced, and the second factor of staff, because every view authenticates, whatever its permissions.
    """

    def authenticate(self, request: Any) -> Any:
        found = super().authenticate(request)
        if found is None:
            return None
        user, token = found
        refusal = refusal_of_token(user, token.created)
        if refusal:
            raise PermissionDenied(refusal, code="second_factor_required")
        user.may_organise = Scope.ORGANISE in token.scopes
        note_use(token, request)
        scopes.check(token, request.parser_context["view"], request)
        return user, token

    def authenticate_credentials(self, token: bytes) -> Any:
        if not TOKEN.fullmatch(token):
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)

    def _cleanup_token(self, token: ApiToken) -> bool:
        """Whether it has expired. knox would read all tokens of the person here, on each request, to delete old ones."""
        return token.has_expired(timezone.now())


def note_use(token: ApiToken, request: Any) -> None:
    try:
        ApiToken.objects.note_use(token, timezone.now(), client_address(request._request))
    except DatabaseError:  # a full disk must not stop reading
        log.exception("the use of a token could not be noted", token=token.token_key)


class BearerTokenScheme(OpenApiAuthenticationExtension):
    """Describes it in the schema."""

    target_class = "leaderboard.api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema):
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token. Create one on the site, under your account; it is shown only once.",
        }
