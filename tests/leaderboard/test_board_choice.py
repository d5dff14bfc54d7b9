"""The board's search, filters and orders; movement, gap and dots; and that none of it reveals what a phase hides."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import Phase, PhaseFigures, PublishedEntry, Standing, Submission, Team
from leaderboard.models.attempts import utc_day
from leaderboard.models.visibility import view_of
from leaderboard.reporting import counting
from leaderboard.reporting.board_details import ranks_are_kept, shows_movement
from tests.leaderboard.factories import Cast, make_submission, make_team


@pytest.fixture
def rows(cast: Cast, client: Client) -> Any:
    def ask(**query: Any) -> list[tuple[int, str]]:
        answer = client.get(reverse("pages:board", args=[cast.competition.slug, cast.phase.slug]), query)
        assert answer.status_code == 200
        return [(row.rank, row.team) for row in answer.context["board"].rows]

    return ask


def page(cast: Cast, client: Client, **query: Any) -> str:
    answer: HttpResponse = client.get(
        reverse("pages:board", args=[cast.competition.slug, cast.phase.slug]), query
    )
    return " ".join(answer.content.decode().split())


@pytest.fixture
def three(cast: Cast) -> list[Team]:
    """Rivals (1, twice), Alpine (2), Größe (3); the last one has the best precision and the latest submission."""
    third = make_team(cast.competition, "Größe 100%")
    now = timezone.now()
    make_submission(cast.other_team, cast.phase, (90, 20, 10), received_at=now - timedelta(hours=3))
    make_submission(cast.other_team, cast.phase, (50, 20, 10), received_at=now - timedelta(hours=2))
    make_submission(cast.team, cast.phase, (80, 20, 20), received_at=now - timedelta(hours=4))
    make_submission(third, cast.phase, (50, 1, 50), received_at=now - timedelta(hours=1))
    return [cast.other_team, cast.team, third]


def test_a_part_of_the_name_is_found_and_the_rank_stays(three: list[Team], rows: Any) -> None:
    assert rows(q="grösse") == [(3, "Größe 100%")]
    assert rows(q="%") == [(3, "Größe 100%")]
    assert rows(q="  ALP ") == [(2, "Alpine")]
    assert rows(q="nobody") == []
    assert rows(q="a\0lp") == [(2, "Alpine")]


def test_what_was_found_is_said(three: list[Team], cast: Cast, client: Client) -> None:
    assert "1 of 3 teams." in page(cast, client, q="alp")
    assert "No team matches." in page(cast, client, q="nobody")


def test_orders(three: list[Team], rows: Any) -> None:
    assert rows(sort="team") == [(2, "Alpine"), (3, "Größe 100%"), (1, "Rivals")]
    assert rows(sort="entries") == [(1, "Rivals"), (2, "Alpine"), (3, "Größe 100%")]
    assert rows(sort="latest") == [(3, "Größe 100%"), (1, "Rivals"), (2, "Alpine")]
    assert rows(sort="precision") == [(3, "Größe 100%"), (1, "Rivals"), (2, "Alpine")]
    assert rows(sort="recall") == [(1, "Rivals"), (2, "Alpine"), (3, "Größe 100%")]
    assert rows(sort="password") == rows() == [(1, "Rivals"), (2, "Alpine"), (3, "Größe 100%")]


def test_an_order_does_not_reveal_a_hidden_metric(
    three: list[Team], cast: Cast, client: Client, rows: Any
) -> None:
    cast.phase.visible_metrics = "f1"
    cast.phase.save()
    assert rows(sort="precision") == rows()
    assert 'value="precision"' not in page(cast, client)
    assert "Precision" not in page(cast, client, sort="precision")
    client.force_login(cast.organiser)
    assert rows(sort="precision")[0] == (3, "Größe 100%")


def test_a_hidden_board_stays_hidden_whatever_is_asked(three: list[Team], cast: Cast, client: Client) -> None:
    cast.phase.hidden_until_close = True
    cast.phase.save()
    for query in ({"q": "alp"}, {"sort": "entries"}, {"show": "reference"}, {"sort": "latest", "q": "r"}):
        text = page(cast, client, **query)
        assert "Alpine" not in text
        assert "of 3" not in text


def test_the_last_submission_after_a_freeze_is_not_shown(cast: Cast, client: Client) -> None:
    now = timezone.now()
    cast.phase.freezes_at = now - timedelta(days=2)
    cast.phase.save()
    make_submission(cast.team, cast.phase, received_at=now - timedelta(days=3))
    make_submission(cast.team, cast.phase, received_at=now - timedelta(hours=1))
    assert "3 days</time>" in page(cast, client)
    client.force_login(cast.organiser)
    assert "1 h</time>" in page(cast, client)


def test_my_team_alone(three: list[Team], cast: Cast, client: Client, rows: Any) -> None:
    assert rows(show="mine") == rows()
    client.force_login(cast.teammate)
    assert rows(show="mine") == [(2, "Alpine")]


def test_eligible_teams_once_descriptions_are_due(three: list[Team], cast: Cast, rows: Any) -> None:
    cast.competition.descriptions_due_at = timezone.now() + timedelta(hours=1)
    cast.competition.save()
    assert rows(show="eligible") == rows()
    cast.competition.descriptions_due_at = timezone.now() - timedelta(hours=1)
    cast.competition.save()
    assert rows(show="eligible") == []


def test_reference_and_published_entries_alone(three: list[Team], cast: Cast, client: Client) -> None:
    organisers = make_team(cast.competition, "Organisers", owner=cast.organiser, is_organisers=True)
    make_submission(organisers, cast.phase, (99, 1, 1), reference=True, method="Baseline")
    PublishedEntry.objects.create(phase=cast.phase, name="Kingdrone", f1="80.41", source="Outcome paper")
    for show, there in (
        ("all", {"Rivals", "Baseline", "Kingdrone"}),
        ("reference", {"Baseline"}),
        ("published", {"Kingdrone"}),
    ):
        text = page(cast, client, show=show)
        assert {name for name in ("Rivals", "Baseline", "Kingdrone") if name in text} == there, show


def test_pages_keep_the_choice(
    three: list[Team], cast: Cast, client: Client, rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaderboard.pages import boards

    monkeypatch.setattr(boards, "ROWS", 2)
    assert rows(sort="team", page=2) == [(1, "Rivals")]
    assert 'href="?sort=team&amp;page=2"' in page(cast, client, sort="team")


def test_the_gap_is_to_the_first_even_on_another_page(
    three: list[Team], cast: Cast, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leaderboard.pages import boards

    assert "−5.71" in page(cast, client)  # 85.71 and 80.00
    monkeypatch.setattr(boards, "ROWS", 1)
    assert "−5.71" in page(cast, client, page=2)


class TestMovement:
    def moved(self, cast: Cast, **changes: Any) -> dict[str, int] | None:
        Phase.objects.filter(pk=cast.phase.pk).update(**changes)
        phase = Phase.objects.with_labels().get(pk=cast.phase.pk)
        now = timezone.now()
        counting.keep_up(now)
        PhaseFigures.objects.update(counting_seconds=0)
        view = view_of(phase, cast.stranger, now)
        if not (shows_movement(phase, view, now) and ranks_are_kept(phase, now)):
            return None
        rows = Standing.objects.exclude(earlier_rank=None).select_related("team")
        return {row.team.name: row.earlier_rank for row in rows}

    @pytest.fixture(autouse=True)
    def past(self, cast: Cast) -> None:
        """Yesterday Alpine led Rivals by 80 to 70; today Rivals have 90."""
        midnight = utc_day(timezone.now())
        before, after = midnight - timedelta(hours=1), midnight
        make_submission(cast.team, cast.phase, (80, 20, 20), received_at=before)
        make_submission(cast.other_team, cast.phase, (70, 30, 30), received_at=before)
        make_submission(cast.other_team, cast.phase, (90, 10, 10), received_at=after)

    def test_is_since_the_end_of_yesterday(self, cast: Cast, client: Client) -> None:
        assert self.moved(cast) == {"Alpine": 1, "Rivals": 2}
        text = page(cast, client)
        assert '▲ 1<span class="visually-hidden"> up' in text
        assert '▼ 1<span class="visually-hidden"> down' in text

    def test_a_team_without_a_result_yesterday_is_new(self, cast: Cast, client: Client) -> None:
        make_submission(make_team(cast.competition, "Late"), cast.phase, (10, 20, 20))
        counting.keep_up(timezone.now())
        assert '<span class="new">new</span>' in page(cast, client)

    def test_what_was_withdrawn_today_counted_yesterday(self, cast: Cast) -> None:
        best = Submission.objects.get(team=cast.team)
        make_submission(
            cast.team, cast.phase, (10, 20, 20), received_at=best.received_at - timedelta(hours=1)
        )
        from leaderboard.actions.submissions import withdraw

        Phase.objects.filter(pk=cast.phase.pk).update(allows_withdrawal=True)
        withdraw(cast.owner, Submission.objects.get(pk=best.pk))
        assert self.moved(cast) == {"Alpine": 1, "Rivals": 2}

    def test_the_latest_counts(self, cast: Cast) -> None:
        midnight = utc_day(timezone.now())
        make_submission(
            cast.other_team, cast.phase, (85, 10, 10), received_at=midnight - timedelta(minutes=90)
        )
        assert self.moved(cast) == {"Rivals": 1, "Alpine": 2}
        assert self.moved(cast, counts="latest") == {"Alpine": 1, "Rivals": 2}

    @pytest.mark.parametrize(
        "changes",
        [
            {"hidden_until_close": True},
            {"ladder_step": "0.01", "ladder_start": "0.1"},
            {"counts": "selected"},
            {"freezes_at": timezone.now() - timedelta(days=2)},
            {"closes_at": timezone.now() - timedelta(minutes=1)},
            {"opens_at": timezone.now()},
        ],
    )
    def test_is_not_shown_where_the_past_is_hidden_or_nothing_moves(
        self, cast: Cast, changes: dict[str, Any]
    ) -> None:
        assert self.moved(cast, **changes) is None
