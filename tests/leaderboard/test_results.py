"""A result in its context: rank, change of rank, gaps, interval; and nothing that the phase hides."""

import re
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.scoring.counts import Counts
from leaderboard.models import Evaluation, Submission
from leaderboard.models.visibility import view_of
from leaderboard.reporting.results import interval_of, result_of
from tests.leaderboard.factories import Cast, make_submission, make_team

FAIR, GOOD, BETTER, BEST = (60, 40, 40), (70, 30, 30), (80, 20, 20), (90, 10, 10)


def page_of(client: Client, submission: Submission) -> str:
    answer = client.get(reverse("pages:submission", args=[submission.pk]))
    text = re.sub(r"<[^>]*>", " ", answer.content.decode())
    return " ".join(text.replace("&#x27;", "'").split())


def result(submission: Submission, viewer: Any) -> Any:
    found = Submission.objects.with_evaluation().select_related("phase__labels").get(pk=submission.pk)
    return result_of(found, view_of(found.phase, viewer, timezone.now()))


def hours_ago(hours: float) -> Any:
    return timezone.now() - timedelta(hours=hours)


def test_a_new_best_says_how_many_ranks_it_gained(cast: Cast, client: Client) -> None:
    first = make_submission(cast.team, cast.phase, FAIR, received_at=hours_ago(3))
    make_submission(cast.other_team, cast.phase, GOOD)
    make_submission(make_team(cast.competition), cast.phase, BEST)
    new = make_submission(cast.team, cast.phase, BETTER)
    found = result(new, cast.owner)
    assert (found.best, found.other, round(found.distance, 2)) == (True, first.pk, 20.0)
    assert (found.place.rank, found.place.teams, found.place.before, found.place.climbed) == (2, 3, 3, 1)
    assert round(found.place.gap, 2) == 10.0
    client.force_login(cast.owner)
    page = page_of(client, new)
    assert f"New best : 20.00 points above no. {first.pk}" in page
    assert "Rank of your team 2 of 3 ▲ 1 up from 3 To the next rank 10.00 points" in page


def test_a_lesser_score_says_how_far_it_is_from_the_best(cast: Cast, client: Client) -> None:
    best = make_submission(cast.team, cast.phase, BEST, received_at=hours_ago(3))
    new = make_submission(cast.team, cast.phase, BETTER)
    found = result(new, cast.owner)
    assert (found.best, found.other, round(found.distance, 2)) == (False, best.pk, 10.0)
    assert (found.place.rank, found.place.before, found.place.gap) == (1, None, None)
    client.force_login(cast.owner)
    assert f"10.00 points below your best, no. {best.pk}" in page_of(client, new)


def test_the_first_score_is_neither_better_nor_worse(cast: Cast, client: Client) -> None:
    new = make_submission(cast.team, cast.phase, GOOD)
    found = result(new, cast.owner)
    assert (found.best, found.other, found.distance, found.place.before) == (True, None, None, None)
    client.force_login(cast.owner)
    assert "Your team’s first score in Validation." in page_of(client, new)


def test_a_tie_is_called_one(cast: Cast, client: Client) -> None:
    make_submission(cast.team, cast.phase, GOOD, received_at=hours_ago(1))
    client.force_login(cast.owner)
    assert "Equal to your best" in page_of(client, make_submission(cast.team, cast.phase, GOOD))


def test_where_the_latest_counts_a_team_can_fall(cast: Cast) -> None:
    cast.phase.counts = "latest"
    cast.phase.save()
    make_submission(cast.team, cast.phase, BEST, received_at=hours_ago(2))
    make_submission(cast.other_team, cast.phase, BETTER)
    place = result(make_submission(cast.team, cast.phase, GOOD), cast.owner).place
    assert (place.rank, place.before, place.climbed) == (2, 1, -1)


def test_a_frozen_board_gives_no_newer_rank_away(cast: Cast) -> None:
    cast.phase.freezes_at = hours_ago(1)
    cast.phase.closes_at = hours_ago(-10)
    cast.phase.save()
    make_submission(cast.team, cast.phase, GOOD, received_at=hours_ago(3))
    make_submission(cast.other_team, cast.phase, BETTER, received_at=hours_ago(2))
    make_submission(make_team(cast.competition), cast.phase, BEST)  # after the freeze
    new = make_submission(cast.team, cast.phase, (85, 15, 15))
    place = result(new, cast.owner).place
    assert (place.rank, place.teams, place.before, round(place.gap, 2)) == (2, 2, None, 10.0)
    assert result(new, cast.organiser).place.teams == 3


@pytest.mark.parametrize(
    "hiding", [{"hidden_until_close": True}, {"ladder_step": "0.01", "ladder_start": "0.1"}]
)
def test_a_phase_that_hides_scores_has_no_result_to_tell(
    cast: Cast, client: Client, hiding: dict[str, Any]
) -> None:
    make_submission(cast.team, cast.phase, GOOD, received_at=hours_ago(1))
    new = make_submission(cast.team, cast.phase, BETTER)
    for key, value in hiding.items():
        setattr(cast.phase, key, value)
    cast.phase.save()
    assert result(new, cast.owner) is None
    assert result(new, cast.organiser) is not None
    client.force_login(cast.owner)
    page = page_of(client, new)
    for secret in ("New best", "points above", "Rank of your team", "95 % interval", "80.00"):
        assert secret not in page


@pytest.mark.parametrize("state", ["withdrawn_at", "disqualified_at"])
def test_what_left_the_ranking_has_no_place_in_it(cast: Cast, state: str) -> None:
    new = make_submission(cast.team, cast.phase)
    Submission.objects.filter(pk=new.pk).update(**{state: timezone.now()})
    assert result(new, cast.owner) is None


def test_the_interval_is_shown_where_a_report_would_show_it(cast: Cast, client: Client) -> None:
    new = make_submission(cast.team, cast.phase, BETTER)
    per_patch = Counts(*np.array([[40, 30, 10], [5, 5, 10], [0, 10, 10]], np.uint32))
    Evaluation.objects.filter(pk=new.evaluation_id).update(patch_counts=per_patch.to_bytes())
    found = interval_of(Submission.objects.select_related("evaluation__label_set").get(pk=new.pk))
    assert found is not None
    low, high = found
    assert 0 <= low < 80 < high <= 100

    def shown(user: Any) -> str:
        client.force_login(user)
        found = re.search(r"95 % interval ([\d.]+ to [\d.]+)", page_of(client, new))
        return found[1] if found else ""

    exact, coarse = f"{low:.2f} to {high:.2f}", f"{low:.1f} to {high:.1f}"
    assert (shown(cast.owner), shown(cast.organiser)) == (coarse, exact)  # without end: one decimal
    cast.phase.closes_at = timezone.now() + timedelta(days=1)
    cast.phase.save()
    assert (shown(cast.owner), shown(cast.organiser)) == ("", exact)  # it runs: hidden
    cast.phase.closes_at = timezone.now()
    cast.phase.save()
    assert shown(cast.owner) == exact


def test_a_result_costs_few_queries_however_many_take_part(
    cast: Cast, client: Client, django_assert_max_num_queries: Any
) -> None:
    make_submission(cast.team, cast.phase, FAIR)
    new = make_submission(cast.team, cast.phase, BETTER)
    client.force_login(cast.owner)
    for _ in range(2):
        with django_assert_max_num_queries(20):
            client.get(reverse("pages:submission", args=[new.pk]))
        for _ in range(5):
            make_submission(make_team(cast.competition), cast.phase, GOOD)
            make_submission(cast.team, cast.phase, GOOD)
