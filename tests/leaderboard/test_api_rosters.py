"""Rosters over the API: the same actions as the pages, their refusals as the schema names them."""

from datetime import timedelta

import pytest
from django.core import mail
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from leaderboard.actions import awards, refusals, rosters, teams
from leaderboard.actions.refusals import Refusal
from leaderboard.api.enrich import EVERYWHERE, WITH_BODY
from leaderboard.api.examples import GENERAL, SENTENCES
from leaderboard.models import Award, Competition, Invitation, Membership, Merger, Prize, Team
from tests.leaderboard.api import API, assert_problem, assert_told, client_of
from tests.leaderboard.factories import Cast, make_competition, make_team, make_user

pytestmark = pytest.mark.django_db


def pdf(content: bytes = b"%PDF-1.7 a page") -> SimpleUploadedFile:
    return SimpleUploadedFile("method.pdf", content, "application/pdf")


def lock(cast: Cast) -> None:
    Competition.objects.filter(pk=cast.competition.pk).update(
        roster_locks_at=timezone.now() - timedelta(hours=1)
    )


def test_every_refusal_has_an_example_and_no_example_is_left_over() -> None:
    kinds = [kind for kind in vars(refusals).values() if isinstance(kind, type) and issubclass(kind, Refusal)]
    assert {kind.code for kind in kinds} <= set(SENTENCES)
    assert set(SENTENCES) == {kind.code for kind in kinds} | set(GENERAL.values()) | set(EVERYWHERE) | set(
        WITH_BODY
    )


def test_a_team_from_its_making_to_its_end(cast: Cast) -> None:
    client = client_of(cast.stranger)
    fields = {"competition": "landslides", "name": "New", "affiliation": "Institute"}
    made = client.post(f"{API}/teams/", fields)
    assert made.status_code == 201
    body = made.json()
    assert (body["name"], body["members"][0]["role"], body["eligible"]) == ("New", "owner", True)
    assert_told(client.post(f"{API}/teams/", fields), 409, "already_in_team")
    assert_told(client_of(make_user()).post(f"{API}/teams/", fields), 409, "name_taken")
    assert_told(client_of(cast.organiser).post(f"{API}/teams/", fields), 403, "organisers_do_not_compete")
    assert_told(client_of(make_user()).post(f"{API}/teams/", {**fields, "name": ""}), 400, "invalid")
    own = f"{API}/teams/{body['id']}/"
    assert client.patch(own, {"name": "Newer"}).json()["affiliation"] == "Institute"
    assert_told(client.patch(own, {"name": "rivals"}), 409, "name_taken")
    assert_problem(client_of(cast.rival).get(own), 404, "not_found")
    assert_problem(client_of(cast.rival).patch(own, {"name": "Mine"}), 404, "not_found")
    lock(cast)
    assert_told(client.patch(own, {"name": "Late"}), 403, "roster_locked")
    assert_told(client.post(f"{own}leave/"), 403, "roster_locked")
    assert_told(client_of(make_user()).post(f"{API}/teams/", fields), 403, "roster_locked")
    Competition.objects.update(roster_locks_at=None)
    assert client.post(f"{own}leave/").status_code == 204
    assert not Team.objects.filter(pk=body["id"]).exists()


def test_all_teams_that_may_be_asked(cast: Cast) -> None:
    make_team(cast.competition, "Own", is_organisers=True)
    make_team(make_competition("hidden", is_published=False), "Unseen")
    elsewhere = make_team(make_competition("elsewhere"), "Elsewhere")
    client = client_of(cast.stranger)
    rows = client.get(f"{API}/teams/").json()["results"]
    assert [row["name"] for row in rows] == ["Elsewhere", "Rivals", "Alpine"]
    assert set(rows[0]) == {"id", "name", "affiliation", "competition"}
    [row] = client.get(f"{API}/teams/?competition=elsewhere").json()["results"]
    assert row["id"] == elsewhere.pk


def test_members_are_removed_and_made_owners(cast: Cast) -> None:
    own = f"{API}/teams/{cast.team.pk}/"
    client = client_of(cast.owner)
    assert_told(client_of(cast.teammate).post(f"{own}make-owner/", {"username": "owner"}), 403, "not_allowed")
    assert_told(client.post(f"{own}leave/"), 403, "not_allowed")
    assert_told(client.post(f"{own}make-owner/", {"username": "rival"}), 404, "not_found")
    assert client.post(f"{own}make-owner/", {"username": "teammate"}).json()["members"][1]["role"] == "owner"
    left = client.post(f"{own}remove-member/", {"username": "teammate"}).json()
    assert [member["username"] for member in left["members"]] == ["owner"]


def test_asking_to_join_from_the_request_to_the_decision(cast: Cast) -> None:
    asking, deciding = client_of(cast.stranger), client_of(cast.owner)
    ask = {"team": cast.team.pk, "message": "I know slopes"}
    made = asking.post(f"{API}/join-requests/", ask)
    assert made.status_code == 201
    assert mail.outbox[-1].to == [cast.owner.email]
    assert_told(asking.post(f"{API}/join-requests/", ask), 409, "conflict")
    assert_told(client_of(cast.rival).post(f"{API}/join-requests/", ask), 409, "already_in_team")
    assert_told(
        client_of(cast.organiser).post(f"{API}/join-requests/", ask), 403, "organisers_do_not_compete"
    )
    one = f"{API}/join-requests/{made.json()['id']}"
    [row] = deciding.get(f"{API}/join-requests/?open=true").json()["results"]
    assert (row["username"], row["message"], row["team"]["name"]) == ("stranger", "I know slopes", "Alpine")
    for other in (cast.teammate, cast.rival, cast.organiser):
        assert client_of(other).get(f"{API}/join-requests/").json()["results"] == []
        assert_told(client_of(other).post(f"{one}/accept/"), 404, "not_found")
    assert_told(asking.post(f"{one}/accept/"), 403, "not_allowed")
    assert_told(deciding.post(f"{one}/withdraw/"), 403, "not_allowed")
    assert deciding.post(f"{one}/accept/").json()["accepted"] is True
    assert cast.team.has_member(cast.stranger)
    assert_told(deciding.post(f"{one}/decline/"), 409, "conflict")
    assert deciding.get(f"{API}/join-requests/?open=true").json()["results"] == []


def test_a_request_is_declined_or_taken_back(cast: Cast) -> None:
    asking = client_of(cast.stranger)
    for ending, client in (("decline", client_of(cast.owner)), ("withdraw", asking)):
        made = asking.post(f"{API}/join-requests/", {"team": cast.team.pk}).json()
        ended = client.post(f"{API}/join-requests/{made['id']}/{ending}/").json()
        assert (ended["accepted"], ended["decided_at"] is not None) == (False, True)
    assert not cast.team.has_member(cast.stranger)


def test_too_many_requests_are_put_off(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teams, "ASKED_PER_DAY", 1)
    rosters.withdraw_request(cast.stranger, rosters.ask_to_join(cast.stranger, cast.team))
    answer = client_of(cast.stranger).post(f"{API}/join-requests/", {"team": cast.other_team.pk})
    assert assert_told(answer, 429, "too_many")["next_at"]
    assert answer["Retry-After"]


def test_an_invitation_from_its_link_to_the_team(cast: Cast) -> None:
    client = client_of(cast.owner)
    made = client.post(f"{API}/invitations/", {"team": cast.team.pk, "email": "friend@example.org"})
    assert made.status_code == 201
    body = made.json()
    assert mail.outbox[-1].to == ["friend@example.org"]
    assert body["token"] in body["link"]
    [row] = client.get(f"{API}/invitations/").json()["results"]
    assert "token" not in row
    assert client_of(cast.teammate).get(f"{API}/invitations/").json()["results"] == []
    answer = client_of(cast.teammate).post(f"{API}/invitations/", {"team": cast.team.pk})
    assert_told(answer, 403, "not_allowed")
    assert_problem(client_of(cast.rival).post(f"{API}/invitations/", {"team": cast.team.pk}), 400, "invalid")
    accept = f"{API}/invitations/accept/"
    assert_told(client_of(cast.rival).post(accept, {"token": body["token"]}), 409, "already_in_team")
    answer = client_of(cast.organiser).post(accept, {"token": body["token"]})
    assert_told(answer, 403, "organisers_do_not_compete")
    joined = client_of(cast.stranger).post(accept, {"token": body["token"]}).json()
    assert (joined["id"], len(joined["members"])) == (cast.team.pk, 3)
    assert_told(client_of(make_user()).post(accept, {"token": body["token"]}), 404, "invitation_unknown")


def test_an_invitation_is_revoked(cast: Cast) -> None:
    made, token = teams.invite(cast.owner, cast.team)
    address = f"{API}/invitations/{made.pk}/"
    assert_told(client_of(cast.rival).delete(address), 404, "not_found")
    assert client_of(cast.owner).delete(address).status_code == 204
    assert Invitation.objects.get().revoked_at
    answer = client_of(cast.stranger).post(f"{API}/invitations/accept/", {"token": token})
    assert_told(answer, 404, "invitation_unknown")


def test_a_full_team_accepts_nobody(cast: Cast) -> None:
    Competition.objects.update(max_team_size=2)
    _, token = teams.invite(cast.owner, cast.team)
    answer = client_of(cast.stranger).post(f"{API}/invitations/accept/", {"token": token})
    assert_told(answer, 409, "team_full")


def test_a_merger_from_the_offer_to_one_team(cast: Cast) -> None:
    offering, deciding = client_of(cast.owner), client_of(cast.rival)
    offer = {"team": cast.team.pk, "other": cast.other_team.pk}
    assert_told(client_of(cast.teammate).post(f"{API}/mergers/", offer), 403, "not_allowed")
    assert_told(offering.post(f"{API}/mergers/", {**offer, "other": cast.team.pk}), 400, "invalid")
    made = offering.post(f"{API}/mergers/", offer)
    assert made.status_code == 201
    assert_told(offering.post(f"{API}/mergers/", offer), 409, "conflict")
    one = f"{API}/mergers/{made.json()['id']}"
    for client in (offering, deciding):
        query = f"?open=true&team={cast.team.pk}"
        [row] = client.get(f"{API}/mergers/{query}").json()["results"]
        assert (row["team"]["name"], row["other"]["name"]) == ("Alpine", "Rivals")
    assert_told(client_of(cast.stranger).post(f"{one}/accept/"), 404, "not_found")
    assert_told(offering.post(f"{one}/accept/"), 403, "not_allowed")
    assert_told(deciding.post(f"{one}/withdraw/"), 403, "not_allowed")
    Competition.objects.update(mergers_until=timezone.now() - timedelta(hours=1))
    assert_told(deciding.post(f"{one}/accept/"), 403, "roster_locked")
    assert Merger.objects.get().decided_at is None
    Competition.objects.update(mergers_until=None, max_team_size=2)
    assert_told(deciding.post(f"{one}/accept/"), 409, "team_full")
    Competition.objects.update(max_team_size=None)
    assert deciding.post(f"{one}/accept/").json()["accepted"] is True
    [mine] = deciding.get(f"{API}/teams/mine/").json()
    assert (mine["name"], len(mine["members"])) == ("Alpine", 3)
    assert Membership.objects.filter(team=cast.other_team).count() == 0


def test_an_offer_is_declined_or_taken_back(cast: Cast) -> None:
    for ending, client in (("decline", client_of(cast.rival)), ("withdraw", client_of(cast.owner))):
        offered = rosters.propose_merger(cast.owner, cast.team, cast.other_team)
        assert client.post(f"{API}/mergers/{offered.pk}/{ending}/").json()["accepted"] is False
        assert_told(client.post(f"{API}/mergers/{offered.pk}/{ending}/"), 409, "conflict")


def test_the_description_and_what_follows_for_the_team(cast: Cast) -> None:
    Competition.objects.update(descriptions_due_at=timezone.now() + timedelta(hours=1))
    client, own = client_of(cast.owner), f"{API}/teams/{cast.team.pk}/"
    before = client.get(own).json()
    assert (before["description"], before["eligible"]) == (None, False)
    assert "No method description has been handed in yet." in before["why_not_eligible"]
    address = f"{own}description/"
    assert_told(client.get(address), 404, "not_found")
    assert_told(client.post(address, {"file": pdf(b"a text")}, format="multipart"), 400, "invalid")
    assert_told(client.post(address, {"file": pdf(b"")}, format="multipart"), 400, "invalid")
    assert_told(
        client.post(address, {"file": pdf(b"%PDF" + bytes(6 * 2**20))}, format="multipart"), 413, "too_large"
    )
    handed_in = client.post(address, {"file": pdf()}, format="multipart").json()
    assert (handed_in["members"], handed_in["verdict"]) == (["owner", "teammate"], "open")
    teams.add_member(cast.team, cast.stranger)
    after = client_of(cast.teammate).get(own).json()
    assert (after["eligible"], after["why_not_eligible"]) == (True, "")
    assert after["description"]["unnamed_members"] == ["stranger"]
    answer = client_of(cast.teammate).get(address)
    assert (answer.content, answer["Content-Type"]) == (b"%PDF-1.7 a page", "application/pdf")
    assert "attachment" in answer["Content-Disposition"]
    for other in (cast.rival, cast.organiser):
        assert_problem(client_of(other).get(address), 404, "not_found")
    Competition.objects.update(descriptions_due_at=timezone.now() - timedelta(hours=1))
    assert_told(client.post(address, {"file": pdf()}, format="multipart"), 403, "roster_locked")


def test_winners_are_open_to_everybody(cast: Cast) -> None:
    Prize.objects.create(competition=cast.competition, title="1st place", phase=cast.phase, rank=1)
    Prize.objects.create(competition=cast.competition, title="Special prize", note="originality")
    awards.give_award(cast.organiser, cast.competition, cast.team, "Special prize", "For its ideas.")
    client = client_of()
    address = client.get(f"{API}/competitions/landslides/").json()["awards"]
    body = client.get(address).json()
    [award] = body["awards"]
    assert (award["title"], award["team"], award["citation"]) == ("Special prize", "Alpine", "For its ideas.")
    assert b"For its ideas." in client.get(award["certificate"]).content
    assert body["waiting"] == [{"title": "1st place", "phase": "validation", "rank": 1, "note": ""}]
    Competition.objects.update(is_published=False)
    assert_told(client.get(address), 404, "not_found")
    assert Award.objects.count() == 1
