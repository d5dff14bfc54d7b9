"""Create a team, invite, join, leave. The roster can be locked by date."""

import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from leaderboard.models import Competition, Invitation, Membership, Team
from leaderboard.models.locks import lock_rows
from leaderboard.models.text import day, moment
from leaderboard.notifications import mails

from .board_updates import boards_changed
from .organisers import check_may_compete, in_turn
from .participation import tell_organisers_of_new_team
from .refusals import (
    AlreadyInTeam,
    Conflict,
    InvitationUnknown,
    NameTaken,
    NotAllowed,
    RosterLocked,
    TeamFull,
    TooMany,
    check_fields,
)

INVITATION_DAYS = 14
ASKED_PER_DAY = 30  # invitations of a team, requests of a person, offers of a team


def create_team(user: Any, competition: Competition, name: str, affiliation: str = "") -> Team:
    """Create a team; the person becomes its owner."""
    check_roster_open(competition)
    check_has_no_team(user, competition)
    team = Team(competition=competition, name=name, affiliation=affiliation.strip())
    check_fields(team, "name", "affiliation")
    try:
        with transaction.atomic():
            in_turn(competition)
            check_may_compete(user, competition)
            team.save()
            Membership.objects.create(team=team, user=user, role=Membership.Role.OWNER)
            tell_organisers_of_new_team(team)
    except IntegrityError as error:
        check_has_no_team(user, competition)
        raise NameTaken(f"A team named {team.name} exists already. Please choose another name.") from error
    return team


def edit_team(user: Any, team: Team, *, name: str | None = None, affiliation: str | None = None) -> Team:
    """An owner changes name or affiliation, as long as the roster is open; every board shows it at once."""
    check_owner(user, team)
    check_roster_open(team.competition, team)
    team.name = team.name if name is None else name
    team.affiliation = team.affiliation if affiliation is None else affiliation.strip()
    check_fields(team, "name", "affiliation")
    try:
        with transaction.atomic():
            lock_rows(Team.objects.filter(pk=team.pk))
            boards_changed(team.competition)
            team.save(update_fields=["name", "affiliation"])
    except IntegrityError as error:
        raise NameTaken(f"A team named {team.name} exists already. Please choose another name.") from error
    return team


def name_in_public(user: Any, team: Team, named: bool) -> None:
    """A member agrees to be named on the team's public page, or no longer does. Possible at any time."""
    if not team.memberships.filter(user=user).update(is_named=named):
        raise NotAllowed(f"You are not in {team}.")


def invite(user: Any, team: Team, email: str = "") -> tuple[Invitation, str]:
    """A link for one person; returns the invitation and its token, which is shown once and not stored."""
    check_owner(user, team)
    check_roster_open(team.competition, team)
    check_not_too_many(team.invitations.all(), "invitations of a team")
    check_fields(asked := Invitation(email=email), "email")
    email = asked.email
    token = secrets.token_urlsafe(24)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            team=team,
            email=email,
            token_digest=Invitation.digest(token),
            created_by=user,
            expires_at=timezone.now() + timedelta(days=INVITATION_DAYS),
        )
        if email:
            send_invitation(invitation, token)
    return invitation, token


def invitation_link(token: str) -> str:
    """The address that the invited person opens. The token follows the ?: no log keeps it."""
    return f"{settings.SITE_URL}/join/?invitation={token}"


def send_invitation(invitation: Invitation, token: str) -> None:
    team = invitation.team
    subject = f"{invitation.created_by} invites you to the team {team}"
    text = (
        f"{invitation.created_by} invites you to the team {team} of {team.competition}. Sign in and open this link; it "
        f"is valid for one person until {day(invitation.expires_at)}:\n\n{invitation_link(token)}\n"
    )
    mails.send(team.competition, subject, text, [invitation.email])


def revoke_invitation(user: Any, invitation: Invitation) -> None:
    check_owner(user, invitation.team)
    Invitation.objects.filter(pk=invitation.pk, accepted_at=None).update(revoked_at=timezone.now())


def find_invitation(token: str) -> Invitation:
    """The open invitation that the token stands for, or InvitationUnknown."""
    invitation = Invitation.objects.open().with_token(token).select_related("team__competition").first()
    if invitation is None:
        raise InvitationUnknown(
            "This invitation is unknown, used or older than "
            f"{INVITATION_DAYS} days. Ask the owner of the team for a new link."
        )
    return invitation


def accept_invitation(user: Any, token: str) -> Team:
    """Join the team of the invitation; a link serves one person once."""
    invitation = find_invitation(token)
    team = invitation.team
    check_may_compete(user, team.competition)
    check_has_no_team(user, team.competition)
    with transaction.atomic():
        in_turn(team.competition)
        used = Invitation.objects.open().filter(pk=invitation.pk)
        if not used.update(accepted_by=user, accepted_at=timezone.now()):
            raise InvitationUnknown("Somebody else has just used this invitation. Ask for a new link.")
        add_member(team, user)
    return team


def add_member(team: Team, user: Any) -> None:
    """Add a person to a team, by the one set of rules for it. Inside the caller's transaction."""
    check_roster_open(team.competition, team)
    in_turn(team.competition)
    if not team.is_organisers:
        check_may_compete(user, team.competition)
    check_has_no_team(user, team.competition, f"{user} is")
    [held] = lock_rows(Team.objects.filter(pk=team.pk))
    if held.merged_into:
        raise Conflict(f"{team} has become part of {held.merged_into}. Ask there.")
    limit = team.competition.max_team_size
    if limit is not None and team.memberships.count() >= limit:
        raise TeamFull(f"{team} has {limit} members already, the most a team may have.")
    try:
        with transaction.atomic():
            Membership.objects.create(team=team, user=user)
    except IntegrityError as error:
        raise AlreadyInTeam(f"{user} is in a team of {team.competition} already.") from error


def leave(user: Any, team: Team) -> None:
    """Leave a team. An owner leaves only when another owner stays, or as the last member of a team that never submitted."""
    remove_member(user, team, user)


def remove_member(user: Any, team: Team, member: Any) -> None:
    """Remove a member; members may remove themselves, owners anyone."""
    if user != member:
        check_owner(user, team)
    check_roster_open(team.competition, team)
    with transaction.atomic():
        lock_rows(Team.objects.filter(pk=team.pk))
        membership = team.memberships.filter(user=member).first()
        if membership is None:
            raise NotAllowed(f"{member} is not in {team}.")
        others = team.memberships.exclude(pk=membership.pk)
        if not others.exists():
            if team.submissions.exists():
                raise NotAllowed(
                    f"You are the last member of {team}, which has submissions. It cannot be left empty."
                )
        elif not others.filter(role=Membership.Role.OWNER).exists():
            raise NotAllowed(f"{team} needs an owner. Make another member its owner first.")
        end_membership(membership)


def end_membership(membership: Membership) -> None:
    """Take a person out of a locked team, inside the caller's transaction.

    A team without members and submissions is deleted, with the teams merged into it; one without an owner gets its
    longest-standing member as owner.
    """
    team = membership.team
    membership.delete()
    remaining = team.memberships.order_by("joined_at", "pk")
    if not remaining.exists() and not team.submissions.exists():
        Team.objects.filter(models.Q(pk=team.pk) | models.Q(merged_into=team)).delete()
        return
    keep_an_owner(team)


def keep_an_owner(team: Team) -> None:
    """A team without an owner gets its longest-standing member as owner. Inside the caller's transaction."""
    members = team.memberships.order_by("joined_at", "pk")
    if not members.filter(role=Membership.Role.OWNER).exists():
        members.filter(pk__in=members.values("pk")[:1]).update(role=Membership.Role.OWNER)


def make_owner(user: Any, team: Team, member: Any) -> None:
    check_owner(user, team)
    if not team.memberships.filter(user=member).update(role=Membership.Role.OWNER):
        raise NotAllowed(f"{member} is not in {team}.")


def check_owner(user: Any, team: Team) -> None:
    if not team.is_owned_by(user):
        raise NotAllowed(f"Only an owner of {team} can do that.")


def check_roster_open(competition: Competition, team: Team | None = None) -> None:
    """Refuse if the team's members are locked; without a team, if no new team may be created."""
    if competition.roster_is_locked(timezone.now(), team.created_at if team else None):
        assert competition.roster_locks_at is not None, "what is locked has a date"
        sentence = f"The teams of {competition} have been locked since {moment(competition.roster_locks_at)}."
        reopens_at = competition.roster_reopens_at
        if team is None and reopens_at is not None and timezone.now() < reopens_at:
            raise RosterLocked(
                f"{sentence} New teams can form from {moment(reopens_at)}.", next_at=reopens_at
            )
        raise RosterLocked(sentence)


def check_not_too_many(made: models.QuerySet[Any], what: str) -> None:
    """Each of these sends mail; this many in a day suggests a runaway script."""
    day = timedelta(days=1)
    times = made.filter(created_at__gt=timezone.now() - day).order_by("-created_at").values_list("created_at")
    if full := times[ASKED_PER_DAY - 1 : ASKED_PER_DAY].first():
        next_at = full[0] + day
        raise TooMany(f"{ASKED_PER_DAY} {what} in a day are enough. Again from {moment(next_at)}.", next_at)


def check_has_no_team(user: Any, competition: Competition, who: str = "You are") -> None:
    team = Team.objects.of(user).filter(competition=competition).first()
    if team is not None:
        raise AlreadyInTeam(f"{who} in the team {team} already; a person is in one team of a competition.")
