"""Boards to take along (CSV, JSON, feed, frame, badge), team pages, and intervals on the board: what they say and hide."""

import csv
import io
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.models import Membership, Phase, PhaseReport, Team
from tests.leaderboard.factories import Cast, make_submission, make_team

ATOM = "{http://www.w3.org/2005/Atom}"
SVG = "{http://www.w3.org/2000/svg}"


def said(answer: Any) -> str:
    return " ".join(answer.content.decode().split())


def url(cast: Cast, name: str) -> str:
    return reverse(f"pages:{name}", args=[cast.competition.slug, cast.phase.slug])


def team_url(cast: Cast, team: Team) -> str:
    return reverse("pages:team-page", args=[cast.competition.slug, team.pk])


def badge_url(cast: Cast, team: Team) -> str:
    return reverse("pages:team-badge", args=[cast.competition.slug, team.pk, cast.phase.slug])


EVERYWHERE = ("board-csv", "board-json", "board-feed", "board-embed")


def test_the_board_as_csv_and_json(cast: Cast, client: Client) -> None:
    Team.objects.filter(pk=cast.team.pk).update(name="=1+1")
    make_submission(cast.team, cast.phase, (80, 20, 20))
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    rows = list(csv.DictReader(io.StringIO(client.get(url(cast, "board-csv")).content.decode())))
    assert [(row["rank"], row["team"], row["f1"]) for row in rows] == [
        ("1", "Rivals", "0.9"),
        ("2", "'=1+1", "0.8"),  # no spreadsheet runs it
    ]
    board = client.get(url(cast, "board-json")).json()
    assert [entry["team"] for entry in board["entries"]] == ["Rivals", "=1+1"]
    assert not board["hidden"]


def test_files_hide_what_the_board_hides(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase, (80, 10, 30))  # P 88.89, R 72.73, F1 80.00
    for changes, hidden in (
        ({"visible_metrics": "f1"}, ("88.89", "0.88888", "72.73", "0.72727")),
        ({"hidden_until_close": True}, ("80.00", "Alpine")),
    ):
        Phase.objects.filter(pk=cast.phase.pk).update(**changes)
        for name in EVERYWHERE:
            text = said(client.get(url(cast, name)))
            assert not [word for word in hidden if word in text], (changes, name)
    for page in (team_url(cast, cast.team), badge_url(cast, cast.team)):
        assert client.get(page).status_code == 404


@pytest.mark.parametrize("name", ["board-feed", "board-embed"])
def test_what_other_sites_fetch_is_the_same_for_everybody(cast: Cast, client: Client, name: str) -> None:
    cast.phase.hidden_until_close = True
    cast.phase.save()
    make_submission(cast.team, cast.phase)
    client.force_login(cast.organiser)
    answer = client.get(url(cast, name))
    assert "Alpine" not in said(answer)
    assert "public" in answer["Cache-Control"]
    assert "Cookie" not in answer.get("Vary", "")


def test_the_feed_names_the_newest_best_first(cast: Cast, client: Client) -> None:
    now = timezone.now()
    make_submission(
        cast.team, cast.phase, (80, 20, 20), method="<b>U-Net</b>", received_at=now - timedelta(hours=1)
    )
    make_submission(cast.other_team, cast.phase, (90, 10, 10), received_at=now - timedelta(hours=2))
    make_submission(cast.other_team, cast.phase, (50, 10, 10), received_at=now)
    feed = ElementTree.fromstring(client.get(url(cast, "board-feed")).content)
    titles = [entry.findtext(f"{ATOM}title") for entry in feed.iter(f"{ATOM}entry")]
    assert titles == ["Alpine: F1 80.00", "Rivals: F1 90.00"]
    assert feed.findtext(f"{ATOM}entry/{ATOM}summary") == "&lt;b&gt;U-Net&lt;/b&gt;"


def test_only_the_embedded_board_may_be_framed(cast: Cast, client: Client) -> None:
    for tp in (90, 80, 70):
        make_submission(make_team(cast.competition), cast.phase, (tp, 20, 20))
    framed = client.get(url(cast, "board-embed"), {"rows": "2"})
    assert "frame-ancestors *" in framed["Content-Security-Policy"]
    assert "X-Frame-Options" not in framed
    assert said(framed).count("<li>") == 2
    assert "3 teams." in said(framed)
    assert "<form" not in said(framed)
    plain = client.get(url(cast, "board"))
    assert "frame-ancestors 'none'" in plain["Content-Security-Policy"]
    assert plain["X-Frame-Options"] == "DENY"
    for bad in ("0", "-1", "many", "99999", "²"):
        assert client.get(url(cast, "board-embed"), {"rows": bad}).status_code == 200


def test_the_badge_says_rank_and_score(cast: Cast, client: Client) -> None:
    cast.competition.name = "Slides & <Falls>"
    cast.competition.save()
    make_submission(cast.team, cast.phase, (80, 20, 20))
    answer = client.get(badge_url(cast, cast.team))
    assert answer["Content-Type"] == "image/svg+xml"
    picture = ElementTree.fromstring(answer.content)
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts == ["Slides & <Falls> · Validation", "rank 1 of 1 · F1 80.00"]
    assert client.get(badge_url(cast, cast.other_team)).status_code == 404


class TestTeamPage:
    def test_shows_place_method_and_link(self, cast: Cast, client: Client) -> None:
        make_submission(cast.other_team, cast.phase, (90, 10, 10))
        make_submission(cast.team, cast.phase, (80, 20, 20), method="SegFormer", link="https://example.org/p")
        page = said(client.get(team_url(cast, cast.team)))
        for words in ("rank 2 of 2", "SegFormer", 'href="https://example.org/p"', "80.00"):
            assert words in page
        assert team_url(cast, cast.team) in said(client.get(url(cast, "board")))

    def test_names_only_members_who_agreed(self, cast: Cast, client: Client) -> None:
        make_submission(cast.team, cast.phase)
        assert "No member has chosen to be named" in said(client.get(team_url(cast, cast.team)))
        client.force_login(cast.teammate)
        name_me = reverse("pages:name-in-public", args=[cast.competition.slug])
        client.post(name_me, {"named": "yes"})
        assert Membership.objects.get(user=cast.teammate).is_named
        client.logout()
        page = said(client.get(team_url(cast, cast.team)))
        assert f"<span>{cast.teammate}</span>" in page
        assert f"<span>{cast.owner}</span>" not in page
        client.force_login(cast.teammate)
        client.post(name_me, {"named": "no"})
        client.logout()
        assert f"<span>{cast.teammate}</span>" not in said(client.get(team_url(cast, cast.team)))

    def test_exists_for_members_alone_before_a_result(self, cast: Cast, client: Client) -> None:
        for user, status in (
            (None, 404),
            (cast.rival, 404),
            (cast.owner, 200),
            (cast.organiser, 200),
        ):
            client.logout()
            if user:
                client.force_login(user)
            assert client.get(team_url(cast, cast.team)).status_code == status, user

    def test_leads_from_a_merged_team_to_its_heir(self, cast: Cast, client: Client) -> None:
        make_submission(cast.team, cast.phase)
        Team.objects.filter(pk=cast.other_team.pk).update(merged_into=cast.team)
        assert client.get(team_url(cast, cast.other_team))["Location"] == team_url(cast, cast.team)

    def test_the_history_has_only_what_stood_on_the_board(self, cast: Cast, client: Client) -> None:
        now = timezone.now()
        for hours, tp in ((5, 60), (4, 40), (3, 80)):
            make_submission(cast.team, cast.phase, (tp, 20, 20), received_at=now - timedelta(hours=hours))
        assert self.history(cast, client) == [75.0, 80.0]
        Phase.objects.filter(pk=cast.phase.pk).update(counts="latest")
        assert self.history(cast, client) == [75.0, pytest.approx(66.67, abs=0.01), 80.0]
        Phase.objects.filter(pk=cast.phase.pk).update(
            counts="best", freezes_at=now - timedelta(hours=4, minutes=30)
        )
        cast.phase.refresh_from_db()
        from leaderboard.models import Standing

        Standing.objects.rebuild(Phase.objects.with_labels().get(pk=cast.phase.pk))
        assert self.history(cast, client) == [75.0]

    def history(self, cast: Cast, client: Client) -> list[float]:
        places = client.get(team_url(cast, cast.team)).context["places"]
        return [score for _, score in places[0][0].history]


class TestIntervals:
    @pytest.fixture(autouse=True)
    def reported(self, cast: Cast) -> None:
        make_submission(cast.team, cast.phase, (80, 20, 20))
        make_submission(cast.other_team, cast.phase, (90, 10, 10))
        lines = [
            {"team": "Rivals", "f1": 90.0, "low": 87.123, "high": 92.456},
            {"team": "Alpine", "f1": 75.0, "low": 70.0, "high": 78.0},  # has improved since
        ]
        now = timezone.now()
        PhaseReport.objects.create(
            phase=cast.phase,
            label_set=cast.phase.labels,
            built_at=now,
            published_at=now,
            content={"board": lines},
        )

    def intervals(self, cast: Cast, client: Client) -> list[Any]:
        answer = client.get(url(cast, "board"))
        return [detail.interval for detail in answer.context["details"].of.values()]

    def test_are_coarse_while_a_phase_without_end_runs(self, cast: Cast, client: Client) -> None:
        assert self.intervals(cast, client) == [(87.1, 92.5), None]
        assert "95 % interval: 87.1 to 92.5" in said(client.get(url(cast, "board")))

    def test_are_exact_after_the_end(self, cast: Cast, client: Client) -> None:
        Phase.objects.filter(pk=cast.phase.pk).update(closes_at=timezone.now())
        assert self.intervals(cast, client) == [(87.12, 92.46), None]

    def test_are_hidden_before_the_end(self, cast: Cast, client: Client) -> None:
        Phase.objects.filter(pk=cast.phase.pk).update(closes_at=timezone.now() + timedelta(days=1))
        assert self.intervals(cast, client) == [None, None]
