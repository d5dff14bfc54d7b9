"""The home page and the boards: what is on them, what is hidden, and what they cost."""

import time
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import bulk
from leaderboard.actions import teams as actions
from leaderboard.models import Evaluation, Page, Phase, PublishedEntry, Submission
from leaderboard.pages import boards, labels
from tests.leaderboard.factories import (
    Cast,
    make_competition,
    make_phase,
    make_submission,
    make_team,
    score_now,
)


def board_url(cast: Cast) -> str:
    return reverse("pages:board", args=[cast.competition.slug, cast.phase.slug])


def test_home_is_the_page_of_the_only_published_competition(cast: Cast, client: Client) -> None:
    make_competition("secret", is_published=False)
    page = client.get("/").content.decode()
    assert f"<h1>{cast.competition}</h1>" in page
    assert "secret" not in page


def test_home_lists_several_competitions(cast: Cast, client: Client) -> None:
    make_competition("floods")
    page = client.get("/").content.decode()
    assert reverse("pages:competition", args=["floods"]) in page
    assert reverse("pages:competition", args=[cast.competition.slug]) in page


def test_a_phase_without_labels_asks_nobody_to_submit(cast: Cast, client: Client) -> None:
    assert "Be the first" in client.get(board_url(cast)).content.decode()
    make_competition("floods")
    earlier = client.get("/").content.decode()
    cast.phase.labels = None
    cast.phase.save()
    page = client.get(board_url(cast)).content.decode()
    assert (
        "Submissions are not possible yet: the organisers have not loaded the labels of this phase." in page
    )
    assert "Be the first" not in page
    later = client.get("/").content.decode()
    names = (f">{cast.competition}</a>", "/c/floods/")
    assert earlier.index(names[0]) < earlier.index(names[1])  # what takes submissions comes first
    assert later.index(names[0]) > later.index(names[1])


def test_home_without_any_competition(db: None, client: Client) -> None:
    assert "No competitions have been published yet" in client.get("/").content.decode()


def test_an_unpublished_competition_is_seen_by_its_organisers_alone(cast: Cast, client: Client) -> None:
    cast.competition.is_published = False
    cast.competition.save()
    for user, status in ((None, 404), (cast.owner, 404), (cast.organiser, 200)):
        client.logout()
        if user:
            client.force_login(user)
        for name, args in (("competition", []), ("board", [cast.phase.slug]), ("boards", [])):
            answer = client.get(reverse(f"pages:{name}", args=[cast.competition.slug, *args]), follow=True)
            assert answer.status_code == status, (user, name)


def test_the_next_deadline_is_stated_in_utc(cast: Cast, client: Client) -> None:
    cast.phase.closes_at = timezone.now() + timedelta(days=3)
    cast.phase.save()
    page = client.get("/").content.decode()
    assert "Validation closes in" in page
    assert f'datetime="{cast.phase.closes_at:%Y-%m-%dT%H:%M:%SZ}"' in page


def test_texts_are_rendered_without_what_could_act(cast: Cast, client: Client) -> None:
    body = '# Data\n\n<script>alert(1)</script><b onclick="x()">bold</b> [paper](https://example.org) [x](javascript:x())'
    Page.objects.create(competition=cast.competition, slug="overview", title="Overview", body=body)
    Page.objects.create(competition=cast.competition, slug="data", title="Data", body=body, position=1)
    page = client.get(reverse("pages:text", args=[cast.competition.slug, "data"])).content.decode()
    assert '<h2 id="data">Data</h2>' in page
    assert "alert(1)" not in page
    assert "onclick" not in page
    assert "javascript:" not in page
    assert 'rel="nofollow noopener noreferrer"' in page
    assert client.get(reverse("pages:text", args=[cast.competition.slug, "nothing"])).status_code == 404


def test_a_text_cannot_take_an_address_of_the_site(cast: Cast) -> None:
    from leaderboard.pages.urls import urlpatterns

    own = {str(each.pattern).split("/")[2] for each in urlpatterns if str(each.pattern).startswith("c/")}
    # data: the page is a text of the organisers, and only its files are addresses of the site
    slugs = {word for word in own if word and not set(word) & set("<.")}  # a slug has no dot
    assert slugs - {"data"} == set(Page.RESERVED)
    for slug in Page.RESERVED:
        with pytest.raises(ValidationError, match="is reserved by the site"):
            Page(competition=cast.competition, slug=slug, title="X", body="X").full_clean()


def test_the_board_shows_the_teams_in_order(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase, (80, 20, 20), method="SegFormer")
    make_submission(cast.team, cast.phase, (50, 50, 50))
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    answer = client.get(board_url(cast))
    rows = answer.context["board"].rows
    assert [(row.rank, row.team, row.entries) for row in rows] == [(1, "Rivals", 1), (2, "Alpine", 2)]
    page = answer.content.decode()
    assert "SegFormer" in page
    for number in ("90.00", "80.00"):
        assert number in page


def test_equal_f1_shares_a_rank(cast: Cast, client: Client) -> None:
    for team in (cast.team, cast.other_team, make_team(cast.competition)):
        make_submission(team, cast.phase, (80, 20, 20) if team != cast.other_team else (160, 40, 40))
    assert [row.rank for row in client.get(board_url(cast)).context["board"].rows] == [1, 1, 1]


def test_a_phase_that_shows_f1_alone_hides_precision_and_recall(cast: Cast, client: Client) -> None:
    cast.phase.visible_metrics = "f1"
    cast.phase.save()
    make_submission(cast.team, cast.phase, (80, 10, 30))  # P 88.89, R 72.73, F1 80.00
    for user in (None, cast.owner, cast.rival):
        if user:
            client.force_login(user)
        for url in (board_url(cast), "/"):
            page = client.get(url).content.decode()
            assert "80.00" in page
            assert "88.89" not in page
            assert "72.73" not in page
            assert "Precision" not in page
    client.force_login(cast.organiser)
    assert "88.89" in client.get(board_url(cast)).content.decode()


def test_a_hidden_phase_shows_no_board_before_its_end(cast: Cast, client: Client) -> None:
    cast.phase.hidden_until_close = True
    cast.phase.save()
    make_submission(cast.team, cast.phase, (80, 20, 20))
    for url in (board_url(cast), "/"):
        assert "80.00" not in client.get(url).content.decode()
    assert "hidden until it ends" in client.get(board_url(cast)).content.decode()
    client.force_login(cast.organiser)
    assert "80.00" in client.get(board_url(cast)).content.decode()


def test_reference_and_published_entries_are_marked_and_stand_apart(cast: Cast, client: Client) -> None:
    cast.competition.data_note = "These scores are on synthetic data."
    cast.competition.save()
    organisers = make_team(cast.competition, "Organisers", owner=cast.organiser, is_organisers=True)
    make_submission(organisers, cast.phase, (99, 1, 1), reference=True, method="Baseline")
    make_submission(cast.team, cast.phase, (80, 20, 20))
    PublishedEntry.objects.create(phase=cast.phase, name="Kingdrone", f1="80.41", source="Outcome paper")
    answer = client.get(board_url(cast))
    assert [row.team for row in answer.context["board"].rows] == ["Alpine"]
    page = answer.content.decode()
    assert (
        page.index("Alpine")
        < page.index("not ranked")
        < page.index("Baseline")
        < page.index("On the original data")
    )
    assert page.index("On the original data, not scored here") < page.index("Kingdrone")
    assert "These scores are on synthetic data." in page


def test_public_labels_are_said(cast: Cast, client: Client) -> None:
    cast.phase.labels_public_since = timezone.now().date()
    cast.phase.save()
    assert "labels public since" in client.get(board_url(cast)).content.decode()


def test_a_member_sees_its_own_place_even_on_another_page(
    cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "ROWS", 2)
    for tp in (90, 85, 82):
        make_submission(make_team(cast.competition), cast.phase, (tp, 20, 20))
    make_submission(cast.team, cast.phase, (50, 20, 20))
    client.force_login(cast.teammate)
    page = client.get(board_url(cast)).content.decode()
    assert "is ranked <strong>4</strong> of 4" in page
    second = client.get(board_url(cast), {"page": 2})
    assert [row.rank for row in second.context["board"].rows] == [3, 4]
    for bad in ("3", "no", "99999999999999"):
        assert client.get(board_url(cast), {"page": bad}).status_code == 404


def test_long_boards_come_in_pages_and_only_those_near_are_linked(
    cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boards, "ROWS", 1)
    monkeypatch.setattr(labels, "ROWS", 1)
    for score in range(30):
        make_submission(make_team(cast.competition), cast.phase, (90 - score, 10, 10))
    old = reverse("pages:old-board", args=[cast.competition.slug, cast.phase.slug, 1])
    for address in (board_url(cast), old):
        page = client.get(address, {"page": 15})
        assert page.context["pages"] == [1, 2, "…", *range(12, 19), "…", 29, 30]
        assert page.content.decode().count('<td class="rank">') == 1
        assert '<td class="rank">15</td>' in page.content.decode().replace("\n", "").replace("  ", "")
        assert client.get(address, {"page": 31}).status_code == 404


def test_the_fragment_is_rendered_once_for_everybody_who_is_in_no_team(
    cast: Cast, client: Client, django_assert_max_num_queries
) -> None:
    make_submission(cast.team, cast.phase, (80, 20, 20))
    polled = {"HX-Request": "true"}
    first = client.get(board_url(cast), headers=polled)
    with django_assert_max_num_queries(2):
        again = Client().get(board_url(cast), headers=polled)
    assert (again.content, again["ETag"]) == (first.content, first["ETag"])
    assert "odd" in Client().get(board_url(cast), {"odd": 1}, headers=polled).content.decode()
    assert "odd" not in Client().get(board_url(cast), headers=polled).content.decode()
    client.force_login(cast.owner)
    assert "your team" in client.get(board_url(cast), headers=polled).content.decode()
    make_submission(cast.other_team, cast.phase, (90, 20, 20))
    assert "Rivals" in Client().get(board_url(cast), headers=polled).content.decode()
    actions.edit_team(cast.rival, cast.other_team, name="Renamed")
    assert "Renamed" in Client().get(board_url(cast), headers=polled).content.decode()
    bulk.disqualify(cast.organiser, Submission.objects.get(team=cast.other_team), "spam")
    assert "Renamed" not in Client().get(board_url(cast), headers=polled).content.decode()


def test_the_polled_fragment_is_not_sent_twice(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase, (80, 20, 20))
    first = client.get(board_url(cast), headers={"HX-Request": "true"})
    assert first.content.decode().lstrip().startswith('<div id="board"')
    again = {"HX-Request": "true", "If-None-Match": first["ETag"]}
    assert client.get(board_url(cast), headers=again).status_code == 304
    make_submission(cast.other_team, cast.phase, (90, 20, 20))
    changed = client.get(board_url(cast), headers=again)
    assert changed.status_code == 200
    assert "Rivals" in changed.content.decode()
    client.force_login(cast.organiser)
    assert client.get(board_url(cast), headers=again | {"If-None-Match": changed["ETag"]}).status_code == 200


def test_the_fragment_changes_when_a_hidden_phase_ends(cast: Cast, client: Client) -> None:
    cast.phase.hidden_until_close = True
    cast.phase.save()
    make_submission(cast.team, cast.phase, (80, 20, 20))
    before = client.get(board_url(cast), headers={"HX-Request": "true"})
    cast.phase.closes_at = timezone.now() - timedelta(seconds=1)
    cast.phase.save()
    after = client.get(board_url(cast), headers={"HX-Request": "true", "If-None-Match": before["ETag"]})
    assert after.status_code == 200
    assert "80.00" in after.content.decode()


def test_a_closed_phase_is_not_asked_for_again(cast: Cast, client: Client) -> None:
    assert "hx-get" in client.get(board_url(cast)).content.decode()
    cast.phase.closes_at = timezone.now() - timedelta(seconds=1)
    cast.phase.save()
    assert "hx-get" not in client.get(board_url(cast)).content.decode()


def test_the_tab_leads_to_the_open_phase(cast: Cast, client: Client) -> None:
    make_phase(cast.competition, "later", opens_at=timezone.now() + timedelta(days=1), position=1)
    answer = client.get(reverse("pages:boards", args=[cast.competition.slug]))
    assert answer["Location"] == board_url(cast)


def test_a_board_costs_the_same_whatever_its_length(
    cast: Cast, client: Client, django_assert_num_queries
) -> None:
    def fill(teams: int) -> None:
        for _ in range(teams):
            team = make_team(cast.competition)
            make_submission(team, cast.phase)
            make_submission(team, cast.phase, state=Evaluation.State.INVALID)

    fill(2)
    client.get(board_url(cast))
    # competition, phases, published entries, standings, rank of the first, references, report, texts, awards; and
    # for the movement since yesterday: whether a worker has written the ranks down; and the
    # reported intervals; and when the first score was, for the slider through time
    with django_assert_num_queries(11):
        client.get(board_url(cast))
    fill(8)
    with django_assert_num_queries(11):
        client.get(board_url(cast))
    client.force_login(cast.owner)
    # and: session, user, is an organiser (three times), my team, my line
    with django_assert_num_queries(18):
        client.get(board_url(cast))


def test_an_unchanged_board_costs_three_queries_at_most(
    cast: Cast, client: Client, django_assert_max_num_queries
) -> None:
    make_submission(cast.team, cast.phase)
    first = client.get(board_url(cast), headers={"HX-Request": "true"})
    with django_assert_max_num_queries(3):
        client.get(board_url(cast), headers={"HX-Request": "true", "If-None-Match": first["ETag"]})


def test_visitors_who_poll_the_same_board_within_a_second_ask_the_database_once(
    cast: Cast, client: Client, settings, django_assert_num_queries
) -> None:
    settings.SHARED_LOOK_SECONDS = 1
    make_submission(cast.team, cast.phase)
    first = client.get(board_url(cast), headers={"HX-Request": "true"})
    with django_assert_num_queries(0):
        again = client.get(board_url(cast), headers={"HX-Request": "true"})
        unchanged = client.get(
            board_url(cast), headers={"HX-Request": "true", "If-None-Match": first["ETag"]}
        )
    assert (again.content, again["ETag"], unchanged.status_code) == (first.content, first["ETag"], 304)
    assert "Rivals" not in first.content.decode()
    make_submission(cast.other_team, cast.phase)
    time.sleep(1.1)
    assert "Rivals" in client.get(board_url(cast), headers={"HX-Request": "true"}).content.decode()
    make_submission(cast.team, cast.phase, (99, 1, 1))
    client.force_login(cast.owner)  # who has a session never gets what a visitor got
    mine = client.get(board_url(cast), headers={"HX-Request": "true"}).content.decode()
    assert "your team" in mine
    assert "99.00" in mine


def test_a_closed_phase_is_followed_until_the_last_submission_is_scored(cast: Cast, client: Client) -> None:
    def asked() -> HttpResponse:
        etag = {"If-None-Match": seen[-1]["ETag"]} if seen else {}
        seen.append(client.get(board_url(cast), headers={"HX-Request": "true", **etag}))
        return seen[-1]

    seen: list[HttpResponse] = []
    first, last = (make_submission(team, cast.phase, state="queued") for team in (cast.team, cast.other_team))
    assert "hx-get" in asked().content.decode()
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=timezone.now())
    score_now(first)
    assert "hx-get" in asked().content.decode()
    score_now(last)
    page = asked().content.decode()
    assert "Rivals" in page
    assert "hx-get" not in page
