"""Helpers and the jury of a competition, and the jury's votes."""

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from leaderboard.models import AuditEntry, Competition, JuryVote, Prize, Role, Team, User
from leaderboard.models.roles import is_juror

from .descriptions import why_not_eligible
from .organisers import find_person, in_turn, leave_the_admin
from .records import need_reason, public_entry
from .refusals import (
    Conflict,
    InvalidInput,
    NotAllowed,
    OrganisersDoNotCompete,
    check_fields,
    check_organiser,
)


def grant(
    user: Any, competition: Competition, username: str, kind: str, reason: str, withhold: str = ""
) -> Role:
    """An organiser makes a person a helper or a juror. Who competes is refused: both see what other teams wrote."""
    check_organiser(user, competition)
    reason, person = need_reason(reason), find_person(username)
    if kind not in Role.Kind.values:
        raise InvalidInput("Choose helper or jury.", fields={"kind": ["Choose helper or jury."]})
    with transaction.atomic():
        in_turn(competition)
        team = Team.objects.competing().of(person).filter(competition=competition).first()
        if team is not None:
            raise OrganisersDoNotCompete(f"{person} is in the team {team} and must leave it first.")
        role, is_new = Role.objects.get_or_create(
            competition=competition, user=person, kind=kind, defaults={"granted_by": user}
        )
        if not is_new:
            raise Conflict(f"{person} is {kind} of {competition} already.")
        if kind == Role.Kind.HELPER:
            User.objects.filter(pk=person.pk, is_staff=False).update(is_staff=True)
        _log(f"{kind} added", user, competition, str(person), **public_entry(reason, withhold))
    return role


def revoke(user: Any, role: Role, reason: str, withhold: str = "") -> None:
    """Take the role away. A juror's votes stay."""
    check_organiser(user, role.competition)
    entry = public_entry(need_reason(reason), withhold)
    person = role.user
    with transaction.atomic():
        in_turn(role.competition)
        role.delete()
        leave_the_admin(person)
        _log(f"{role.kind} removed", user, role.competition, str(person), **entry)


def vote(user: Any, prize: Prize, team: Team, reason: str) -> JuryVote:
    """A juror chooses a team for a prize of the committee's, or changes the choice, with a reason."""
    competition = prize.competition
    if not is_juror(competition, user):
        raise NotAllowed(f"Only the jury of {competition} votes.")
    if prize.rank is not None:
        raise InvalidInput(f"{prize} goes by rank; nobody votes on it.")
    if team.competition_id != competition.pk:
        raise InvalidInput(f"Choose a team of {competition}.")
    if why_not := why_not_eligible(team):
        raise NotAllowed(f"{team} is not eligible. {why_not}")
    with transaction.atomic():
        in_turn(competition)
        if competition.awards.filter(title=prize.title).exists():
            raise Conflict(f"{prize} has been given already.")
        cast = JuryVote.objects.filter(prize=prize, juror=user).first() or JuryVote(prize=prize, juror=user)
        before = str(cast.team) if cast.pk else ""
        cast.team, cast.reason, cast.voted_at = team, need_reason(reason), timezone.now()
        check_fields(cast, "reason")
        cast.save()
        details = {"prize": prize.title, **({"before": before} if before else {})}
        _log("jury voted", user, competition, str(team), reason=cast.reason, details=details)
    return cast


@dataclass
class Tally:
    """The votes for one team."""

    team: Team
    votes: list[JuryVote]


def tally(prize: Prize) -> list[Tally]:
    """The votes on a prize by team, most first."""
    found: dict[int, Tally] = {}
    for cast in prize.votes.select_related("team", "juror"):
        found.setdefault(cast.team_id, Tally(cast.team, [])).votes.append(cast)
    return sorted(found.values(), key=lambda row: (-len(row.votes), row.team.name))


def _log(act: str, user: Any, competition: Competition, subject: str, **entry: Any) -> None:
    AuditEntry.objects.append(act, competition=competition, actor=user, subject=subject, **entry)
