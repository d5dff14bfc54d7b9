"""Who needs a second factor to sign in with, who has one, and which tokens do not work around it."""

from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.db.models import Min

FACTORS = [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]  # recovery codes alone are none
SENTENCE = "Organisers and administrators need a second factor to sign in with. Set one up first."
OLDER = (
    "This token is older than your second factor, so a password was enough to create it. Create another one on the site, "
    "under your account, and revoke this one."
)


def needs_second_factor(user: Any) -> bool:
    """Organisers are staff, so nobody else costs a query."""
    return settings.REQUIRE_SECOND_FACTOR and user.is_authenticated and (user.is_staff or user.is_superuser)


def second_factor_since(user: Any) -> datetime | None:
    """When the person's oldest second factor was set up; None without one."""
    found = Authenticator.objects.filter(user=user, type__in=FACTORS)
    return found.aggregate(since=Min("created_at"))["since"]


def lacks_second_factor(user: Any) -> bool:
    """Whether the person must have a second factor and has none."""
    return needs_second_factor(user) and second_factor_since(user) is None


def refusal_of_token(user: Any, created: datetime) -> str:
    """Why a token of that time does not work yet, or no longer; empty if it works."""
    if not needs_second_factor(user):
        return ""
    since = second_factor_since(user)
    if since is None:
        return f"{SENTENCE} Until then, your tokens do not work."
    return OLDER if created < since else ""
