"""Teams: create, invite, join, leave; one person in one team; a roster locked by date."""

from datetime import timedelta

import pytest
from django.utils import timezone

from leaderboard.actions import refusals, teams
from leaderboard.models import Competition, Invitation, Membership, Team
from tests.leaderboard.factories import make_competition, make_submission, make_team

pytestmark = pytest.mark.django_db


def lock_roster(competition):
    Competition.objects.filter(pk=competition.pk).update(roster_locks_at=timezone.now() - timedelta(1))
    competition.refresh_from_db()


def test_a_new_team_is_owned_by_its_maker(cast):
    team = teams.create_team(cast.stranger, cast.competition, "  New   Team ")
    assert team.name == "New Team"
    assert team.is_owned_by(cast.stranger)


@pytest.mark.parametrize("name", ["alpine", "ALPINE", " Alpine ", "Ａlpine"])
def test_names_that_look_alike_are_taken(cast, name):
    with pytest.raises(refusals.NameTaken, match="exists already"):
        teams.create_team(cast.stranger, cast.competition, name)
    assert not Membership.objects.filter(user=cast.stranger).exists()


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "a\u202eb", "a\0b"])
def test_names_that_cannot_be_shown_are_refused(cast, name):
    with pytest.raises(refusals.InvalidInput):
        teams.create_team(cast.stranger, cast.competition, name)


def test_a_person_is_in_one_team_of_a_competition(cast):
    with pytest.raises(refusals.AlreadyInTeam, match="Alpine"):
        teams.create_team(cast.owner, cast.competition, "Second")
    assert teams.create_team(cast.owner, make_competition("other"), "Second")


def test_an_invitation_lets_one_person_in_once(cast):
    invitation, token = teams.invite(cast.owner, cast.team)
    assert token not in invitation.token_digest
    assert teams.accept_invitation(cast.stranger, token) == cast.team
    assert cast.team.has_member(cast.stranger)
    with pytest.raises(refusals.InvitationUnknown):
        teams.find_invitation(token)


def test_an_invitation_can_be_revoked_and_runs_out(cast):
    invitation, token = teams.invite(cast.owner, cast.team)
    teams.revoke_invitation(cast.owner, invitation)
    _, other = teams.invite(cast.owner, cast.team)
    Invitation.objects.with_token(other).update(expires_at=timezone.now())
    for gone in (token, other, "nonsense"):
        with pytest.raises(refusals.InvitationUnknown, match="new link"):
            teams.accept_invitation(cast.stranger, gone)


def test_only_the_owner_invites_and_removes(cast):
    for action in (
        lambda: teams.invite(cast.teammate, cast.team),
        lambda: teams.remove_member(cast.teammate, cast.team, cast.owner),
        lambda: teams.remove_member(cast.rival, cast.team, cast.teammate),
        lambda: teams.make_owner(cast.stranger, cast.team, cast.stranger),
    ):
        with pytest.raises(refusals.NotAllowed):
            action()


def test_a_full_team_accepts_nobody(cast):
    Competition.objects.filter(pk=cast.competition.pk).update(max_team_size=2)
    _, token = teams.invite(cast.owner, cast.team)
    with pytest.raises(refusals.TeamFull, match="2 members"):
        teams.accept_invitation(cast.stranger, token)
    assert teams.find_invitation(token)


def test_a_team_keeps_an_owner_and_a_team_with_submissions_keeps_a_member(cast):
    with pytest.raises(refusals.NotAllowed, match="needs an owner"):
        teams.leave(cast.owner, cast.team)
    teams.make_owner(cast.owner, cast.team, cast.teammate)
    teams.leave(cast.owner, cast.team)
    make_submission(cast.team, cast.phase)
    with pytest.raises(refusals.NotAllowed, match="last member"):
        teams.leave(cast.teammate, cast.team)


def test_an_empty_team_goes_with_its_last_member(cast):
    teams.leave(cast.rival, cast.other_team)
    assert not Team.objects.filter(name="Rivals").exists()


def test_after_the_lock_the_roster_stays(cast):
    _, token = teams.invite(cast.owner, cast.team)
    lock_roster(cast.competition)
    team = make_team(cast.competition, "Late")
    for action in (
        lambda: teams.create_team(cast.stranger, cast.competition, "Too late"),
        lambda: teams.accept_invitation(cast.stranger, token),
        lambda: teams.leave(cast.teammate, cast.team),
        lambda: teams.invite(team.members.first(), Team.objects.get(pk=team.pk)),
    ):
        with pytest.raises(refusals.RosterLocked, match="locked since"):
            action()
