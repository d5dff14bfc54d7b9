"""Which passwords are too easy to guess. Nothing leaves the server: the lists come with Django and zxcvbn."""

import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from zxcvbn import zxcvbn

from leaderboard.models import Competition, Team

OUR_WORDS = ("landslide", "landslides", "landslide4sense", "l4s", "leaderboard", "sentinel", "challenge")
LONGEST_JUDGED = 72  # characters; the time that zxcvbn takes grows with the length
ENOUGH = 2  # of 4: withstands 100 million guesses by somebody who does not know the site
ENOUGH_WITH_OUR_WORDS = 3


class GuessablePasswordValidator:
    """Refuses common and leaked passwords, keyboard patterns, dates and repetitions, also with the usual substitutions, and
    what is made from the words of this site: competitions, the person's own teams, name and address."""

    def validate(self, password: str, user: Any = None) -> None:
        """Raises ValidationError with a sentence that says why."""
        found = zxcvbn(password[:LONGEST_JUDGED], user_inputs=words_of(user))
        ours = any(part.get("dictionary_name") == "user_inputs" for part in found["sequence"])
        if found["score"] >= (ENOUGH_WITH_OUR_WORDS if ours else ENOUGH):
            return
        why = (
            "It is made from words of this site or from your own names."
            if ours
            else found["feedback"]["warning"] or "There is little in it that would have to be guessed."
        )
        raise ValidationError(
            f"This password is too easy to guess. {why} Take three or four words that have nothing to do with each "
            "other, or one from a password manager.",
            code="password_too_easy",
        )

    def get_help_text(self) -> str:
        return "Your password can’t be made from words of this site or from your own names."


def words_of(user: Any) -> list[str]:
    """What somebody who knows the site and the person would try first, in lower case."""
    texts = [settings.SITE_NAME, *Competition.objects.values_list("name", flat=True)]
    texts += Competition.objects.values_list("slug", flat=True)
    if user is not None:
        texts += [user.username, user.email, user.first_name, user.last_name, user.affiliation]
        texts += Team.objects.filter(memberships__user=user).values_list("name", flat=True) if user.pk else []
    words = {word for text in texts for word in re.split(r"[\W_]+", text.lower()) if len(word) > 2}
    whole = {re.sub(r"[\W_]+", "", text.lower()) for text in texts}
    return sorted(words | whole | set(OUR_WORDS) - {""})
