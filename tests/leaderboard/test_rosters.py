"""Requests to join, mergers with the sum of used attempts, method descriptions, eligibility, awards."""

from datetime import timedelta

import pytest
from django.core import mail
from django.core.files.base import ContentFile
from django.utils import timezone

from leaderboard.actions import refusals, rosters, teams
from leaderboard.models import Attempt, Award, Competition, Merger, MethodDescription, Standing, Team
from tests.leaderboard.factories import make_competition, make_submission, make_team, make_user

pytestmark = pytest.mark.django_db
PDF = b"%PDF-1.7 a page"


def set_dates(competition, **dates):
    Competition.objects.filter(pk=competition.pk).update(**dates)
    competition.refresh_from_db()


def yesterday():
    return timezone.now() - timedelta(days=1)


def described(team, by, content=PDF):
    return rosters.hand_in_description(by, team, ContentFile(content, name="method.pdf"))


def test_an_owner_takes_a_person_in_who_asked(cast, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        asked = rosters.ask_to_join(cast.stranger, cast.team, "I know slopes")
    assert mail.outbox[0].to == [cast.owner.email]
    with pytest.raises(refusals.Conflict, match="not decided yet"):
        rosters.ask_to_join(cast.stranger, cast.team)
    with pytest.raises(refusals.NotAllowed):
        rosters.decide_request(cast.teammate, asked, True)
    rosters.decide_request(cast.owner, asked, True)
    assert cast.team.has_member(cast.stranger)
    with pytest.raises(refusals.Conflict, match="decided already"):
        rosters.decide_request(cast.owner, asked, False)


def test_declined_is_declined_and_may_ask_again(cast):
    asked = rosters.ask_to_join(cast.stranger, cast.team)
    rosters.decide_request(cast.owner, asked, False)
    assert not cast.team.has_member(cast.stranger)
    rosters.ask_to_join(cast.stranger, cast.team)


def test_who_found_another_team_meanwhile_is_not_taken_in(cast):
    asked = rosters.ask_to_join(cast.stranger, cast.team)
    teams.create_team(cast.stranger, cast.competition, "Own")
    with pytest.raises(refusals.AlreadyInTeam):
        rosters.decide_request(cast.owner, asked, True)
    asked.refresh_from_db()
    assert asked.decided_at is None, "nothing was decided"


def test_an_invitation_by_mail_carries_its_link(cast, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        _, token = teams.invite(cast.owner, cast.team, "friend@example.org")
    [message] = mail.outbox
    assert message.to == ["friend@example.org"]
    assert teams.invitation_link(token) in message.body


def test_merged_teams_carry_the_sum_of_used_attempts(cast):
    cast.phase.quota_total = 4
    cast.phase.save()
    for _ in range(2):
        make_submission(cast.team, cast.phase, (50, 50, 50))
    best = make_submission(cast.other_team, cast.phase, (90, 5, 5))
    make_submission(cast.other_team, cast.phase, state="invalid")
    offered = rosters.propose_merger(cast.owner, cast.team, cast.other_team)
    with pytest.raises(refusals.NotAllowed):
        rosters.decide_merger(cast.owner, offered, True)
    rosters.decide_merger(cast.rival, offered, True)
    usage = Attempt.objects.usage(cast.team, cast.phase, timezone.now())
    assert (usage.total, usage.remaining) == (3, 1)
    assert cast.team.has_member(cast.rival)
    assert Team.objects.competing().filter(competition=cast.competition).get() == cast.team
    [standing] = Standing.objects.all()
    assert (standing.team, standing.submission, standing.entries) == (cast.team, best, 3)


def test_a_merger_beyond_the_quota_leaves_nothing_over(cast):
    cast.phase.quota_total = 2
    cast.phase.save()
    for team in (cast.team, cast.team, cast.other_team, cast.other_team):
        make_submission(team, cast.phase)
    rosters.decide_merger(cast.rival, rosters.propose_merger(cast.owner, cast.team, cast.other_team), True)
    usage = Attempt.objects.usage(cast.team, cast.phase, timezone.now())
    assert (usage.total, usage.remaining, usage.exhausted) == (4, 0, "total")


def test_mergers_end_at_their_date_and_respect_the_size(cast):
    offered = rosters.propose_merger(cast.owner, cast.team, cast.other_team)
    set_dates(cast.competition, max_team_size=2)
    with pytest.raises(refusals.TeamFull, match="3 people"):
        rosters.decide_merger(cast.rival, Merger.objects.get(pk=offered.pk), True)
    assert not Team.objects.get(pk=cast.other_team.pk).merged_into
    set_dates(cast.competition, mergers_until=yesterday())
    with pytest.raises(refusals.RosterLocked, match="could merge until"):
        rosters.decide_merger(cast.rival, Merger.objects.get(pk=offered.pk), True)
    other = make_team(make_competition("other"))
    with pytest.raises(refusals.InvalidInput):
        rosters.propose_merger(cast.owner, cast.team, other)


@pytest.mark.parametrize(("content", "words"), [(b"", "0 bytes"), (b"a text", "no PDF")])
def test_a_description_is_a_pdf(cast, content, words):
    with pytest.raises(refusals.InvalidInput, match=words):
        described(cast.team, cast.owner, content)
    assert not MethodDescription.objects.exists()


def test_eligible_is_who_described_its_method_in_time(cast):
    assert set(Team.objects.eligible(cast.competition)) == {cast.team, cast.other_team}
    set_dates(cast.competition, descriptions_due_at=timezone.now() + timedelta(hours=1))
    description = described(cast.team, cast.teammate)
    assert description.members == ["owner", "teammate"]
    described(cast.team, cast.owner, PDF + b" again")
    assert set(Team.objects.eligible(cast.competition)) == {cast.team}
    set_dates(cast.competition, descriptions_due_at=yesterday())
    with pytest.raises(refusals.RosterLocked, match="were due"):
        described(cast.other_team, cast.rival)
    with pytest.raises(refusals.NotAllowed):
        described(cast.team, cast.stranger)


def test_awards_go_to_eligible_teams_and_are_logged(cast):
    set_dates(cast.competition, descriptions_due_at=timezone.now() + timedelta(hours=1))
    with pytest.raises(refusals.NotAllowed, match="not eligible"):
        rosters.give_award(cast.organiser, cast.competition, cast.team, "1st place")
    described(cast.team, cast.owner)
    award = rosters.give_award(cast.organiser, cast.competition, cast.team, "1st place")
    with pytest.raises(refusals.Conflict):
        rosters.give_award(cast.organiser, cast.competition, cast.team, "1st place")
    with pytest.raises(refusals.NotAllowed):
        rosters.give_award(make_user("visitor"), cast.competition, cast.team, "Own prize")
    with pytest.raises(refusals.InvalidInput, match="reason"):
        rosters.take_award_back(cast.organiser, award, "")
    rosters.take_award_back(cast.organiser, award, "a mistake")
    assert not Award.objects.exists()
    assert [entry.act for entry in cast.competition.audit.order_by("id")] == [
        "award given",
        "award taken back",
    ]
