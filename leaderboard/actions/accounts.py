"""What people do with their own account: API tokens, and its end."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from knox.settings import knox_settings

from leaderboard.models import (
    ALL_SCOPES,
    ApiToken,
    AuditEntry,
    Competition,
    Invitation,
    Mail,
    Scope,
    Team,
    User,
)
from leaderboard.models.locks import lock_named, lock_rows
from leaderboard.models.names import tidy
from leaderboard.models.text import day
from leaderboard.notifications.accounts import tell

from .refusals import Conflict, InvalidInput, check_fields
from .teams import end_membership


def create_token(
    user: Any,
    name: str,
    scopes: Sequence[str] = ALL_SCOPES,
    *,
    competition: Competition | None = None,
    note: str = "",
    days: int | None = None,
    announce: bool = True,
) -> tuple[ApiToken, str]:
    """A new named token; returns its row and the token itself, which is shown once and not stored.

    ``competition``: the only one in which it works. ``days``: how long it holds, never longer than the setting, which is
    the default. ``announce``: tell the person by mail. Raises InvalidInput, and Conflict where the person has as many as one may have.
    """
    longest = knox_settings.TOKEN_TTL.days
    if days is not None and not 1 <= days <= longest:
        raise InvalidInput(f"A token holds from 1 to {longest} days.")
    row = ApiToken(
        name=tidy(name), note=tidy(note), scope=" ".join(scope for scope in Scope if scope in scopes)
    )
    if not scopes or set(scopes) - set(Scope):
        sentence = f"Choose at least one of {', '.join(Scope)}."
        raise InvalidInput(sentence, fields={"scopes": [sentence]})
    check_fields(row, "name", "note")
    limit = knox_settings.TOKEN_LIMIT_PER_USER
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)
        if user.auth_token_set.valid(timezone.now()).count() >= limit:
            raise Conflict(
                f"You have {limit} tokens already, the most that one person may have. Revoke one first."
            )
        token, text = ApiToken.objects.create(
            user,
            expiry=timedelta(days=days or longest),
            name=row.name,
            note=row.note,
            scope=row.scope,
            competition=competition,
        )
        if announce:
            may = ", ".join(token.scopes)
            sentence = f"A new API token was created for your account {user}: “{token.name}” ({may})"
            tell(user, "New API token", f"{sentence}, valid until {day(token.expiry)}.")
    return token, text


def revoke_token(user: Any, digest: str) -> None:
    """Delete one of the person's own tokens; from then on it opens nothing."""
    _revoke(user, user.auth_token_set.filter(digest=digest))


def revoke_tokens(user: Any) -> int:
    """Delete all of the person's tokens; returns how many there were."""
    return _revoke(user, user.auth_token_set.all())


def _revoke(user: Any, tokens: Any) -> int:
    with transaction.atomic():
        names = sorted(tokens.values_list("name", flat=True))
        tokens.delete()
        if names:
            what = f"the API token “{names[0]}” was" if len(names) == 1 else f"{len(names)} API tokens were"
            tell(user, "API tokens revoked", f"On your account {user} {what} revoked.")
    return len(names)


def delete_account(user: Any, password: str) -> None:
    """Delete the account and everything that only describes the person.

    Results stay: they belong to the team, and a board must not change because somebody leaves; they no longer say
    who uploaded them. A team left without an owner gets its longest member as owner; one without members and
    submissions goes too. What an organiser did stays in the log, under the name of then, and a team's method
    description keeps naming its authors.

    Raises InvalidInput for a wrong password, Conflict for whoever is the last to run something.
    """
    if not user.check_password(password):
        sentence = "This is not your password."
        raise InvalidInput(sentence, fields={"password": [sentence]})
    with transaction.atomic():
        # The last two must not both find the other one still there.
        lock_named("administrators")
        lock_rows(Competition.objects.filter(organisers=user))
        check_not_the_last(User.objects.select_for_update().get(pk=user.pk))
        lock_rows(Team.objects.filter(memberships__user=user))
        for membership in user.memberships.order_by("team_id"):
            end_membership(membership)
        if user.email:
            Invitation.objects.filter(email__iexact=user.email).update(email="")
            Mail.objects.filter(to__iexact=user.email).delete()
        user.questions.filter(is_public=False).delete()
        AuditEntry.objects.append("account deleted", subject=f"account {user.pk}")
        User.objects.get(pk=user.pk).delete()


def check_not_the_last(user: User) -> None:
    """Somebody must be left to run the server and every competition."""
    if user.is_superuser and not User.objects.filter(is_superuser=True).exclude(pk=user.pk).exists():
        raise Conflict("You are the only administrator of this server. Make somebody else one first.")
    theirs = Competition.objects.filter(organisers=user)
    shared = Competition.objects.filter(organisers__in=User.objects.exclude(pk=user.pk))
    alone = list(theirs.exclude(pk__in=shared.values("pk")))
    if alone:
        names = ", ".join(competition.name for competition in alone)
        raise Conflict(f"You are the only organiser of {names}. Make somebody else an organiser first.")
