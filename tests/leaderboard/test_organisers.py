"""Who organises does not compete; organisers name each other; every act is logged."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from leaderboard.actions import competition_files, organisers, refusals, rosters, teams
from leaderboard.models import AuditEntry, Competition, Membership, Team
from tests.leaderboard.factories import Cast, make_cast, make_competition, make_team, make_user

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("who", ["organiser", "superuser"])
def test_an_organiser_gets_into_no_competing_team_by_any_way(cast: Cast, who: str) -> None:
    person = cast.organiser if who == "organiser" else make_user("root", is_superuser=True)
    _, token = teams.invite(cast.owner, cast.team)
    for way in (
        lambda: teams.create_team(person, cast.competition, "Insiders"),
        lambda: teams.accept_invitation(person, token),
        lambda: rosters.ask_to_join(person, cast.team),
        lambda: teams.add_member(cast.team, person),
    ):
        with pytest.raises(refusals.OrganisersDoNotCompete, match="leaves the organisers first"):
            way()
    assert not Membership.objects.filter(user=person).exists()
    elsewhere = make_competition("elsewhere")
    if who == "organiser":
        assert teams.create_team(person, elsewhere, "Guests")


def test_the_pages_and_the_admin_say_so(cast: Cast, client: Client) -> None:
    client.force_login(cast.organiser)
    page = reverse("pages:team", args=[cast.competition.slug])
    told = client.get(page).content.decode()
    assert "You organise this competition" in told
    assert "Create the team" not in told  # it would be refused
    answer = client.post(page, {"name": "Insiders"})
    assert answer.status_code == 403
    assert "cannot be in a competing team" in answer.content.decode()
    address = reverse("admin:leaderboard_membership_add")
    form = {"team": cast.team.pk, "user": cast.organiser.pk, "role": "member"}
    assert "cannot be in a competing team" in client.post(address, form).content.decode()
    own = make_team(cast.competition, "Organisers", is_organisers=True)
    assert client.post(address, {**form, "team": own.pk}).status_code == 302
    assert own.has_member(cast.organiser)


def test_whoever_asked_before_becoming_an_organiser_is_not_taken_in(cast: Cast) -> None:
    asked = rosters.ask_to_join(cast.stranger, cast.team)
    organisers.add_organiser(cast.organiser, cast.competition, "stranger", "knows slopes")
    with pytest.raises(refusals.OrganisersDoNotCompete):
        rosters.decide_request(cast.owner, asked, True)


def test_the_first_organiser_adds_and_removes_others(cast: Cast) -> None:
    added = organisers.add_organiser(cast.organiser, cast.competition, " stranger ", "knows slopes")
    added.refresh_from_db()
    assert added.is_staff, "may enter the admin"
    assert cast.competition.is_organised_by(added)
    with pytest.raises(refusals.Conflict, match="already"):
        organisers.add_organiser(cast.organiser, cast.competition, "stranger", "again")
    organisers.remove_organiser(added, cast.competition, "organiser", "they retire")
    assert not Competition.objects.organised_by(cast.organiser).exists()
    cast.organiser.refresh_from_db()
    assert not cast.organiser.is_staff, "nothing is left to do there"
    with pytest.raises(refusals.Conflict, match=r"only organiser of Landslides 2022\. Add another one first"):
        organisers.remove_organiser(added, cast.competition, "stranger", "me too")
    entries = cast.competition.audit.order_by("id").values_list("act", "actor_name", "subject", "reason")
    assert list(entries) == [
        ("organiser added", "organiser", "stranger", "knows slopes"),
        ("organiser removed", "stranger", "organiser", "they retire"),
    ]


def test_a_refusal_names_the_fix(cast: Cast) -> None:
    add = organisers.add_organiser
    with pytest.raises(refusals.OrganisersDoNotCompete, match="teammate must leave the team first"):
        add(cast.organiser, cast.competition, "teammate", "helps")
    with pytest.raises(refusals.InvalidInput, match="Ask the person for the user name"):
        add(cast.organiser, cast.competition, "owner@example.org", "by address")
    with pytest.raises(refusals.InvalidInput, match="reason"):
        add(cast.organiser, cast.competition, "stranger", " ")
    with pytest.raises(refusals.NotAllowed):
        add(cast.owner, cast.competition, "stranger", "why not")
    with pytest.raises(refusals.InvalidInput, match="does not organise"):
        organisers.remove_organiser(cast.organiser, cast.competition, "stranger", "never was")
    elsewhere = make_competition("elsewhere", organiser=make_user("elsewhere", is_staff=True))
    with pytest.raises(refusals.NotAllowed):
        add(cast.organiser, elsewhere, "stranger", "not mine")
    assert not AuditEntry.objects.exists()
    Team.objects.filter(pk=cast.team.pk).delete()
    assert add(cast.organiser, cast.competition, "teammate", "helps")


def test_in_the_admin_by_an_organiser_who_is_not_a_superuser(cast: Cast, client: Client) -> None:
    client.force_login(cast.organiser)
    address = reverse("admin:leaderboard_competition_add_organiser", args=[cast.competition.pk])
    assert "They cannot be in a competing team" in client.get(address).content.decode()
    asked = {"confirmed": "yes", "username": "owner", "reason": "helps"}
    assert "must leave the team first" in client.post(address, asked).content.decode()
    answer = client.post(address, {**asked, "username": "stranger"}, follow=True)
    assert "stranger organises Landslides 2022 now." in answer.content.decode()
    assert "organiser, stranger" in answer.content.decode()
    address = reverse("admin:leaderboard_competition_remove_organiser", args=[cast.competition.pk])
    answer = client.post(address, {**asked, "username": "organiser"}, follow=True)
    assert answer.status_code == 200
    assert "organiser no longer organises Landslides 2022." in answer.content.decode()
    assert list(cast.competition.organisers.all()) == [cast.stranger]


@pytest.mark.django_db(transaction=True)
def test_nobody_becomes_both_at_the_same_moment(django_db_setup) -> None:
    cast = make_cast()
    for number in range(6):
        person = make_user(f"both{number}")
        start = threading.Barrier(2)

        def at_once(act: Callable[[], object], start: threading.Barrier = start) -> str:
            start.wait()
            try:
                act()
            except refusals.OrganisersDoNotCompete as refused:
                return refused.code
            finally:
                connection.close()
            return "done"

        ways: list[Callable[[], object]] = [
            lambda who=person, no=number: teams.create_team(who, cast.competition, f"Both {no}"),
            lambda who=person: organisers.add_organiser(
                cast.organiser, cast.competition, who.username, "race"
            ),
        ]
        with ThreadPoolExecutor(2) as pool:
            told = list(pool.map(at_once, ways))
        assert sorted(told) == ["done", "organisers_do_not_compete"]
        in_a_team = Membership.objects.filter(user=person).exists()
        assert in_a_team is not cast.competition.organisers.filter(pk=person.pk).exists()


def test_a_competition_file_names_no_member(cast: Cast) -> None:
    document = competition_files.read_file(competition_files.PRESETS / "l4s-2022.toml")
    competition = competition_files.apply(
        competition_files.plan({**document, "organisers": [cast.stranger.username]})
    )
    cast.stranger.refresh_from_db()
    assert cast.stranger.is_staff
    make_team(competition, "Inside", owner=cast.rival)
    with pytest.raises(competition_files.CompetitionFileInvalid, match="must leave the team first"):
        competition_files.plan({**document, "organisers": [cast.rival.username]})
