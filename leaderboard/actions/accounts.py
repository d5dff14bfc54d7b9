"""What people do with their own account: API tokens."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from knox.settings import knox_settings

from leaderboard.models import ApiToken, User

from .refusals import Conflict, InvalidInput


def create_token(user: Any, name: str, days: int | None = None) -> tuple[ApiToken, str]:
    """A new named token; returns its row and the token itself, which is shown once and not stored.

    ``days``: how long it holds, never longer than the setting, which is the default.
    """
    name = " ".join(name.split())
    longest = knox_settings.TOKEN_TTL.days
    if days is not None and not 1 <= days <= longest:
        raise InvalidInput(f"A token holds from 1 to {longest} days.")
    try:
        ApiToken(user=user, name=name).clean_fields(exclude=["digest", "token_key", "user"])
    except ValidationError as error:
        raise InvalidInput(f"name: {' '.join(error.messages)}", fields=error.message_dict) from error
    limit = knox_settings.TOKEN_LIMIT_PER_USER
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if user.auth_token_set.filter(expiry__gt=timezone.now()).count() >= limit:
            raise Conflict(
                f"You have {limit} tokens already, the most that one person may have. Revoke one first."
            )
        return ApiToken.objects.create(user, expiry=timedelta(days=days or longest), name=name)


def revoke_token(user: Any, digest: str) -> None:
    """Delete one of the person's own tokens; from then on it opens nothing."""
    user.auth_token_set.filter(digest=digest).delete()
