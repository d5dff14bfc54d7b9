"""The board of an earlier day: what stood then, under the rules of who may see what; asked seldom, with few queries."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import bulk
from leaderboard.models import Submission
from leaderboard.models.attempts import utc_day
from leaderboard.models.visibility import view_of
from leaderboard.reporting import counting, past_boards
from leaderboard.reporting.past_boards import days_of
from tests.leaderboard.factories import Cast, make_submission, make_team

TODAY = utc_day(timezone.now()).date()


def noon(days_ago: int) -> datetime:
    return datetime.combine(TODAY - timedelta(days=days_ago), datetime.min.time(), tzinfo=UTC) + timedelta(
        hours=12
    )


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


@pytest.fixture
def phase(cast: Cast) -> Any:
    """Alpine leads for two days, then Rivals; Alpine has sent two by then."""
    cast.phase.opens_at = noon(9)
    cast.phase.save()
    make_submission(cast.team, cast.phase, (70, 30, 30), received_at=noon(6), method="First try")
    make_submission(cast.other_team, cast.phase, (60, 40, 40), received_at=noon(5))
    make_submission(cast.team, cast.phase, (65, 30, 40), received_at=noon(4))
    make_submission(cast.other_team, cast.phase, (90, 10, 10), received_at=noon(3))
    make_submission(cast.team, cast.phase, (80, 20, 20), received_at=noon(1))
    return cast.phase


def ask(cast: Cast, client: Client, days_ago: int | None = None, **query: Any) -> Any:
    if days_ago is not None:
        query["on"] = str(TODAY - timedelta(days=days_ago))
    return client.get(reverse("pages:board", args=[cast.competition.slug, cast.phase.slug]), query)


def seen(answer: Any) -> list[tuple[int, str, str, int]]:
    return [(row.rank, row.team, str(row.scores.f1), row.entries) for row in answer.context["board"].rows]


def test_each_day_shows_what_stood_at_its_end(phase: Any, cast: Cast, client: Client) -> None:
    assert seen(ask(cast, client, 6)) == [(1, "Alpine", "70.00", 1)]
    assert seen(ask(cast, client, 5)) == [(1, "Alpine", "70.00", 1), (2, "Rivals", "60.00", 1)]
    assert seen(ask(cast, client, 4)) == [(1, "Alpine", "70.00", 2), (2, "Rivals", "60.00", 1)]
    assert seen(ask(cast, client, 3)) == [(1, "Rivals", "90.00", 2), (2, "Alpine", "70.00", 2)]
    assert seen(ask(cast, client)) == [(1, "Rivals", "90.00", 2), (2, "Alpine", "80.00", 3)]
    text = ask(cast, client, 5).content.decode()
    assert "The board at the end of" in text
    assert "First try" in text
    assert "Back to" in text


def test_the_latest_counts_where_the_phase_says_so(phase: Any, cast: Cast, client: Client) -> None:
    phase.counts = "latest"
    phase.save()
    assert seen(ask(cast, client, 4))[0] == (1, "Alpine", "65.00", 2)


def test_the_way_to_todays_rank(phase: Any, cast: Cast, client: Client) -> None:
    details = ask(cast, client, 4).context["details"]
    assert [detail.moved for detail in details.of.values()] == [-1, 1]
    assert details.shows_movement
    gaps = [detail.gap for detail in ask(cast, client, 4, q="rivals").context["details"].of.values()]
    assert gaps == [pytest.approx(10)]


def test_search_filter_sort_and_pages(
    phase: Any, cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = make_team(cast.competition, "Größe 100%")
    make_submission(third, phase, (60, 1, 50), received_at=noon(5) - timedelta(hours=1))
    assert seen(ask(cast, client, 5, q="grösse")) == [(1, "Größe 100%", "70.18", 1)]
    for order, first in (
        ("team", "Alpine"),
        ("precision", "Größe 100%"),
        ("recall", "Alpine"),
        ("latest", "Rivals"),
    ):
        assert seen(ask(cast, client, 5, sort=order))[0][1] == first, order
    assert seen(ask(cast, client, 4, sort="entries"))[0][1] == "Alpine"
    client.force_login(cast.teammate)
    assert seen(ask(cast, client, 5, show="mine")) == [(2, "Alpine", "70.00", 1)]
    monkeypatch.setattr("leaderboard.pages.boards.ROWS", 2)
    assert seen(ask(cast, client, 5, page=2)) == [(3, "Rivals", "60.00", 1)]
    assert ask(cast, client, 5, page=3).status_code == 404


def test_own_row_is_pinned_with_the_rank_of_then(phase: Any, cast: Cast, client: Client, monkeypatch) -> None:
    monkeypatch.setattr("leaderboard.pages.boards.ROWS", 1)
    client.force_login(cast.teammate)
    answer = ask(cast, client, 3)
    assert answer.context["mine"].rank == 2
    assert answer.context["mine_apart"]
    assert "was ranked <strong>2</strong> of 2" in " ".join(answer.content.decode().split())


@pytest.mark.parametrize(
    "on", ["", "yesterday", "2026-13-01", "1999-01-01", "9999-12-31", "20261101T00", "\0"]
)
def test_a_day_that_is_not_offered_is_the_same_as_none(
    phase: Any, cast: Cast, client: Client, on: str
) -> None:
    answer = ask(cast, client, on=on)
    assert answer.context["board"].day is None
    assert seen(answer)[0][2] == "90.00"


def test_days_go_from_the_first_score_to_yesterday(phase: Any, cast: Cast) -> None:
    now = timezone.now()
    days = days_of(phase, view_of(phase, AnonymousUser(), now), now)
    assert days is not None
    assert (days.first, days.last) == (
        noon(9).date(),
        noon(1).date(),
    )  # nothing is counted yet: from the opening
    counting.keep_up(now)
    days = days_of(phase, view_of(phase, AnonymousUser(), now), now)
    assert days is not None
    assert days.first == noon(6).date()


def test_after_the_end_the_last_day_is_that_before_the_end(phase: Any, cast: Cast, client: Client) -> None:
    phase.closes_at = noon(2)
    phase.save()
    days = ask(cast, client).context["days"]
    assert days.last == noon(3).date()
    assert "after the end" in ask(cast, client).content.decode()


@pytest.mark.parametrize(
    "rules",
    [
        {"hidden_until_close": True},
        {"ladder_step": Decimal("0.01"), "ladder_start": Decimal("0.5")},
        {"counts": "selected"},
        {"freezes_at": noon(9)},
    ],
)
@pytest.mark.parametrize("has_ended", [False, True])
def test_a_past_that_was_not_public_is_not_shown(
    phase: Any, cast: Cast, client: Client, rules: dict[str, Any], has_ended: bool
) -> None:
    for name, value in rules.items():
        setattr(phase, name, value)
    if has_ended:
        phase.closes_at, phase.grace_minutes = timezone.now() - timedelta(hours=1), 0
    phase.save()
    answer = ask(cast, client, 3)
    assert answer.context["board"].day is None
    assert 'name="on"' not in answer.content.decode()


def test_hidden_metrics_stay_hidden(phase: Any, cast: Cast, client: Client) -> None:
    phase.visible_metrics = "f1"
    phase.save()
    answer = ask(cast, client, 4, sort="precision")
    assert all(
        row.scores.precision is None and row.scores.counts is None for row in answer.context["board"].rows
    )
    assert "Precision" not in answer.content.decode()
    assert seen(answer)[0][1] == "Alpine"  # in order of rank


def test_who_is_disqualified_disappears_from_the_past_at_once(phase: Any, cast: Cast, client: Client) -> None:
    assert len(seen(ask(cast, client, 4))) == 2
    bulk.begin(cast.organiser, "disqualify", Submission.objects.filter(team=cast.team), "copied")
    assert seen(ask(cast, client, 4)) == [(2, "Rivals", "60.00", 1)]
    cache.clear()
    assert seen(ask(cast, client, 4)) == [(1, "Rivals", "60.00", 1)]


def test_what_was_withdrawn_later_stood_then(phase: Any, cast: Cast, client: Client) -> None:
    Submission.objects.filter(method="First try").update(withdrawn_at=noon(4))
    assert seen(ask(cast, client, 5))[0] == (1, "Alpine", "70.00", 1)
    assert seen(ask(cast, client, 4))[0] == (1, "Alpine", "65.00", 1)


def test_references_of_then(phase: Any, cast: Cast, client: Client) -> None:
    organisers = make_team(cast.competition, "Organisers", owner=cast.organiser, is_organisers=True)
    make_submission(organisers, phase, (99, 1, 1), reference=True, method="Baseline", received_at=noon(4))
    assert "Baseline" in ask(cast, client, 4).content.decode()
    assert "Baseline" not in ask(cast, client, 5).content.decode()


def test_the_submissions_are_read_once_and_the_queries_stay_few(
    phase: Any, cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    count = past_boards._count
    monkeypatch.setattr(past_boards, "_count", lambda *args: counted.append(args) or count(*args))

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert ask(cast, client, 2).status_code == 200
        return len(captured)

    queries()
    before = queries()
    assert len(counted) == 1
    for number in range(20):
        make_submission(
            make_team(cast.competition, f"Team {number}"), phase, (50, 50, number), received_at=noon(3)
        )
    cache.clear()
    assert queries() == before + 1
    assert len(counted) == 2


def test_a_past_board_does_not_poll(phase: Any, cast: Cast, client: Client) -> None:
    assert 'hx-trigger="every' in ask(cast, client).content.decode()
    assert 'hx-trigger="every' not in ask(cast, client, 3).content.decode()
    fragment = client.get(
        reverse("pages:board", args=[cast.competition.slug, phase.slug]),
        {"on": str(TODAY - timedelta(days=3))},
        headers={"HX-Request": "true"},
    )
    assert b"The board at the end of" in fragment.content
    assert b"<html" not in fragment.content
