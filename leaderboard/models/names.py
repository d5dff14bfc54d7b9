"""The one rule for names: of teams, methods and people. Used by page, API, admin and import, through the models.

A name must show something, must not hide or imitate by characters that nobody sees, and stays bounded however it is
compared. Sources: Unicode's Default_Ignorable_Code_Point, and RFC 5892's CONTEXTJ for joiners (package idna).
"""

import unicodedata
from itertools import groupby

import idna
from confusable_homoglyphs import confusables
from django.core.exceptions import ValidationError

LONGEST_FOLDED = 120  # characters; the column of a team's folded name
MOST_MARKS = 4  # on one letter: Hebrew and Vietnamese need three
ZWNJ, ZWJ = "\u200c", "\u200d"
BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Overrides, embeddings and isolates: they make text read in another order than it is written."""
IGNORABLE = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A)),
    (0xE0000, 0xE0FFF),
)
BLANK = frozenset("\u2800\u303f\U0001d159")  # shown as nothing, although Unicode calls them symbols


def is_ignorable(character: str) -> bool:
    """Whether nothing is shown for it: default-ignorable, filler, blank."""
    return character in BLANK or any(first <= ord(character) <= last for first, last in IGNORABLE)


def is_nonsense(character: str) -> bool:
    """Control, half of a pair, private use, or no character at all: no font shows it as its writer meant it."""
    kind = unicodedata.category(character)
    return kind in {"Cs", "Co"} or (kind == "Cc" and not character.isspace()) or _is_noncharacter(character)


def _is_noncharacter(character: str) -> bool:
    return 0xFDD0 <= ord(character) <= 0xFDEF or ord(character) & 0xFFFE == 0xFFFE


def without_invisible(text: str) -> str:
    """The text without what nobody sees: zero-width spaces, byte order marks, soft hyphens, fillers, tags, that come along
    when text is pasted. Joiners stay where Persian, Hindi and emoji need them; bidi controls are left to be refused."""
    return "".join(
        character
        for at, character in enumerate(text)
        if not is_ignorable(character) or character in BIDI or _is_needed(text, at)
    )


def _is_needed(text: str, at: int) -> bool:
    """Whether the ignorable character shapes its neighbours: a joiner, or the style of an emoji."""
    character, before = text[at], text[at - 1] if at else ""
    if character in ("\ufe0e", "\ufe0f"):
        return bool(before) and (before in "#*0123456789" or unicodedata.category(before)[0] == "S")
    if character == ZWJ and _is_between_emoji(text, at):
        return True
    if character not in (ZWJ, ZWNJ):
        return False
    try:
        return idna.valid_contextj(text, at)
    except ValueError:  # an unassigned neighbour
        return False


def _is_between_emoji(text: str, at: int) -> bool:
    before = text[:at].rstrip("\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")[-1:]
    after = text[at + 1 : at + 2]
    return all(each and unicodedata.category(each) == "So" for each in (before, after))


def tidy(text: str) -> str:
    """Normalised (NFC), without invisible characters, with runs of white space folded to one space."""
    return " ".join(without_invisible(unicodedata.normalize("NFC", text)).split())


def folded(text: str) -> str:
    """The form in which equal names compare as equal: compatibility, case and invisible characters do not count."""
    form = unicodedata.normalize("NFKC", tidy(text)).casefold()
    seen = "".join(character for character in form if not is_ignorable(character))
    return " ".join(unicodedata.normalize("NFKC", seen).split())


def plain_name(value: str) -> None:
    """Raises ValidationError, with a sentence, for a name that cannot be seen or compared. Beside ``text.plain_text``."""
    if not any(unicodedata.category(each)[0] in "LNPS" and not is_ignorable(each) for each in value):
        raise ValidationError("A name needs at least one character that can be seen.", code="invisible")
    runs = groupby(
        unicodedata.normalize("NFD", value), key=lambda each: unicodedata.category(each) in {"Mn", "Me"}
    )
    if any(is_mark and len(list(run)) > MOST_MARKS for is_mark, run in runs):
        raise ValidationError(
            f"More than {MOST_MARKS} accents or marks stand on one letter. Please remove some.", code="marks"
        )
    if len(folded(value)) > LONGEST_FOLDED:
        raise ValidationError(
            f"Written out for comparison, this name has more than {LONGEST_FOLDED} characters. Please shorten it.",
            code="too_long",
        )


def imitation(name: str) -> str:
    """Why the name may imitate another one, in words; "" if nothing says so. For organisers to look at, not to refuse.

    A word that mixes Latin letters with ones of another script that look like Latin ones; whole words in another script are
    ordinary.
    """
    found = [
        f"{each['character']} (U+{ord(each['character']):04X}) looks like {each['homoglyphs'][0]['c']}"
        for word in without_invisible(name).split()
        if confusables.is_mixed_script(word, allowed_aliases=["COMMON", "INHERITED"])
        for each in confusables.is_confusable(word, greedy=True, preferred_aliases=["latin"]) or []
    ]
    return "; ".join(found[:3])
