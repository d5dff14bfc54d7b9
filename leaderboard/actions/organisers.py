"""Who organises a competition. Who organises does not compete: organisers see what the phases hide."""

from typing import Any

from django.db import transaction

from leaderboard.models import AuditEntry, Competition, Team, User
from leaderboard.models.locks import lock_rows

from .records import need_reason, public_entry
from .refusals import Conflict, InvalidInput, OrganisersDoNotCompete, check_organiser


def check_may_compete(user: Any, competition: Competition) -> None:
    """Refuse an organiser (superusers organise every competition) before they join a team."""
    if competition.is_organised_by(user):
        raise OrganisersDoNotCompete(
            f"{user} organises {competition} and sees what its phases hide, so cannot be in a competing team. Whoever "
            "wants to compete leaves the organisers first, or submits reference entries, which have no rank."
        )
    if role := competition.roles.filter(user=user).first():
        raise OrganisersDoNotCompete(
            f"{user} is {role.kind} of {competition}, so cannot be in a competing team. An organiser can take the role away."
        )


def check_may_organise(person: Any, competition: Competition) -> None:
    """Refuse a member of a competing team before they become an organiser."""
    team = Team.objects.competing().of(person).filter(competition=competition).first()
    if team is not None:
        raise OrganisersDoNotCompete(
            f"{person} is in the team {team} of {competition}, and organisers do not compete. {person} must leave the "
            "team first."
        )


def in_turn(competition: Competition) -> None:
    """Serialise changes of who competes, organises or wins. Inside the caller's transaction."""
    lock_rows(Competition.objects.filter(pk=competition.pk))


def find_person(username: str) -> User:
    """The account of that name; by user name alone, so that nobody can try out addresses."""
    person = User.objects.filter(username=username.strip(), is_active=True).first()
    if person is None:
        raise InvalidInput(f"There is no account named {username.strip()}. Ask the person for the user name.")
    return person


def appoint(competition: Competition, person: User) -> None:
    """Make a person an organiser who may enter the admin. Inside the caller's transaction, which also logs it."""
    in_turn(competition)
    check_may_organise(person, competition)
    competition.organisers.add(person)
    User.objects.filter(pk=person.pk, is_staff=False).update(is_staff=True)


def add_organiser(
    user: Any, competition: Competition, username: str, reason: str, withhold: str = ""
) -> User:
    """An organiser appoints another."""
    check_organiser(user, competition)
    reason, person = need_reason(reason), find_person(username)
    if competition.organisers.filter(pk=person.pk).exists():
        raise Conflict(f"{person} organises {competition} already.")
    with transaction.atomic():
        appoint(competition, person)
        _log("organiser added", user, competition, person, public_entry(reason, withhold))
    return person


def remove_organiser(
    user: Any, competition: Competition, username: str, reason: str, withhold: str = ""
) -> User:
    """An organiser removes another, or themselves; one always remains."""
    check_organiser(user, competition)
    reason, person = need_reason(reason), find_person(username)
    with transaction.atomic():
        in_turn(competition)
        if not competition.organisers.filter(pk=person.pk).exists():
            raise InvalidInput(f"{person} does not organise {competition}.")
        if not competition.organisers.exclude(pk=person.pk).exists():
            raise Conflict(f"{person} is the only organiser of {competition}. Add another one first.")
        competition.organisers.remove(person)
        leave_the_admin(person)
        _log("organiser removed", user, competition, person, public_entry(reason, withhold))
    return person


def leave_the_admin(person: User) -> None:
    """Who neither organises nor helps with any competition may no longer enter the admin."""
    helps = person.roles.filter(kind="helper").exists()
    if not (person.is_superuser or helps or person.organised_competitions.exists()):
        User.objects.filter(pk=person.pk).update(is_staff=False)


def _log(act: str, user: Any, competition: Competition, person: User, entry: dict[str, Any]) -> None:
    AuditEntry.objects.append(act, competition=competition, actor=user, subject=str(person), **entry)
