"""Which mails a person gets."""

from collections.abc import Mapping
from typing import Any

from leaderboard.models import NoticeChoice, NoticeKind, User
from leaderboard.notifications.letters import read_token

from .refusals import LinkUnknown


def choose(user: Any, choices: Mapping[str, bool]) -> dict[str, bool]:
    """Switch kinds of mail on or off; kinds that are not named stay as they are. Returns all of them."""
    rows = [NoticeChoice(user=user, kind=NoticeKind(kind), wanted=wanted) for kind, wanted in choices.items()]
    NoticeChoice.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["user", "kind"], update_fields=["wanted"]
    )
    return NoticeChoice.objects.of(user)


def find_subscription(token: str) -> tuple[User, NoticeKind]:
    """Whose mails of which kind the link of a mail ends; LinkUnknown for anything but such a link."""
    found = read_token(token)
    user = User.objects.filter(pk=found[0]).first() if found else None
    if found is None or user is None:
        raise LinkUnknown(
            "This link is incomplete or of an account that no longer exists. Sign in to choose which mails you get."
        )
    return user, found[1]


def unsubscribe(token: str) -> NoticeKind:
    """End the mails of one kind to one person, by the link that such a mail carries; returns the kind."""
    user, kind = find_subscription(token)
    choose(user, {kind.value: False})
    return kind
