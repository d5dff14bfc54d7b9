"""What people do with their own account: API tokens, and its end."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.contrib.sessions.models import Session
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
from leaderboard.notifications import mails
from leaderboard.notifications.accounts import tell

from .records import need_reason
from .refusals import Conflict, InvalidInput, NotAllowed, check_fields
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
        user.auth_token_set.expired(timezone.now()).delete()
        if user.auth_token_set.count() >= limit:
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


def block_person(user: Any, person: User, reason: str) -> None:
    """End a person's sessions and API tokens and refuse every further sign-in. ``unblock_person`` undoes it.

    Superusers block anyone but superusers; organisers only people of their own competitions who organise none and
    compete in no other. What the teams have submitted stays. The log of the organisers names the person, the public
    one does not.
    """
    reason = need_reason(reason)
    competitions = _check_may_block(user, person)
    with transaction.atomic():
        if not User.objects.filter(pk=person.pk, is_active=True).update(is_active=False):
            raise Conflict(f"{person} is blocked already.")
        person.auth_token_set.all().delete()
        end_sessions(person)
        _log_block("person blocked", user, person, competitions, reason)
        text = f"The organisers have blocked your account {person}: you cannot sign in or submit.\n\nReason: {reason}"
        _tell_of_block(person, competitions, "Your account is blocked", text)
    person.is_active = False


def unblock_person(user: Any, person: User, reason: str) -> None:
    """Undo ``block_person``. Sessions and tokens do not come back: the person signs in again."""
    reason = need_reason(reason)
    competitions = _check_may_block(user, person)
    with transaction.atomic():
        if not User.objects.filter(pk=person.pk, is_active=False).update(is_active=True):
            raise Conflict(f"{person} is not blocked.")
        _log_block("person unblocked", user, person, competitions, reason)
        text = f"Your account {person} is no longer blocked. Sign in again; API tokens must be made again.\n\nReason: {reason}"
        _tell_of_block(person, competitions, "Your account is no longer blocked", text)
    person.is_active = True


def end_sessions(person: User) -> int:
    """Sign the person out of every browser; returns from how many sessions."""
    theirs = [
        session.pk
        for session in Session.objects.filter(expire_date__gt=timezone.now()).iterator()
        if session.get_decoded().get("_auth_user_id") == str(person.pk)
    ]
    return Session.objects.filter(pk__in=theirs).delete()[0]


def _check_may_block(user: Any, person: User) -> list[Competition]:
    """The competitions of the person that the user may speak for, or NotAllowed."""
    theirs = list(Competition.objects.filter(teams__memberships__user=person).distinct())
    if user is not None and user.pk == person.pk:
        raise NotAllowed("You cannot block yourself.")
    if person.is_superuser:
        raise NotAllowed(f"{person} administers this server and cannot be blocked.")
    if user is None or user.is_superuser:
        return theirs
    if person.is_staff or person.organised_competitions.exists():
        raise NotAllowed(f"{person} organises a competition. Remove {person} from the organisers first.")
    if not theirs or not all(competition.is_organised_by(user) for competition in theirs):
        raise NotAllowed(
            f"{person} takes part in competitions that you do not organise. Ask an administrator of the server."
        )
    return theirs


def _log_block(act: str, user: Any, person: User, competitions: list[Competition], reason: str) -> None:
    concerned: list[Competition | None] = [*competitions] or [None]
    for competition in concerned:
        AuditEntry.objects.append(
            act, competition=competition, actor=user, subject=str(person), reason=reason
        )


def _tell_of_block(person: User, competitions: list[Competition], subject: str, text: str) -> None:
    if person.email:
        mails.send(competitions[0] if competitions else None, subject, text, [person.email])


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
