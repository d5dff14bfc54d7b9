"""Lists as long as the history: pages without a count of everything, and a search that asks one index."""

import re
from typing import Any

from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.utils.functional import cached_property

from leaderboard.models import Evaluation, Team, User

COUNTED = 2_000  # rows that are counted, and that one can page through
NAMED = 1_000  # teams or people that a text may name before the newest rows of all of them are looked through
SHA256 = re.compile(r"[0-9a-f]{64}")
INCIDENT = re.compile(r"[0-9a-f]{12}")


class BoundedPaginator(Paginator):
    """Counts up to ``COUNTED`` rows: counting a million takes longer than showing fifty of them."""

    template_name = "admin/bounded_pages.html"

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNTED)

    @property
    def has_more(self) -> bool:
        return self._counted > COUNTED

    @cached_property
    def _counted(self) -> int:
        rows: Any = self.object_list
        return rows.order_by().values("pk")[: COUNTED + 1].count()


def plain(text: str) -> str:
    """A search as it was meant: submission 3000 is printed as #3000."""
    text = text.strip()
    number = text.removeprefix("#").strip()
    return number if number.isascii() and number.isdecimal() else text


def find_submissions(text: str) -> Q:
    """The submissions that a text means: by number, SHA-256 of the archive, incident, or name of a team or person."""
    text = plain(text)
    if SHA256.fullmatch(text.lower()):
        return Q(sha256=text.lower())
    if INCIDENT.fullmatch(text.lower()):
        return Q(pk__in=with_incident(text.lower()).values("submission"))
    if text.isascii() and text.isdecimal():
        return Q(pk=int(text)) if len(text) < 19 else Q(pk__in=[])
    people = _named(User.objects.filter(username__icontains=text))
    return find_by_team(text) | Q(submitted_by__in=people)


def with_incident(incident: str) -> QuerySet[Evaluation]:
    return Evaluation.objects.exclude(incident="").filter(incident=incident)


def find_by_team(text: str, path: str = "") -> Q:
    return Q(**{f"{path}team__in": _named(Team.objects.filter(name__icontains=text))})


def _named(rows: Any) -> Any:
    """Few keys as they are, so that each is looked up in its index; of many the newest rows are found soon anyway."""
    keys = list(rows.order_by().values_list("pk", flat=True)[: NAMED + 1])
    return keys if len(keys) <= NAMED else rows.order_by().values("pk")
