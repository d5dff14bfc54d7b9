"""Workers that come late or die: nothing is lost, and nothing of them is left."""

import psutil
import pytest

from leaderboard.models import Evaluation
from leaderboard.scoring.tasks import sweep
from tests.conftest import start_worker, stop_worker
from tests.leaderboard import factories
from tests.leaderboard.test_worker import finished, submit

pytestmark = [pytest.mark.worker, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def cast():
    return factories.make_cast()


def test_submitted_before_any_worker_ran(cast, tmp_path):
    """The message waits with the broker, or is lost: the sweep rings for the row."""
    submission = submit(cast)
    Evaluation.objects.update(
        rung_at=submission.received_at - 10 * (submission.received_at - cast.phase.opens_at)
    )
    process = start_worker(tmp_path / "log")
    try:
        sweep()
        assert finished(submission).evaluation.state == "scored"
    finally:
        stop_worker(process)


def test_killing_the_worker_takes_its_reader_along(cast, tmp_path):
    process = start_worker(tmp_path / "log")
    try:
        finished(submit(cast))  # so that it has started its reader
        family = psutil.Process(process.pid).children(recursive=True)
        assert family, "the reader"
        process.kill()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert not alive, [p.cmdline() for p in alive]
    finally:
        stop_worker(process)
