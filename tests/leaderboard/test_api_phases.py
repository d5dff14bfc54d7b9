"""Competitions, phases and leaderboards through the REST API."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leaderboard.models import Phase, PublishedEntry
from tests.leaderboard.api import API, assert_problem, client_of
from tests.leaderboard.factories import (
    Cast,
    make_competition,
    make_phase,
    make_submission,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db


def board_address(cast: Cast) -> str:
    return f"{API}/phases/{cast.phase.pk}/leaderboard/"


def test_a_phase_shows_its_rules_and_nothing_of_the_labels(cast: Cast) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=10, visible_metrics="f1")
    response = client_of().get(f"{API}/phases/{cast.phase.pk}/")
    body = response.json()
    assert body["competition"] == "landslides"
    assert body["is_open"] is True
    assert body["quotas"] == {"total": 10, "per_day": None, "on_board": None}
    assert body["visible_metrics"] == ["f1"]
    assert (body["patches"], body["patch_height"], body["patch_width"]) == (3, 16, 16)
    labels = cast.phase.labels
    assert body["labels"] == {"version": 1, "commitment": labels.commitment}
    assert labels.sha256 not in response.content.decode()
    assert labels.salt not in response.content.decode()
    Phase.objects.filter(pk=cast.phase.pk).update(labels=None)
    assert client_of().get(f"{API}/phases/{cast.phase.pk}/").json()["is_open"] is False, (
        "nothing can be scored"
    )
    Phase.objects.filter(pk=cast.phase.pk).update(labels=labels)
    organisers = client_of(cast.organiser).get(f"{API}/phases/{cast.phase.pk}/").json()
    assert organisers["visible_metrics"] == ["counts", "f1", "precision", "recall"]


def test_lists_and_details(cast: Cast, django_assert_max_num_queries) -> None:
    bare = make_phase(cast.competition, "future", labels=False)
    hidden = make_competition("hidden", is_published=False, organiser=cast.organiser)
    make_phase(hidden)
    with django_assert_max_num_queries(3):
        phases = client_of().get(f"{API}/phases/").json()
    assert {phase["id"] for phase in phases} == {cast.phase.pk, bare.pk}
    assert [phase["labels"] for phase in phases if phase["id"] == bare.pk] == [None]
    assert [each["slug"] for each in client_of().get(f"{API}/competitions/").json()] == ["landslides"]
    assert len(client_of(cast.organiser).get(f"{API}/competitions/").json()) == 2
    body = client_of().get(f"{API}/competitions/landslides/").json()
    assert [phase["slug"] for phase in body["phases"]] == ["validation", "future"]
    assert client_of().get(body["phases"][0]["links"]["self"]).status_code == 200
    assert_problem(client_of().get(f"{API}/competitions/hidden/"), 404, "not_found")


def test_the_board_ranks_teams_and_keeps_other_entries_apart(cast: Cast) -> None:
    make_submission(cast.team, cast.phase, (60, 20, 20))
    make_submission(cast.team, cast.phase, (80, 20, 20))
    make_submission(cast.other_team, cast.phase, (80, 20, 20))
    third = make_team(cast.competition, "Third")
    make_submission(third, cast.phase, (10, 20, 20))
    organisers = make_team(cast.competition, "Organisers", owner=make_user(), is_organisers=True)
    make_submission(organisers, cast.phase, (90, 10, 10), reference=True, method="U-Net baseline")
    PublishedEntry.objects.create(
        phase=cast.phase, name="Paper", f1="57.82", precision="51.75", source="T. 4"
    )
    body = client_of().get(board_address(cast)).json()
    assert [(row["rank"], row["team"], row["f1"], row["entries"]) for row in body["rows"]] == [
        (1, "Alpine", 0.8, 2),
        (1, "Rivals", 0.8, 1),
        (3, "Third", 10 / 30, 1),
    ]
    reference = body["reference"][0]
    assert (reference["rank"], reference["f1"], reference["method"]) == (None, 0.9, "U-Net baseline")
    published = body["published"][0]
    assert (published["f1"], published["precision"], published["recall"]) == (0.5782, 0.5175, None)
    assert (body["hidden"], body["frozen"], body["next"]) == (False, False, None)


def test_the_board_comes_in_pages_with_the_same_ranks(cast: Cast) -> None:
    for tp in (90, 80, 80, 80, 70):
        make_submission(make_team(cast.competition), cast.phase, (tp, 20, 20))
    whole = client_of().get(board_address(cast)).json()["rows"]
    assert [row["rank"] for row in whole] == [1, 2, 2, 2, 5]
    rows, address = [], f"{board_address(cast)}?limit=2"
    while address:
        page = client_of().get(address).json()
        rows += page["rows"]
        address = page["next"]
    assert rows == whole
    assert page["count"] == 5
    for odd in ("limit=0", "limit=501", "offset=-1", "limit=x", "offset=99999999999999999999", "limit=%00"):
        assert_problem(client_of().get(f"{board_address(cast)}?{odd}"), 400, "invalid")


def test_a_version_of_the_board_is_made_once_for_all_who_may_see_the_same(
    cast: Cast, django_assert_num_queries
) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(visible_metrics="f1")
    make_submission(cast.team, cast.phase)
    first = client_of().get(board_address(cast))
    with django_assert_num_queries(1):  # for the phase
        again = client_of().get(board_address(cast))
    assert (again.content, again["Link"], again["ETag"]) == (first.content, first["Link"], first["ETag"])
    organiser = client_of(cast.organiser).get(board_address(cast)).json()
    assert (organiser["rows"][0]["recall"], first.json()["rows"][0]["recall"]) == (0.8, None)
    plain = client_of().get(board_address(cast), HTTP_ACCEPT="text/csv")
    assert plain["Content-Type"] == "text/csv; charset=utf-8"
    assert client_of().get(f"{board_address(cast)}?limit=1", HTTP_HOST="localhost").json()["next"] is None
    with django_assert_num_queries(1):
        client_of().get(board_address(cast))
    for window in ("?limit=100", "?offset=0"):  # anyone could fill the cache with them
        client_of().get(f"{board_address(cast)}{window}")
        with CaptureQueriesContext(connection) as asked:
            client_of().get(f"{board_address(cast)}{window}")
        assert len(asked) > 1, window
    make_submission(cast.other_team, cast.phase)
    assert len(client_of().get(board_address(cast)).json()["rows"]) == 2


def test_an_unchanged_board_costs_no_body(cast: Cast, django_assert_max_num_queries) -> None:
    make_submission(cast.team, cast.phase)
    client = client_of()
    first = client.get(board_address(cast))
    assert first["Cache-Control"] == "public, max-age=5"
    assert {"Authorization", "Cookie"} <= set(first["Vary"].split(", "))
    with django_assert_max_num_queries(1):
        again = client.get(board_address(cast), HTTP_IF_NONE_MATCH=first["ETag"])
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    assert client.get(f"{board_address(cast)}?limit=1", HTTP_IF_NONE_MATCH=first["ETag"]).status_code == 200
    make_submission(cast.other_team, cast.phase)
    changed = client.get(board_address(cast), HTTP_IF_NONE_MATCH=first["ETag"])
    assert changed.status_code == 200
    assert changed["ETag"] != first["ETag"]


def test_each_kind_of_viewer_has_its_own_etag(cast: Cast) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(
        visible_metrics="f1", freezes_at=timezone.now() + timedelta(days=1)
    )
    cast.phase.refresh_from_db()
    make_submission(cast.team, cast.phase)
    public, own = client_of().get(board_address(cast)), client_of(cast.owner).get(board_address(cast))
    organisers = client_of(cast.organiser).get(board_address(cast))
    assert public["ETag"] == own["ETag"] != organisers["ETag"]
    assert own["Cache-Control"] == "private, no-cache"
    assert public.json()["frozen"] is True
    assert public.json()["rows"][0]["precision"] is None
    assert organisers.json()["rows"][0]["precision"] == 0.8
    stale = client_of(cast.organiser).get(board_address(cast), HTTP_IF_NONE_MATCH=public["ETag"])
    assert stale.status_code == 200
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=timezone.now())
    after = client_of().get(board_address(cast), HTTP_IF_NONE_MATCH=public["ETag"])
    assert (after.status_code, after.json()["frozen"]) == (200, False)


def test_a_hidden_board_shows_no_row(cast: Cast) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(hidden_until_close=True)
    make_submission(cast.team, cast.phase)
    for who in (None, cast.owner):
        body = client_of(who).get(board_address(cast)).json()
        assert (body["hidden"], body["rows"], body["reference"], body["count"]) == (True, [], [], 0)
    assert len(client_of(cast.organiser).get(board_address(cast)).json()["rows"]) == 1


def test_many_competitions_cost_no_more_queries(cast: Cast) -> None:
    client = client_of(cast.stranger)

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"{API}/{path}/").status_code == 200
        return len(captured)

    paths = ("competitions", "phases")
    queries("phases")  # notes when the token was last used
    before = [queries(path) for path in paths]
    for number in range(3):
        other = make_competition(f"other-{number}", organiser=make_user())
        make_phase(other)
    assert [queries(path) for path in paths] == before
