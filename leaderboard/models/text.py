"""Rules for short texts by participants, which end up on boards, in mails and in other people's spreadsheets; and how
sentences write times.
"""

import unicodedata
from datetime import UTC, datetime

from django.core.exceptions import ValidationError


def tidy(text: str) -> str:
    """Normalised (NFC), with runs of white space folded to one space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def folded(text: str) -> str:
    """The form in which equal names compare as equal."""
    return unicodedata.normalize("NFKC", tidy(text)).casefold()


def plain_text(value: str) -> None:
    """Reject control and bidirectional characters: they can disguise one name as another."""
    for character in value:
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co"} and character not in "\n\r\t":
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
