"""The statistics page: nobody can be found in it, hidden scores are not on it, and it has the numbers of 2022."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions import bulk
from leaderboard.models import Competition, CompetitionFigures, Phase, PhaseFigures, Standing, Submission
from leaderboard.models.visibility import view_of
from leaderboard.pages.page_context import phases_of
from leaderboard.reporting import counting, countries
from leaderboard.reporting.statistics import SMALLEST_CELL, Statistics, listed_countries, statistics_of
from tests.leaderboard.factories import Cast, make_submission, make_team, make_user


def counted() -> None:
    """As a worker does every few seconds, without its rest."""
    PhaseFigures.objects.update(counting_seconds=0)
    CompetitionFigures.objects.update(counting_seconds=0)
    counting.keep_up(timezone.now())


def figures(competition: Competition, viewer: Any) -> Statistics:
    counted()
    phases = phases_of(competition)
    now = timezone.now()
    return statistics_of(competition, phases, [view_of(phase, viewer, now) for phase in phases])


def page(client: Client, competition: Competition) -> str:
    counted()
    return client.get(reverse("pages:statistics", args=[competition.slug])).content.decode()


def join_from(cast: Cast, country: str, people: int) -> None:
    members = tuple(make_user(country=country) for _ in range(people))
    make_team(cast.competition, owner=members[0], members=members[1:])


def test_small_countries_are_only_counted(cast: Cast, client: Client) -> None:
    join_from(cast, "DE", 5)
    join_from(cast, "AT", 4)
    join_from(cast, "CH", 1)
    people = figures(cast.competition, cast.stranger).people
    assert people.countries == [("DE", 5)]
    assert (people.others, people.other_countries, people.all_countries) == (5, 2, 3)
    assert people.unknown == 3  # the cast names none
    assert (people.users, people.teams) == (13, 5)
    text = page(client, cast.competition)
    assert "Germany: 5" in text
    assert "Austria: " not in text


@pytest.mark.parametrize(
    ("counted", "visible"),
    [
        ({"DE": 9, "AT": 3}, []),  # 12 people in all, 9 shown: Austria would be the difference
        ({"DE": 9, "FR": 7, "AT": 3}, ["DE"]),
        ({"DE": 9, "FR": 7, "AT": 1, "CH": 1}, ["DE"]),  # two people alone are still too few
        ({"DE": 9, "FR": 7, "AT": 4, "CH": 1}, ["DE", "FR"]),
        ({"DE": 9, "FR": 7}, ["DE", "FR"]),
        ({}, []),
    ],
)
def test_no_total_reveals_a_hidden_country(counted: dict[str, int], visible: list[str]) -> None:
    shown = listed_countries(counted)
    assert [code for code, _ in shown] == visible
    others = sum(counted.values()) - sum(people for _, people in shown)
    assert others == 0 or (others >= SMALLEST_CELL and len(counted) - len(shown) > 1)


def test_organisers_teams_are_not_counted(cast: Cast) -> None:
    make_team(cast.competition, owner=cast.organiser, is_organisers=True)
    assert figures(cast.competition, cast.stranger).people.teams == 2


def test_submissions_by_utc_day_and_the_best_over_time(cast: Cast, client: Client) -> None:
    start = datetime(2026, 4, 1, 23, 30, tzinfo=UTC)
    for hours, counts in ((0, (50, 50, 50)), (1, (40, 60, 60)), (49, (80, 20, 20))):
        make_submission(cast.team, cast.phase, counts, received_at=start + timedelta(hours=hours))
    (phase,) = figures(cast.competition, None or cast.stranger).phases
    assert [number for _, number in phase.per_day] == [1, 1, 0, 1]
    assert [step.f1.percent for step in phase.best or []] == ["50.00", "80.00"]
    best = Submission.objects.latest("received_at")
    bulk.disqualify(cast.organiser, best, "a probe")
    shown = client.get(reverse("pages:statistics", args=[cast.competition.slug])).content.decode()
    assert "80.00" not in shown  # not even until a worker has counted again
    (phase,) = figures(cast.competition, cast.stranger).phases
    assert [step.f1.percent for step in phase.best or []] == ["50.00"]


@pytest.mark.parametrize("hides", ["hidden", "frozen", "ladder"])
def test_hidden_scores_are_not_on_the_page(cast: Cast, client: Client, hides: str) -> None:
    now = timezone.now()
    make_submission(cast.team, cast.phase, (50, 50, 50), received_at=now - timedelta(days=2))
    fields = {
        "hidden": {"hidden_until_close": True},
        "frozen": {"freezes_at": now - timedelta(days=1)},
        "ladder": {"ladder_step": "0.05", "ladder_start": "0.1"},
    }[hides]
    Phase.objects.filter(pk=cast.phase.pk).update(**fields)
    make_submission(cast.other_team, Phase.objects.get(pk=cast.phase.pk), (71, 29, 29), received_at=now)
    Standing.objects.rebuild(Phase.objects.get(pk=cast.phase.pk))
    for user in (None, cast.owner, cast.rival):
        if user:
            client.force_login(user)
        text = page(client, cast.competition)
        assert "71.00" not in text
        assert ("50.00" in text) == (hides != "hidden")
    assert ("70.00" in text) == (hides == "ladder")
    client.force_login(cast.organiser)
    assert "71.00" in page(client, cast.competition)
    client.logout()
    assert "71.00" not in page(client, cast.competition)  # the organiser's figures were not kept for others


@pytest.mark.parametrize(
    ("rules", "visible"),
    [
        ({}, ["60.00", "70.00", "80.00"]),
        ({"counts": "selected"}, ["60.00", "80.00"]),
        ({"hidden_until_close": True}, ["60.00", "80.00"]),
        ({"ladder_step": "0.1", "ladder_start": "0.5"}, ["60.00", "80.00"]),
        ({"freezes_at": timedelta(days=-4)}, ["60.00", "80.00"]),
        ({"freezes_at": timedelta(days=-2)}, ["60.00", "70.00", "80.00"]),
    ],
)
def test_after_the_end_nothing_shows_that_no_board_showed(
    cast: Cast, rules: dict, visible: list[str]
) -> None:
    """The 70 was beaten by its own team before the end: where the board did not show it then, nobody learns it now."""
    now = timezone.now()
    rules = {name: now + value if isinstance(value, timedelta) else value for name, value in rules.items()}
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=now - timedelta(hours=1), **rules)
    phase = Phase.objects.get(pk=cast.phase.pk)
    for team, f1, days in ((cast.other_team, 60, 5), (cast.team, 70, 3), (cast.team, 80, 1)):
        make_submission(team, phase, (f1, 100 - f1, 100 - f1), received_at=now - timedelta(days=days))
    (shown,) = figures(cast.competition, cast.stranger).phases
    assert [step.f1.percent for step in shown.best or []] == visible


def test_the_page_costs_few_queries_and_is_kept(cast: Cast, client: Client) -> None:
    for _ in range(4):
        make_submission(cast.team, cast.phase)
    address = reverse("pages:statistics", args=[cast.competition.slug])
    assert "Not counted yet" in client.get(address).content.decode()
    counted()
    with CaptureQueriesContext(connection) as asked:
        client.get(address)
    assert len(asked) <= 9
    assert not any("submission" in query["sql"] for query in asked)  # a visitor counts nothing
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    assert "90.00" in page(client, cast.competition)


def test_what_is_added_is_what_counting_from_the_start_finds(cast: Cast) -> None:
    """Submissions of any day, scored in any order, some of them invalid, one a reference entry."""
    drawn = random.Random(5)
    teams = [make_team(cast.competition) for _ in range(4)]
    start = timezone.now() - timedelta(days=9)
    for number in range(40):
        score = drawn.randrange(1, 100)
        make_submission(
            drawn.choice(teams),
            cast.phase,
            (score, 100 - score, 100 - score),
            state=drawn.choice(["scored", "scored", "scored", "invalid", "failed"]),
            received_at=start + timedelta(hours=drawn.randrange(200)),
            reference=number == 20,
        )
        if number % 3 == 0:
            counted()
    counted()
    added = PhaseFigures.objects.get(phase=cast.phase)
    PhaseFigures.objects.forget(cast.phase)
    counted()
    whole = PhaseFigures.objects.get(phase=cast.phase)
    assert added.begun_at < whole.begun_at
    assert len(whole.steps["exact"]) > 2
    for name in ("days", "teams", "steps", "states", "newest"):
        assert getattr(added, name) == getattr(whole, name), name


def test_the_longer_counting_takes_the_rarer_it_is_done(cast: Cast) -> None:
    make_submission(cast.team, cast.phase)
    counted()
    PhaseFigures.objects.update(counting_seconds=60, rules="others")
    counting.keep_up(timezone.now() + timedelta(minutes=99))
    assert PhaseFigures.objects.get().rules == "others"
    counting.keep_up(timezone.now() + timedelta(minutes=101))
    assert PhaseFigures.objects.get().rules != "others"


def test_every_shape_has_a_name_and_only_the_smallest_islands_have_no_shape() -> None:
    codes = {code for code in countries.shapes() if not code.startswith("~")}
    assert set(countries.NAMES) - codes == {"BQ", "GI", "GP", "MQ", "SJ", "TK", "VG", "YT"}
    assert codes <= set(countries.NAMES)


def test_one_day_is_a_sentence_and_not_a_chart(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase, (80, 20, 20))
    text = page(client, cast.competition)
    assert f"1 on {timezone.now():%-d %B %Y}" in text.replace(" .", ".")
    assert "<rect" not in text


def test_the_generated_history_has_the_numbers_of_2022(db: None, client: Client) -> None:
    call_command("demo_history")
    competition = Competition.objects.get()
    found = figures(competition, make_user())
    people = found.people
    assert (people.users, people.teams, people.all_countries) == (439, 85, 37)
    assert people.countries[:4] == [("CN", 134), ("HK", 62), ("US", 50), ("DE", 42)]
    assert min(number for _, number in people.countries) >= 5
    by_slug = {phase.slug: phase for phase in found.phases}
    assert by_slug["validation"].submissions == 7775
    assert by_slug["test"].submissions == 219
    for phase in competition.phases.exclude(labels=None):
        best = by_slug[phase.slug].best
        top = Standing.objects.board(phase, Standing.Kind.EXACT).first()
        assert best is not None
        assert top is not None
        assert best[-1].f1.numerator == top.rank_key
    held = competition.phases.get(slug="test").attempts.values_list("total_slot", flat=True)
    assert max(held) <= 9
    text = page(client, competition)
    for number in ("439", "7,775", "219", "China, mainland: 134"):
        assert number in text
    assert "made up" in text
    with pytest.raises(CommandError, match="already exists"):
        call_command("demo_history")
