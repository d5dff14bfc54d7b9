"""Requests to join, mergers with the sum of used attempts, method descriptions and their verdicts, eligibility."""

from datetime import timedelta

import pytest
from django.core import mail
from django.core.files.base import ContentFile
from django.db import transaction
from django.utils import timezone

from leaderboard.actions import descriptions, refusals, rosters, teams
from leaderboard.models import (
    Attempt,
    Competition,
    Merger,
    MethodDescription,
    Phase,
    Standing,
    Submission,
    Team,
)
from tests.leaderboard.factories import make_competition, make_submission, make_team, make_user

pytestmark = pytest.mark.django_db
PDF = b"%PDF-1.7 a page"


def set_dates(competition, **dates):
    Competition.objects.filter(pk=competition.pk).update(**dates)
    competition.refresh_from_db()


def yesterday():
    return timezone.now() - timedelta(days=1)


def described(team, by, content=PDF):
    return descriptions.hand_in_description(by, team, ContentFile(content, name="method.pdf"))


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
    with pytest.raises(refusals.Conflict, match="already been decided"):
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


@pytest.mark.parametrize(("limit", "kept"), [(1, 1), (2, 2)])
def test_merged_teams_have_no_more_selected_than_one_may(cast, limit, kept):
    Phase.objects.filter(pk=cast.phase.pk).update(counts="selected", selected_limit=limit)
    mine = make_submission(cast.team, cast.phase, (50, 50, 50), selected=True)
    best = make_submission(cast.other_team, cast.phase, (90, 5, 5), selected=True)
    rosters.decide_merger(cast.rival, rosters.propose_merger(cast.owner, cast.team, cast.other_team), True)
    assert Submission.objects.filter(selected=True).count() == kept
    assert Standing.objects.get().submission == (best if kept == 2 else mine)


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


@pytest.mark.parametrize(("content", "words"), [(b"", "0 bytes"), (b"a text", "not a PDF")])
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


def test_a_request_is_taken_back_by_whoever_made_it(cast):
    asked = rosters.ask_to_join(cast.stranger, cast.team)
    with pytest.raises(refusals.NotAllowed):
        rosters.withdraw_request(cast.owner, asked)
    rosters.withdraw_request(cast.stranger, asked)
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
    with pytest.raises(refusals.Conflict, match="already been decided"):
        rosters.decide_request(cast.owner, asked, True)
    assert not cast.team.has_member(cast.stranger)


def test_an_offer_is_taken_back_by_the_team_that_made_it(cast):
    offered = rosters.propose_merger(cast.owner, cast.team, cast.other_team)
    with pytest.raises(refusals.NotAllowed):
        rosters.withdraw_merger(cast.rival, offered)
    rosters.withdraw_merger(cast.owner, offered)
    offered.refresh_from_db()
    assert offered.state == "withdrawn"
    with pytest.raises(refusals.Conflict, match="already been decided"):
        rosters.decide_merger(cast.rival, offered, True)


def test_nobody_is_asked_too_often(cast, monkeypatch):
    monkeypatch.setattr(teams, "ASKED_PER_DAY", 2)
    for _ in range(2):
        rosters.withdraw_request(cast.stranger, rosters.ask_to_join(cast.stranger, cast.team))
        teams.invite(cast.owner, cast.team)
        rosters.withdraw_merger(
            cast.owner, rosters.propose_merger(cast.owner, cast.team, make_team(cast.competition))
        )
    for once_more in (
        lambda: rosters.ask_to_join(cast.stranger, cast.team),
        lambda: teams.invite(cast.owner, cast.team),
        lambda: rosters.propose_merger(cast.owner, cast.team, cast.other_team),
    ):
        with pytest.raises(refusals.TooMany, match="in a day are enough") as refused:
            once_more()
        assert timedelta(hours=23) < refused.value.facts["next_at"] - timezone.now() <= timedelta(days=1)


def test_what_waits_for_a_merged_team_ends(cast):
    _, token = teams.invite(cast.rival, cast.other_team)
    asked = rosters.ask_to_join(cast.stranger, cast.other_team)
    described(cast.other_team, cast.rival)
    gone = make_team(cast.competition, merged_into=cast.other_team)
    rosters.decide_merger(cast.rival, rosters.propose_merger(cast.owner, cast.team, cast.other_team), True)
    with pytest.raises(refusals.InvitationUnknown):
        teams.accept_invitation(cast.stranger, token)
    asked.refresh_from_db()
    assert (asked.decided_at is not None, asked.accepted) == (True, False)
    assert cast.team.description.members == ["rival"], "the description came along"
    assert cast.team.description.unnamed_members() == ["owner", "teammate"]
    gone.refresh_from_db()
    assert gone.merged_into == cast.team
    other = Team.objects.get(pk=cast.other_team.pk)
    with pytest.raises(refusals.InvalidInput, match="takes part"):
        rosters.ask_to_join(cast.stranger, other)
    with transaction.atomic(), pytest.raises(refusals.Conflict, match="part of Alpine"):
        teams.add_member(other, cast.stranger)


def test_a_team_changes_its_name_while_the_roster_is_open(cast):
    before = cast.phase.board_version
    teams.edit_team(cast.owner, cast.team, name="  Alpine   Two ", affiliation="Institute")
    cast.team.refresh_from_db()
    assert (cast.team.name, cast.team.folded_name, cast.team.affiliation) == (
        "Alpine Two",
        "alpine two",
        "Institute",
    )
    cast.phase.refresh_from_db()
    assert cast.phase.board_version > before
    with pytest.raises(refusals.NameTaken):
        teams.edit_team(cast.owner, cast.team, name="RIVALS")
    with pytest.raises(refusals.InvalidInput):
        teams.edit_team(cast.owner, cast.team, name="A\u202eB")
    with pytest.raises(refusals.NotAllowed):
        teams.edit_team(cast.teammate, cast.team, name="Mine")
    set_dates(cast.competition, roster_locks_at=yesterday())
    with pytest.raises(refusals.RosterLocked):
        teams.edit_team(cast.owner, Team.objects.get(pk=cast.team.pk), name="Late")


def test_new_teams_are_made_again_for_a_phase_that_is_open_to_all(cast):
    old = {"roster_locks_at": yesterday() - timedelta(days=5), "roster_reopens_at": yesterday()}
    Team.objects.update(created_at=timezone.now() - timedelta(days=9))
    cast.team.refresh_from_db()
    set_dates(cast.competition, **{**old, "roster_reopens_at": timezone.now() + timedelta(hours=1)})
    with pytest.raises(refusals.RosterLocked):
        teams.create_team(cast.stranger, cast.competition, "Fresh")
    set_dates(cast.competition, **old)
    cast.team.competition.refresh_from_db()
    fresh = teams.create_team(cast.stranger, cast.competition, "Fresh")
    _, token = teams.invite(cast.stranger, fresh)
    assert teams.accept_invitation(make_user(), token) == fresh
    for frozen in (
        lambda: teams.invite(cast.owner, cast.team),
        lambda: teams.leave(cast.teammate, cast.team),
        lambda: rosters.propose_merger(cast.stranger, fresh, cast.team),
        lambda: rosters.ask_to_join(make_user(), cast.team),
    ):
        with pytest.raises(refusals.RosterLocked):
            frozen()


def test_an_organiser_judges_the_description_that_was_looked_at(cast, django_capture_on_commit_callbacks):
    set_dates(cast.competition, descriptions_due_at=timezone.now() + timedelta(hours=1))
    first = described(cast.team, cast.owner)
    with pytest.raises(refusals.NotAllowed):
        descriptions.accept_description(cast.owner, first, "mine is fine")
    with pytest.raises(refusals.InvalidInput, match="reason"):
        descriptions.rule_out(cast.organiser, first, " ")
    with django_capture_on_commit_callbacks(execute=True):
        descriptions.rule_out(cast.organiser, first, "it names nobody")
    assert "it names nobody" in mail.outbox[0].body
    assert not Team.objects.eligible(cast.competition).exists()
    second = described(cast.team, cast.owner, PDF + b" with names")
    assert (second.verdict, second.verdict_reason) == ("open", "")
    with pytest.raises(refusals.Conflict, match="since handed in another description"):
        descriptions.rule_out(cast.organiser, first, "the old one")
    descriptions.accept_description(cast.organiser, second, "names everybody")
    acts = cast.competition.audit.order_by("id").values_list("act", "subject", "reason", "public")
    assert list(acts) == [
        ("description ineligible", "Alpine", "it names nobody", False),
        ("description accepted", "Alpine", "names everybody", False),
    ]


@pytest.mark.parametrize("verdict", ["open", "accepted", "ineligible"])
@pytest.mark.parametrize("due", [None, timedelta(hours=-1), timedelta(hours=1)])
@pytest.mark.parametrize("uploaded", [None, timedelta(hours=-2), timedelta(minutes=-30)])
@pytest.mark.parametrize("kind", ["competing", "organisers", "merged"])
def test_the_sentence_about_eligibility_says_what_the_rows_say(cast, kind, uploaded, due, verdict):
    now = timezone.now()
    set_dates(cast.competition, descriptions_due_at=due and now + due)
    changes = {"organisers": {"is_organisers": True}, "merged": {"merged_into": cast.other_team}}
    Team.objects.filter(pk=cast.team.pk).update(**changes.get(kind, {"is_organisers": False}))
    if uploaded:
        MethodDescription.objects.create(
            team=cast.team, pdf=PDF, uploaded_at=now + uploaded, verdict=verdict, verdict_reason="why"
        )
    team = Team.objects.get(pk=cast.team.pk)
    is_eligible = Team.objects.eligible(cast.competition).filter(pk=team.pk).exists()
    assert is_eligible is (descriptions.why_not_eligible(team) == "")
