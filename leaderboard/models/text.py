"""Rules for texts by participants, which end up on boards, in mails and in other people's spreadsheets (names: ``names``);
and how sentences write times.
"""

from datetime import UTC, datetime

from django.core.exceptions import ValidationError

from .names import BIDI, is_nonsense


def plain_text(value: str) -> None:
    """Reject control characters and bidi overrides: they can disguise one text as another.

    Harmless invisible characters pass; ``actions.refusals.check_fields`` removes them.
    """
    for character in value:
        if character in BIDI or is_nonsense(character):
            raise ValidationError(
                f"The character U+{ord(character):04X} cannot be used here. Please remove it.",
                code="character",
            )


def moment(at: datetime) -> str:
    """A time for a sentence: 3 June 2022, 00:00 UTC."""
    return f"{day(at)}, {at.astimezone(UTC):%H:%M} UTC"


def day(at: datetime) -> str:
    """The UTC date of a time: 3 June 2022."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y}"
