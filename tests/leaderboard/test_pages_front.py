"""The list of competitions and a competition's overview: leader, place, timeline, countdown; and where the tab leads."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.pages.competitions import Stop
from leaderboard.reporting import counting
from tests.leaderboard.factories import Cast, make_competition, make_phase, make_submission, make_team


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def overview(cast: Cast) -> str:
    return reverse("pages:competition", args=[cast.competition.slug])


def end(phase: Any, ago: timedelta = timedelta(hours=1)) -> None:
    phase.closes_at = timezone.now() - ago
    phase.save()


def test_a_card_names_the_leader_and_the_next_date(cast: Cast, client: Client) -> None:
    make_competition("floods")
    cast.phase.closes_at = timezone.now() + timedelta(days=3, hours=1)
    cast.phase.save()
    make_submission(cast.team, cast.phase, (80, 20, 20))
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    page = said(client.get("/"))
    assert "90.00" in page
    assert "Rivals, of 2 teams" in page
    assert "80.00" not in page
    assert "Validation closes in" in page
    assert 'src="/static/leaderboard/countdown.js"' in page


def test_hidden_scores_are_neither_on_the_card_nor_on_the_overview(cast: Cast, client: Client) -> None:
    make_competition("floods")
    cast.phase.hidden_until_close = True
    cast.phase.save()
    make_submission(cast.team, cast.phase, (80, 20, 20))
    client.force_login(cast.owner)
    for url in ("/", overview(cast)):
        page = said(client.get(url))
        assert "80.00" not in page, url
        assert "hidden until the end" in page, url
        assert "rank 1" not in page, url
    end(cast.phase)
    assert "80.00" in said(client.get("/"))
    assert "rank 1 of 1" in said(client.get(overview(cast)))


def test_members_see_their_score_rank_and_what_is_left(cast: Cast, client: Client) -> None:
    cast.phase.quota_total = 10
    cast.phase.save()
    for tp in (90, 85, 82):
        make_submission(make_team(cast.competition), cast.phase, (tp, 20, 20))
    make_submission(cast.team, cast.phase, (50, 20, 20))
    client.force_login(cast.teammate)
    page = said(client.get(overview(cast)))
    assert '<strong class="hero">71.43</strong> <span>rank 4 of 4</span>' in page
    assert "9 submissions left" in page
    client.force_login(cast.rival)
    page = said(client.get(overview(cast)))
    assert "No score yet" in page
    assert "10 submissions left" in page
    client.force_login(cast.stranger)
    assert "You are not in a team yet." in said(client.get(overview(cast)))


def test_sign_up_comes_back_to_the_competition(cast: Cast, client: Client) -> None:
    sign_up = reverse("account_signup")
    assert f"{sign_up}?next={overview(cast)}" in said(client.get(overview(cast)))
    board = reverse("pages:board", args=[cast.competition.slug, cast.phase.slug])
    assert f"{sign_up}?next={board}" in said(client.get(board))


def test_a_countdown_knows_the_servers_clock(cast: Cast, client: Client) -> None:
    cast.phase.closes_at = timezone.now() + timedelta(days=3, seconds=40)
    cast.phase.save()
    answer = client.get(overview(cast))
    now = answer.context["now"]
    page = said(answer)
    assert f'data-server-ms="{int(now.timestamp() * 1000)}"' in page
    assert "3 days</time>" in page  # without a script


@pytest.mark.parametrize(
    ("opens", "closes", "state", "at"),
    [
        (-10, 10, "open", 50.0),
        (-10, None, "open", 100 / 3),
        (-10, -1, "ended", None),
        (1, 10, "upcoming", None),
    ],
)
def test_the_timeline_says_where_a_phase_stands(
    cast: Cast, opens: int, closes: int | None, state: str, at: float | None
) -> None:
    now = datetime.fromisoformat("2026-06-01T00:00:00+00:00")
    cast.phase.opens_at = now + timedelta(days=opens)
    cast.phase.closes_at = None if closes is None else now + timedelta(days=closes)
    stop = Stop.of(cast.phase, now)
    assert (stop.state, stop.now_at) == (state, at)


class TestTheTabLeaderboard:
    def led_to(self, cast: Cast, client: Client) -> str:
        return client.get(reverse("pages:boards", args=[cast.competition.slug]))["Location"].split("/")[-2]

    def test_leads_to_the_open_phase_with_entries(self, cast: Cast, client: Client) -> None:
        second = make_phase(cast.competition, "second", position=1)
        make_submission(cast.team, second)
        assert self.led_to(cast, client) == "second"
        make_submission(cast.team, cast.phase)
        assert self.led_to(cast, client) == "validation"

    def test_leads_to_the_last_phase_that_had_some_else(self, cast: Cast, client: Client) -> None:
        test = make_phase(cast.competition, "test", position=1)
        make_phase(cast.competition, "future", position=2)
        for phase in (cast.phase, test):
            make_submission(cast.team, phase)
            end(phase)
        assert self.led_to(cast, client) == "test"

    def test_leads_to_the_open_phase_while_nothing_is_there(self, cast: Cast, client: Client) -> None:
        end(cast.phase)
        make_phase(cast.competition, "test", position=1)
        assert self.led_to(cast, client) == "test"

    def test_does_not_tell_that_a_hidden_phase_has_entries(self, cast: Cast, client: Client) -> None:
        make_submission(cast.team, cast.phase)
        end(cast.phase)
        test = make_phase(cast.competition, "test", position=1, hidden_until_close=True)
        make_submission(cast.team, test)
        assert self.led_to(cast, client) == "validation"
        client.force_login(cast.organiser)
        assert self.led_to(cast, client) == "test"


def test_the_list_costs_the_same_however_many_teams(
    cast: Cast, client: Client, django_assert_num_queries: Any
) -> None:
    make_competition("floods")
    make_submission(cast.team, cast.phase)
    counting.keep_up(timezone.now())
    # competitions, their phases and pages; of one with phases: filled boards, standings, total, rank, references,
    # published entries
    with django_assert_num_queries(8):
        client.get("/")
    for _ in range(5):
        make_submission(make_team(cast.competition), cast.phase)
    counting.keep_up(timezone.now())
    with django_assert_num_queries(8):
        client.get("/")
