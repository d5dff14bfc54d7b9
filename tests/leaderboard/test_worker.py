"""A real Celery worker process scores what was submitted: on SQLite through the broker of one host, on PostgreSQL through Redis."""

import time

import pytest
from django.conf import settings

from leaderboard.actions import submissions
from leaderboard.models import Evaluation, Submission
from tests.leaderboard import factories

pytestmark = [pytest.mark.worker, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast():
    return factories.make_cast()


def submit(cast, content=None, name="masks.zip") -> Submission:
    return submissions.submit(cast.owner, cast.phase, factories.upload(content, name), method="test")[0]


def finished(submission: Submission, seconds: float = 30) -> Submission:
    end = time.monotonic() + seconds
    while submission.evaluation.state in Evaluation.UNFINISHED:
        assert time.monotonic() < end, f"still {submission.evaluation.state} after {seconds} s"
        time.sleep(0.05)
        submission = Submission.objects.with_evaluation().get(pk=submission.pk)
    return submission


def test_a_submission_is_scored_and_takes_its_place(cast, worker):
    submission = finished(submit(cast))
    assert submission.evaluation.state == "scored"
    assert (submission.evaluation.fp, submission.evaluation.fn) == (0, 0)
    assert submission.evaluation.tp > 0


def test_nonsense_is_invalid_and_the_worker_continues(cast, worker):
    assert finished(submit(cast, b"not a ZIP at all")).evaluation.state == "invalid"
    assert finished(submit(cast)).evaluation.state == "scored"


def test_submitting_needs_no_broker(cast, monkeypatch):
    """What happens to the message is none of the visitor's business (how fast it fails: test_redis.py)."""
    from leaderboard.scoring import tasks

    def refuse(*args, **kwargs):
        raise ConnectionError("the broker has gone")

    monkeypatch.setattr(tasks.work, "apply_async", refuse)
    assert submit(cast).evaluation.state == "queued"
    assert settings.EVALUATION_SWEEP_SECONDS <= 10
