"""What a token must be good for. Each operation names its need in its view's ``needs``; ``BearerToken`` asks ``check``.

A session needs no scope: whoever is logged in on the site may do what they may.
"""

from dataclasses import dataclass
from typing import Any

from django.db import models
from django.urls import Resolver404, resolve
from rest_framework.exceptions import PermissionDenied

from leaderboard.models import ALL_SCOPES, ApiToken, Scope, Upload
from leaderboard.models.ownership import COMPETITION_OF, competition_of


@dataclass(frozen=True)
class Need:
    """One of ``scopes`` is enough, and none of none. ``whole``: all of them, for every competition."""

    scopes: tuple[Scope, ...]
    whole: bool = False

    def is_met_by(self, token: ApiToken) -> bool:
        if self.whole:
            return token.has_full_power
        return not self.scopes or any(scope in token.scopes for scope in self.scopes)

    @property
    def words(self) -> str:
        """For the reference: `read` or `submit`."""
        if self.whole:
            return "all of them, for every competition"
        return " or ".join(f"`{scope}`" for scope in self.scopes) or "none"


NOTHING = Need(())
READING = Need((Scope.READ,))
OWN_SUBMISSIONS = Need((Scope.READ, Scope.SUBMIT))
SUBMITTING = Need((Scope.SUBMIT,))
SEEING_TEAMS = Need((Scope.READ, Scope.TEAM))
MANAGING_TEAMS = Need((Scope.TEAM,))
ORGANISING = Need((Scope.ORGANISE,))
ACCOUNT = Need(ALL_SCOPES, whole=True)


class InsufficientScope(PermissionDenied):
    """403 with `error="insufficient_scope"` (RFC 6750); ``need``: what the token lacks."""

    default_code = "insufficient_scope"

    def __init__(self, sentence: str, need: Need) -> None:
        super().__init__(sentence)
        self.need = need


def need_of(view: Any, method: str) -> Need:
    """The need of an operation. One that names none needs a token of full power; a test finds it."""
    method = method.lower()
    name = getattr(view, "action", None) or (
        "get" if method == "head" and "head" not in view.needs else method
    )
    return view.needs.get(name, ACCOUNT)


def check(token: ApiToken, view: Any, request: Any) -> None:
    """Raises InsufficientScope unless the token is good for the operation that the request asks for."""
    if request.method != "OPTIONS" and hasattr(view, request.method.lower()):
        check_need(token, need_of(view, request.method))


def need_at(path: str, method: str) -> Need | None:
    """The need of the operation at an address, before its view runs; None: there is no such operation."""
    try:
        found = resolve(path)
    except Resolver404:
        return None
    if not hasattr(found.func, "cls"):
        return None
    view: Any = found.func.cls()
    actions = getattr(found.func, "actions", None)
    if actions is None:
        return need_of(view, method) if hasattr(view, method.lower()) else None
    view.action = actions.get(method.lower())
    return need_of(view, method) if view.action else None


def check_need(token: Any, need: Need) -> None:
    """Raises InsufficientScope unless the token meets the need; None is a session."""
    if token is None or need.is_met_by(token):
        return
    has = " and ".join(token.scopes) or "none"
    if not need.whole:
        wanted = f"the scope {' or '.join(need.scopes)}"
    elif token.competition_id is None:
        wanted = f"all scopes ({', '.join(ALL_SCOPES)})"
    else:
        wanted = "all scopes for every competition"
    raise InsufficientScope(
        f"This needs a token with {wanted}; yours ({token.name}) has {has}"
        f"{', for one competition only' if token.competition_id and need.whole else ''}. "
        "Create one with it on the site, under your account.",
        need,
    )


def check_organiser(token: Any, competition: Any) -> None:
    """Raises InsufficientScope where an organiser of the competition comes with a token that cannot act as one."""
    if token is not None and competition.organisers.filter(pk=token.user_id).exists():
        check_need(token, ORGANISING)


def within(rows: models.QuerySet[Any], token: Any) -> models.QuerySet[Any]:
    """The rows that a token for one competition may see."""
    path = COMPETITION_OF.get(rows.model)
    if token is None or token.competition_id is None or path is None:
        return rows
    return rows.filter(**{path: token.competition_id})


def check_within(token: Any, *rows: Any) -> None:
    """Raises InsufficientScope where one of the rows belongs to another competition than the token."""
    if token is None or token.competition_id is None:
        return
    for row in rows:
        found = competition_of(row.phase if isinstance(row, Upload) else row) if row is not None else None
        if found is not None and found.pk != token.competition_id:
            raise InsufficientScope(
                f"Your token ({token.name}) works only for {token.competition}. This belongs to {found}.",
                NOTHING,
            )
