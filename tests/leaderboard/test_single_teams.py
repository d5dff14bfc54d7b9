"""What organisers do for one team or person: each act with its reason, logged, mailed, and undone by another."""

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import accounts, rosters, single_teams, submissions, uploads
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed, PhaseEnded, TotalUsedUp
from leaderboard.models import (
    Attempt,
    AuditEntry,
    Extension,
    Membership,
    Merger,
    Phase,
    Standing,
    Team,
)
from leaderboard.models.visibility import view_of
from tests.leaderboard.api import API, client_of, post
from tests.leaderboard.factories import (
    PASSWORD,
    Cast,
    make_competition,
    make_submission,
    make_team,
    make_user,
    upload,
)

pytestmark = pytest.mark.django_db
WHY = "the server was down"


def last_entry() -> AuditEntry:
    return AuditEntry.objects.order_by("-pk")[0]


def last_mail(to: str) -> str:
    return next(message.body for message in reversed(mail.outbox) if to in message.to)


def set_phase(cast: Cast, **fields: Any) -> Phase:
    Phase.objects.filter(pk=cast.phase.pk).update(**fields)
    cast.phase = Phase.objects.with_labels().get(pk=cast.phase.pk)
    return cast.phase


def submit(cast: Cast, user: Any = None, **fields: Any) -> Any:
    return submissions.submit(user or cast.owner, cast.phase, upload(), method="U-Net", **fields)[0]


class TestAttempts:
    def test_given_back_and_taken_again(self, cast: Cast) -> None:
        set_phase(cast, quota_total=1)
        made = submit(cast)
        with pytest.raises(TotalUsedUp):
            submit(cast)
        single_teams.give_attempt_back(cast.organiser, made, WHY)
        assert (last_entry().act, last_entry().reason, last_entry().public) == (
            "attempt given back",
            WHY,
            True,
        )
        assert WHY in last_mail(cast.owner.email)
        submit(cast)
        single_teams.take_attempt_again(cast.organiser, made, "by mistake")
        assert Attempt.objects.usage(cast.team, cast.phase, timezone.now()).total == 2
        with pytest.raises(Conflict):
            single_teams.take_attempt_again(cast.organiser, made, "twice")

    def test_twice_is_refused_and_so_is_whoever_does_not_organise(self, cast: Cast) -> None:
        made = submit(cast)
        with pytest.raises(NotAllowed):
            single_teams.give_attempt_back(cast.owner, made, WHY)
        with pytest.raises(InvalidInput):
            single_teams.give_attempt_back(cast.organiser, made, " ")
        single_teams.give_attempt_back(cast.organiser, made, WHY, withhold="names a person")
        assert (last_entry().public, last_entry().details["withheld"]) == (False, "names a person")
        with pytest.raises(Conflict):
            single_teams.give_attempt_back(cast.organiser, made, WHY)


class TestExtensions:
    def test_a_larger_quota_for_one_team_by_form_and_api(self, cast: Cast) -> None:
        set_phase(cast, quota_total=1)
        submit(cast)
        single_teams.extend(cast.organiser, cast.team, cast.phase, WHY, quota_total=2)
        quotas = client_of(cast.owner).get(f"{API}/teams/mine/").json()[0]["quotas"][0]
        assert (quotas["total_limit"], quotas["remaining"], quotas["may_submit"]) == (2, 1, True)
        assert post(client_of(cast.owner), cast.phase).status_code == 202
        with pytest.raises(TotalUsedUp, match="all 2 submissions"):
            submit(cast)
        submit(cast, cast.rival)
        with pytest.raises(TotalUsedUp, match="its only submission"):
            submit(cast, cast.rival)

    def test_a_later_end_for_one_team_by_form_upload_and_grace(self, cast: Cast, client: Client) -> None:
        now = timezone.now()
        set_phase(
            cast, closes_at=now - timedelta(minutes=1), opens_at=now - timedelta(days=2), grace_minutes=0
        )
        with pytest.raises(PhaseEnded):
            submit(cast)
        until = now + timedelta(hours=2)
        single_teams.extend(cast.organiser, cast.team, cast.phase, WHY, closes_at=until)
        set_phase(cast)
        submit(cast)
        begun = uploads.begin(cast.owner, cast.phase, length=10)
        assert uploads.phase_for(begun).closes_at == until
        with pytest.raises(PhaseEnded):
            submit(cast, cast.rival)
        with pytest.raises(PhaseEnded):
            uploads.begin(cast.rival, cast.phase, length=10)
        client.force_login(cast.owner)
        page = client.get(reverse("pages:submit", args=[cast.competition.slug])).content.decode()
        assert "The organisers extended this for your team" in page
        assert WHY in page
        assert (
            client_of(cast.owner)
            .get(f"{API}/teams/mine/")
            .json()[0]["quotas"][0]["closes_at"]
            .startswith(f"{until:%Y-%m-%dT%H:%M}")
        )
        late = now - timedelta(minutes=2)
        own = Extension.objects.phase_of(cast.team, cast.phase)
        assert submissions.why_too_late(own, late, until - timedelta(seconds=1)) is None
        assert submissions.why_too_late(own, late, until + timedelta(seconds=1)) is not None

    def test_what_the_end_reveals_waits_for_the_last_team(self, cast: Cast) -> None:
        now = timezone.now()
        set_phase(cast, closes_at=now - timedelta(minutes=1), hidden_until_close=True, grace_minutes=0)
        assert view_of(cast.phase, cast.rival, now).board is not None
        extension = single_teams.extend(
            cast.organiser, cast.team, cast.phase, WHY, closes_at=now + timedelta(hours=2)
        )
        set_phase(cast)
        assert view_of(cast.phase, cast.rival, now).board is None
        single_teams.end_extension(cast.organiser, extension, "it is here")
        set_phase(cast)
        assert cast.phase.extended_until is None
        assert view_of(cast.phase, cast.rival, now).board is not None
        with pytest.raises(PhaseEnded):
            submit(cast)

    def test_it_never_takes_away_and_gives_something(self, cast: Cast) -> None:
        set_phase(cast, quota_total=5, closes_at=timezone.now() + timedelta(days=1))
        for fields, word in (
            ({"quota_total": 5}, "Everyone has 5"),
            ({"quota_per_day": 3}, "no limit"),
            ({"closes_at": timezone.now()}, "Write a later time"),
            ({}, "later end or a larger quota"),
        ):
            with pytest.raises(InvalidInput, match=word):
                single_teams.extend(cast.organiser, cast.team, cast.phase, WHY, **fields)
        single_teams.extend(cast.organiser, cast.team, cast.phase, WHY, quota_total=6)
        set_phase(cast, quota_total=10)
        assert Extension.objects.phase_of(cast.team, cast.phase).quota_total == 10

    def test_by_the_buttons(self, cast: Cast, client: Client) -> None:
        set_phase(cast, quota_total=1)
        client.force_login(cast.organiser)
        address = reverse("admin:leaderboard_team_extend", args=[cast.team.pk])
        asked = {"confirmed": "yes", "phase": cast.phase.pk, "reason": WHY}
        assert b"Everyone has 1" in client.post(address, {**asked, "quota_total": 1}).content
        assert client.post(address, {**asked, "quota_total": 3}).status_code == 302
        extension = Extension.objects.get()
        assert extension.granted_by == cast.organiser
        page = client.get(reverse("admin:leaderboard_team_change", args=[cast.team.pk])).content.decode()
        assert "3 of 3 submissions" in page
        end = reverse("admin:leaderboard_extension_end", args=[extension.pk])
        assert client.post(end, {"confirmed": "yes", "reason": "over"}).status_code == 302
        assert not Extension.objects.exists()


class TestHiding:
    def test_a_hidden_team_is_on_no_board_until_it_is_shown_again(self, cast: Cast, client: Client) -> None:
        make_submission(cast.team, cast.phase, (80, 20, 20))
        make_submission(cast.other_team, cast.phase, (60, 40, 40))
        board = reverse("pages:board", args=[cast.competition.slug, cast.phase.slug])
        page = reverse("pages:team-page", args=[cast.competition.slug, cast.team.pk])
        single_teams.hide_team(cast.organiser, cast.team, WHY)
        assert "Alpine" not in client.get(board).content.decode()
        assert client.get(page).status_code == 404
        assert [
            row["team"] for row in client.get(f"{API}/phases/{cast.phase.pk}/leaderboard/").json()["rows"]
        ] == ["Rivals"]
        assert Team.objects.eligible(cast.competition).filter(pk=cast.team.pk).count() == 0
        make_submission(cast.team, cast.phase, (90, 10, 10))
        assert not Standing.objects.filter(team=cast.team).exists()
        with pytest.raises(Conflict):
            single_teams.hide_team(cast.organiser, cast.team, WHY)
        single_teams.show_team(cast.organiser, cast.team, "settled")
        assert Standing.objects.get(team=cast.team).submission.evaluation.tp == 90
        assert client.get(page).status_code == 200
        assert [entry.act for entry in AuditEntry.objects.order_by("pk")] == [
            "team hidden",
            "team shown again",
        ]
        assert "is on the boards again" in last_mail(cast.owner.email)


class TestMembers:
    def of(self, cast: Cast, user: Any) -> Membership:
        return cast.team.memberships.get(user=user)

    def test_a_member_goes_though_the_roster_is_locked(self, cast: Cast) -> None:
        cast.competition.roster_locks_at = timezone.now() - timedelta(days=1)
        cast.competition.save()
        single_teams.remove_from_team(cast.organiser, self.of(cast, cast.teammate), WHY)
        assert not cast.team.has_member(cast.teammate)
        assert "teammate is no longer in Alpine" in last_mail(cast.owner.email)
        assert "teammate" not in last_entry().subject  # the public log names no person
        assert last_entry().public

    def test_who_was_taken_out_can_be_added_again_by_the_organiser(self, cast: Cast, client: Client) -> None:
        single_teams.remove_from_team(cast.organiser, self.of(cast, cast.teammate), WHY)
        client.force_login(cast.organiser)
        row = {"team": cast.team.pk, "user": cast.stranger.pk, "role": "member"}
        address = reverse("admin:leaderboard_membership_add")
        client.post(address, row)
        assert not cast.team.has_member(cast.stranger)  # who never was in a team stays unknown
        client.post(address, {**row, "user": cast.teammate.pk})
        assert cast.team.has_member(cast.teammate)

    def test_the_last_owner_goes_only_when_another_is_named(self, cast: Cast) -> None:
        mine = self.of(cast, cast.owner)
        with pytest.raises(InvalidInput, match=r"last owner\. Name the member who becomes one: teammate"):
            single_teams.remove_from_team(cast.organiser, mine, WHY)
        with pytest.raises(InvalidInput, match="stranger is not another member"):
            single_teams.remove_from_team(cast.organiser, mine, WHY, new_owner="stranger")
        single_teams.remove_from_team(cast.organiser, mine, WHY, new_owner="teammate")
        assert cast.team.is_owned_by(cast.teammate)
        assert not cast.team.has_member(cast.owner)

    def test_nobody_leaves_a_team_with_submissions_empty(self, cast: Cast, client: Client) -> None:
        make_submission(cast.other_team, cast.phase)
        alone = cast.other_team.memberships.get()
        with pytest.raises(NotAllowed, match="last member"):
            single_teams.remove_from_team(cast.organiser, alone, WHY)
        client.force_login(cast.organiser)
        delete = reverse("admin:leaderboard_membership_delete", args=[alone.pk])
        assert client.post(delete, {"post": "yes"}).status_code == 403
        change = reverse("admin:leaderboard_membership_change", args=[alone.pk])
        assert b"This is the last owner" in client.post(change, {"role": "member"}).content
        assert cast.other_team.memberships.get().role == "owner"


class TestMergers:
    def test_forced_and_undone(self, cast: Cast) -> None:
        cast.competition.roster_locks_at = timezone.now() - timedelta(days=1)
        cast.competition.save()
        mine = make_submission(cast.team, cast.phase, (50, 10, 10), by=cast.owner)
        theirs = make_submission(cast.other_team, cast.phase, (80, 10, 10), by=cast.rival)
        merger = rosters.merge_teams(cast.organiser, cast.team, cast.other_team, WHY)
        assert (last_entry().act, last_entry().public) == ("teams merged by the organisers", True)
        assert WHY in last_mail(cast.rival.email)
        theirs.refresh_from_db()
        assert theirs.team == cast.team
        assert Attempt.objects.usage(cast.team, cast.phase, timezone.now()).total == 2
        assert [row.submission for row in Standing.objects.all()] == [theirs]
        since = make_submission(cast.team, cast.phase, (70, 10, 10), by=cast.rival)
        rosters.undo_merger(cast.organiser, merger, "they had not agreed")
        for row, team in ((mine, cast.team), (theirs, cast.other_team), (since, cast.team)):
            row.refresh_from_db()
            assert row.team == team
            assert row.attempt.team == team
        assert cast.other_team.is_owned_by(cast.rival)
        assert not cast.team.has_member(cast.rival)
        assert {row.team: row.submission for row in Standing.objects.all()} == {
            cast.team: since, cast.other_team: theirs,
        }  # fmt: skip
        assert "is a team of its own again" in last_mail(cast.owner.email)
        with pytest.raises(Conflict):
            rosters.undo_merger(cast.organiser, merger, "twice")

    def test_one_that_the_teams_agreed_on_can_be_undone(self, cast: Cast) -> None:
        offered = rosters.propose_merger(cast.owner, cast.team, cast.other_team)
        rosters.decide_merger(cast.rival, offered, True)
        rosters.undo_merger(cast.organiser, Merger.objects.get(), WHY)
        cast.other_team.refresh_from_db()
        assert cast.other_team.merged_into is None

    def test_the_search_offers_other_teams_of_the_competition_that_take_part(
        self, cast: Cast, client: Client
    ) -> None:
        make_team(cast.competition, "Hosts", owner=cast.organiser, is_organisers=True)
        make_team(make_competition("other", organiser=cast.organiser), "Far away")
        client.force_login(cast.organiser)
        page = client.get(reverse("admin:leaderboard_team_merge", args=[cast.team.pk])).content.decode()
        address = html.unescape(re.search(r'data-ajax--url="([^"]+)"', page)[1])
        asked = "app_label=leaderboard&model_name=membership&field_name=team&term="
        found = client.get(f"{address}&{asked}").json()["results"]
        assert [row["text"] for row in found] == ["Rivals"]

    def test_by_the_buttons(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.organiser)
        address = reverse("admin:leaderboard_team_merge", args=[cast.team.pk])
        asked = {"confirmed": "yes", "other": cast.other_team.pk, "reason": WHY}
        assert client.post(address, asked).status_code == 302
        undo = reverse("admin:leaderboard_merger_undo", args=[Merger.objects.get().pk])
        assert client.post(undo, {"confirmed": "yes", "reason": "no"}).status_code == 302
        cast.other_team.refresh_from_db()
        assert cast.other_team.merged_into is None


class TestBlocking:
    def test_sessions_and_tokens_end_and_signing_in_is_refused(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.owner)
        api = client_of(cast.owner)
        assert api.get(f"{API}/account/").status_code == 200
        accounts.block_person(cast.organiser, cast.owner, WHY)
        assert api.get(f"{API}/account/").status_code == 401
        assert client.get(reverse("pages:account")).status_code == 302
        fresh = Client()
        fresh.post(reverse("account_login"), {"login": "owner", "password": PASSWORD})
        assert "_auth_user_id" not in fresh.session
        assert (last_entry().act, last_entry().public) == ("person blocked", False)
        assert WHY in last_mail(cast.owner.email)
        accounts.unblock_person(cast.organiser, cast.owner, "talked")
        assert client.get(reverse("pages:account")).status_code == 302  # the old session has ended for good
        fresh.post(reverse("account_login"), {"login": "owner", "password": PASSWORD})
        assert fresh.session["_auth_user_id"] == str(cast.owner.pk)

    def test_whom_an_organiser_may_not_block(self, cast: Cast) -> None:
        second = make_user("second", is_staff=True)
        cast.competition.organisers.add(second)
        root = make_user("root", is_staff=True, is_superuser=True)
        make_team(make_competition("elsewhere"), owner=cast.rival)
        for person in (second, root, cast.organiser, cast.stranger, cast.rival):
            with pytest.raises(NotAllowed):
                accounts.block_person(cast.organiser, person, WHY)
        accounts.block_person(root, cast.rival, WHY)

    def test_by_the_buttons(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.organiser)
        for act, is_active in (("block", False), ("unblock", True)):
            address = reverse(f"admin:leaderboard_user_{act}", args=[cast.owner.pk])
            assert client.post(address, {"confirmed": "yes", "reason": WHY}).status_code == 302
            cast.owner.refresh_from_db()
            assert cast.owner.is_active is is_active
