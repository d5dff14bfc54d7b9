"""Who calls: a bearer token, or the session of somebody who is logged in on the pages."""

import re

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from knox.auth import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed

TOKEN = re.compile(rb"[A-Za-z0-9_]{16,200}")


class BearerToken(TokenAuthentication):
    """``Authorization: Bearer TOKEN``. What cannot be a token never reaches the database."""

    def authenticate_credentials(self, token: bytes):
        if not TOKEN.fullmatch(token):
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(token)


class BearerTokenScheme(OpenApiAuthenticationExtension):
    """How the schema describes it."""

    target_class = "leaderboard.api.authentication.BearerToken"
    name = "token"

    def get_security_definition(self, auto_schema):
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of your account. Make one on the site under your account; it is shown once.",
        }
