"""Create a team, invite, join, remove, leave: what the pages say and refuse."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import Invitation, Membership, Team
from tests.leaderboard.factories import Cast, make_submission, make_user


def team_url(cast: Cast, name: str = "team", *args: Any) -> str:
    return reverse(f"pages:{name}", args=[cast.competition.slug, *args])


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().replace("&#x27;", "'").split())


def lock_the_roster(cast: Cast) -> None:
    cast.competition.roster_locks_at = timezone.now() - timedelta(hours=1)
    cast.competition.save()


def make_link(cast: Cast, client: Client, **fields: str) -> str:
    """An owner makes a link; returns the path in it."""
    client.force_login(cast.owner)
    page = said(client.post(team_url(cast, "invite"), fields))
    found = re.search(r"https?://[^/]+(/join/[^<]+)", page)
    assert found, page
    return found[1]


def test_a_person_without_a_team_creates_one(cast: Cast, client: Client) -> None:
    client.force_login(cast.stranger)
    answer = client.post(team_url(cast), {"name": "New team", "affiliation": "Institute"}, follow=True)
    assert "You have created New team." in said(answer)
    assert "Institute" in said(answer)
    assert Team.objects.get(name="New team").is_owned_by(cast.stranger)


def test_a_taken_name_is_refused_beside_the_field_and_nothing_is_lost(cast: Cast, client: Client) -> None:
    client.force_login(cast.stranger)
    answer = client.post(team_url(cast), {"name": "ALPINE", "affiliation": "Institute"})
    assert answer.status_code == 409
    assert answer.context["form"].errors["name"] == [
        "A team named ALPINE exists already. Please choose another name."
    ]
    assert 'value="Institute"' in said(answer)
    answer = client.post(team_url(cast), {"name": ""})
    assert answer.status_code == 400
    assert "Please name your team." in said(answer)
    answer = client.post(team_url(cast), {"name": "A\u202eB"})
    assert answer.status_code == 400
    assert "U+202E cannot be used" in said(answer)


def test_a_link_lets_one_person_join_once(cast: Cast, client: Client) -> None:
    link = make_link(cast, client, email="new@example.org")
    assert "new@example.org" in said(client.get(team_url(cast)))
    assert link not in said(client.get(team_url(cast)))
    client.force_login(cast.stranger)
    assert "Join Alpine" in said(client.get(link))
    assert not cast.team.has_member(cast.stranger)
    assert "Welcome to Alpine." in said(client.post(link, follow=True))
    assert cast.team.has_member(cast.stranger)
    client.force_login(make_user())
    answer = client.get(link)
    assert answer.status_code == 404
    assert "Ask the owner of the team for a new link." in said(answer)


def test_a_visitor_who_opens_a_link_comes_back_to_it_after_signing_in(cast: Cast, client: Client) -> None:
    link = make_link(cast, client)
    client.logout()
    back = quote(link, safe="")
    assert client.get(link)["Location"] == f"/accounts/login/?next={quote(link)}"
    assert f"/accounts/signup/?next={back}" in said(client.get(link, follow=True))


def test_who_is_in_a_team_already_cannot_join_another(cast: Cast, client: Client) -> None:
    link = make_link(cast, client)
    client.force_login(cast.rival)
    answer = client.post(link)
    assert answer.status_code == 409
    assert "You are in the team Rivals already" in said(answer)
    assert Invitation.objects.open().exists()


def test_a_full_team_accepts_nobody(cast: Cast, client: Client) -> None:
    cast.competition.max_team_size = 2
    cast.competition.save()
    link = make_link(cast, client)
    client.force_login(cast.stranger)
    answer = client.post(link)
    assert answer.status_code == 409
    assert "Alpine has 2 members already" in said(answer)


def test_a_revoked_link_no_longer_works(cast: Cast, client: Client) -> None:
    link = make_link(cast, client)
    invitation = Invitation.objects.get()
    client.post(team_url(cast, "revoke-invitation", invitation.pk))
    client.force_login(cast.stranger)
    assert client.get(link).status_code == 404


def test_only_an_owner_invites_and_sees_invitations(cast: Cast, client: Client) -> None:
    make_link(cast, client, email="new@example.org")
    client.force_login(cast.teammate)
    assert "new@example.org" not in said(client.get(team_url(cast)))
    answer = client.post(team_url(cast, "invite"))
    assert answer.status_code == 403
    assert "Only an owner of Alpine can do that." in said(answer)
    assert Invitation.objects.count() == 1


def test_an_owner_removes_a_member_and_shares_the_ownership(cast: Cast, client: Client) -> None:
    membership = cast.team.memberships.get(user=cast.teammate)
    client.force_login(cast.owner)
    answer = client.post(team_url(cast, "make-owner", membership.pk), follow=True)
    assert "teammate is now an owner of Alpine." in said(answer)
    answer = client.post(team_url(cast, "remove-member", membership.pk), follow=True)
    assert "teammate is no longer in Alpine." in said(answer)
    assert not cast.team.has_member(cast.teammate)


def test_a_member_leaves_but_removes_nobody(cast: Cast, client: Client) -> None:
    client.force_login(cast.teammate)
    owner = cast.team.memberships.get(user=cast.owner)
    assert client.post(team_url(cast, "remove-member", owner.pk)).status_code == 403
    mine = cast.team.memberships.get(user=cast.teammate)
    assert "You have left Alpine." in said(client.post(team_url(cast, "remove-member", mine.pk), follow=True))


def test_the_last_owner_stays(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase)
    client.force_login(cast.owner)
    mine = cast.team.memberships.get(user=cast.owner)
    answer = client.post(team_url(cast, "remove-member", mine.pk))
    assert answer.status_code == 403
    assert "Alpine needs an owner." in said(answer)


def test_a_locked_roster_no_longer_changes(cast: Cast, client: Client) -> None:
    link = make_link(cast, client)
    lock_the_roster(cast)
    page = said(client.get(team_url(cast)))
    assert "Teams have been locked since" in page
    assert "Remove" not in page
    member = cast.team.memberships.get(user=cast.teammate)
    for answer in (
        client.post(team_url(cast, "remove-member", member.pk)),
        client.post(team_url(cast, "invite")),
    ):
        assert answer.status_code == 403
        assert "have been locked since" in said(answer)
    client.force_login(cast.stranger)
    page = said(client.get(team_url(cast)))
    assert "nobody can create or join a team" in page
    assert "Create the team" not in page
    assert client.post(link).status_code == 403
    assert client.post(team_url(cast), {"name": "Too late"}).status_code == 403
    assert Membership.objects.count() == 3


def test_nobody_reaches_into_another_team(cast: Cast, client: Client) -> None:
    make_link(cast, client)
    member = cast.team.memberships.get(user=cast.teammate)
    invitation = Invitation.objects.get()
    for user in (cast.rival, cast.stranger, cast.organiser):
        client.force_login(user)
        for name, pk in (
            ("remove-member", member.pk),
            ("make-owner", member.pk),
            ("revoke-invitation", invitation.pk),
        ):
            assert client.post(team_url(cast, name, pk)).status_code == 404, (user, name)
    client.logout()
    assert client.post(team_url(cast, "invite")).status_code == 302
    assert cast.team.memberships.get(user=cast.teammate).role == Membership.Role.MEMBER
    assert Invitation.objects.open().count() == 1


def test_the_secret_of_a_link_is_in_no_log(
    cast: Cast, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    link = make_link(cast, client)
    caplog.clear()
    client.get(link)
    assert "/join/" in caplog.text
    assert link.partition("=")[2] not in caplog.text
