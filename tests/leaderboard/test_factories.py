"""The factories leave rows that the rest of the server could have made."""

from evaluation.archive.problems import too_large
from leaderboard.models import Attempt, Evaluation, Standing
from tests.leaderboard.factories import Cast, make_submission


def test_a_scored_submission_stands_on_the_board(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase, (80, 20, 20))
    standing = Standing.objects.get(team=cast.team)
    assert standing.submission == made
    assert (standing.submission.evaluation.tp, standing.entries) == (80, 1)
    assert made.attempt.state == Attempt.State.SPENT


def test_an_invalid_submission_gives_its_attempt_back(cast: Cast) -> None:
    made = make_submission(
        cast.team, cast.phase, state=Evaluation.State.INVALID, problems=(too_large(10, 1),)
    )
    assert made.evaluation.problems[0]["code"] == "too_large"
    assert made.attempt.state == Attempt.State.GIVEN_BACK
    assert not Standing.objects.exists()


def test_a_queued_submission_waits(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase, state=Evaluation.State.QUEUED)
    assert made.state == Evaluation.State.QUEUED
    assert made.attempt.state == Attempt.State.RESERVED
