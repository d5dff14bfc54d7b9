"""The organisers' ranking: search, order, columns, movement, the file; from a row to team, submissions and masks."""

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import Phase
from tests.leaderboard.factories import Cast, make_submission, make_team


@pytest.fixture
def board(cast: Cast, client: Client) -> Client:
    """Four teams; since yesterday Alpine has overtaken Rivals, and Late is new."""
    client.force_login(cast.organiser)
    before = timezone.now() - timedelta(days=3)
    make_submission(cast.team, cast.phase, (50, 10, 90), received_at=before)
    make_submission(cast.other_team, cast.phase, (60, 40, 40), received_at=before)
    make_submission(make_team(cast.competition, "Ridge"), cast.phase, (20, 2, 50), received_at=before)
    make_submission(cast.team, cast.phase, (80, 20, 20))
    make_submission(make_team(cast.competition, "Late"), cast.phase, (10, 50, 50))
    return client


def ask(client: Client, cast: Cast, **query: Any) -> str:
    response = client.get(reverse("admin:leaderboard_phase_ranking", args=[cast.phase.pk]), query)
    assert response.status_code == 200
    return response.content.decode()


def teams_in(page: str) -> list[str]:
    return re.findall(r'<td class="team[^>]*>\s*<a[^>]*>([^<]*)</a>', page)


@pytest.mark.django_db
class TestRanking:
    def test_search_keeps_the_ranks_of_the_whole_board(self, cast: Cast, board: Client) -> None:
        page = ask(board, cast, q="rid")
        assert teams_in(page) == ["Ridge"]
        assert re.search(r'class="number rank">3<', page)
        assert "No team on this board has" in ask(board, cast, q="nobody")

    @pytest.mark.parametrize(
        ("order", "first"),
        [("rank", "Alpine"), ("team", "Alpine"), ("precision", "Ridge"), ("recall", "Alpine"), ("entries", "Alpine")],
    )  # fmt: skip
    def test_sorted_by_a_column(self, cast: Cast, board: Client, order: str, first: str) -> None:
        assert teams_in(ask(board, cast, o=order))[0] == first

    def test_columns_are_chosen(self, cast: Cast, board: Client) -> None:
        assert "Last submission (UTC)" in ask(board, cast)
        page = ask(board, cast, cols=["f1", "recall"])
        assert "Recall %" in page
        assert "Last submission (UTC)" not in page
        assert '<th class="number">TP</th>' not in page

    def test_movement_since_a_date(self, cast: Cast, board: Client) -> None:
        assert "Moved" not in ask(board, cast)
        yesterday = (timezone.now() - timedelta(days=1)).date()
        page = ask(board, cast, since=str(yesterday))
        moved = re.findall(r'data-label="Moved">([^<]*)<', page)
        assert dict(zip(teams_in(page), moved, strict=True)) == {
            "Alpine": "▲ 1", "Rivals": "▼ 1", "Ridge": "=", "Late": "new",
        }  # fmt: skip

    def test_nonsense_counts_as_not_given(self, cast: Cast, board: Client) -> None:
        page = ask(board, cast, o="drop", since="yesterday", cols="x", start="-1")
        assert teams_in(page)[0] == "Alpine"

    def test_the_file_has_all_columns_and_the_choice(self, cast: Cast, board: Client) -> None:
        since = str((timezone.now() - timedelta(days=1)).date())
        text = ask(board, cast, format="csv", q="alp", since=since)
        [row] = csv.DictReader(io.StringIO(text))
        assert {name: row[name] for name in ("rank", "team", "f1", "precision", "recall", "tp", "fp", "fn", "entries")} == {
            "rank": "1", "team": "Alpine", "f1": "0.8", "precision": "0.8", "recall": "0.8", "tp": "80", "fp": "20",
            "fn": "20", "entries": "2",
        }  # fmt: skip
        assert row["last_submission_at"].startswith(str(timezone.now().date()))
        assert row[f"moved_since_{since}"] == "1"

    def test_from_a_row_to_team_submissions_and_masks(self, cast: Cast, board: Client) -> None:
        page = ask(board, cast)
        best = cast.team.submissions.get(evaluation__tp=80)
        for link in (
            reverse("admin:leaderboard_team_change", args=[cast.team.pk]),
            reverse("admin:leaderboard_submission_change", args=[best.pk]),
            reverse("pages:masks", args=[best.pk]),
        ):
            assert link in page
        address = reverse("admin:leaderboard_submission_changelist")
        query = f"?phase__id__exact={cast.phase.pk}&team__id__exact={cast.team.pk}"
        assert (address + query).replace("&", "&amp;") in page
        assert board.get(address + query).context["cl"].queryset.count() == 2

    @pytest.mark.parametrize("query", [{}, {"q": "a", "o": "precision"}, {"since": "2026-01-01"}])
    def test_asks_few_queries(
        self, cast: Cast, board: Client, query: Any, django_assert_max_num_queries: Any
    ) -> None:
        ask(board, cast)
        with django_assert_max_num_queries(10):
            ask(board, cast, **query)


@pytest.mark.django_db
def test_the_teams_page_says_addresses_rank_quota_and_submissions(cast: Cast, board: Client) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=10)
    page = board.get(reverse("admin:leaderboard_team_change", args=[cast.team.pk])).content.decode()
    assert "mailto:owner@example.org" in page
    assert "8 of 10 submissions" in page
    assert re.search(r'<td class="number">1</td>\s*<td>\s*<a[^>]*>#', page)


@pytest.mark.django_db
def test_the_file_of_submissions_has_f1(cast: Cast, board: Client) -> None:
    response = board.post(reverse("admin:leaderboard_submission_export"), {"format": "0"})
    rows = list(csv.DictReader(io.StringIO(response.content.decode())))
    best = next(row for row in rows if row["tp"] == "80")
    assert (best["f1"], best["precision"], best["recall"]) == ("0.8", "0.8", "0.8")
