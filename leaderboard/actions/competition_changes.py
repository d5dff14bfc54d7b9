"""What a change of a competition's settings means for participants: said before it is saved, published after it."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.db.models import Count
from django.template.defaultfilters import pluralize

from leaderboard.models import Competition, JoinRequest, Merger, Team
from leaderboard.models.text import moment

RULES = frozenset(
    {
        *("is_published", "max_team_size", "roster_locks_at", "roster_reopens_at"),
        *("mergers_until", "descriptions_due_at"),
    }
)
"""Settings that touch fairness: a change of them needs a reason and is public, unless there is a reason against it."""

UNDO = "Saving the former value undoes this."


def need_reason_for(fields: Iterable[str]) -> bool:
    """Whether changing these settings touches fairness."""
    return bool(RULES.intersection(fields))


def consequences(before: Competition, after: Competition, now: datetime) -> list[str]:
    """Sentences about what saving ``after`` (not yet saved) in place of ``before`` does that may surprise."""
    return [
        *_visibility(before, after),
        *_rosters(before, after, now),
        *_mergers(before, after, now),
        *_descriptions(before, after, now),
        *_sizes(before, after),
        *_addresses(before, after),
    ]


def _visibility(before: Competition, after: Competition) -> Iterator[str]:
    if before.is_published == after.is_published:
        return
    teams = Team.objects.competing().filter(competition=before).count()
    who = f"{teams} team{pluralize(teams)}"
    if after.is_published:
        yield f"At once everyone can see {after.name} with its pages and boards; anyone who has read them cannot forget them."
    else:
        yield (
            f"At once {after.name} disappears for everyone but its organisers: {who} can neither see it nor submit. {UNDO}"
        )


def _rosters(before: Competition, after: Competition, now: datetime) -> Iterator[str]:
    was, will = before.roster_is_locked(now), after.roster_is_locked(now)
    if will and not was:
        asked = JoinRequest.objects.open().filter(team__competition=before).count()
        waiting = f" {asked} request{pluralize(asked)} to join can no longer be accepted." if asked else ""
        yield f"Teams are locked at once: nobody can join, leave or be removed by an owner.{waiting} {UNDO}"
    if was and not will:
        until = f" until {moment(after.roster_locks_at)}" if after.roster_locks_at else ""
        yield f"Teams, which are locked, open again{until}: people can join and leave. {UNDO}"


def _mergers(before: Competition, after: Competition, now: datetime) -> Iterator[str]:
    was = before.mergers_until is None or now < before.mergers_until
    if was and after.mergers_until is not None and now >= after.mergers_until:
        offers = Merger.objects.open().filter(team__competition=before).count()
        waiting = f" {offers} open offer{pluralize(offers)} can no longer be accepted." if offers else ""
        yield f"Teams can no longer merge.{waiting} {UNDO}"


def _descriptions(before: Competition, after: Competition, now: datetime) -> Iterator[str]:
    due = after.descriptions_due_at
    if due == before.descriptions_due_at:
        return
    teams = Team.objects.competing().filter(competition=before)
    if due is None:
        yield f"Every team becomes eligible for awards, with or without a method description. {UNDO}"
        return
    late = teams.filter(description__uploaded_at__gt=due).count()
    none = teams.filter(description=None).count()
    if late:
        yield (
            f"{late} team{pluralize(late)} handed in a description after {moment(due)} and "
            f"{pluralize(late, 'is,are')} no longer eligible. {UNDO}"
        )
    if none and now >= due:
        yield f"{none} team{pluralize(none)} without a description {pluralize(none, 'is,are')} not eligible from now on. {UNDO}"


def _sizes(before: Competition, after: Competition) -> Iterator[str]:
    limit = after.max_team_size
    if limit is None or limit == before.max_team_size:
        return
    sizes = Team.objects.competing().filter(competition=before).annotate(size=Count("memberships"))
    if larger := sizes.filter(size__gt=limit).count():
        yield (
            f"{larger} team{pluralize(larger)} {pluralize(larger, 'has,have')} more than {limit} members: nobody has to leave, "
            f"but nobody can join. {UNDO}"
        )


def _addresses(before: Competition, after: Competition) -> Iterator[str]:
    if after.slug != before.slug:
        yield f"The pages move to /c/{after.slug}/. Links to /c/{before.slug}/ lead to the new address."
