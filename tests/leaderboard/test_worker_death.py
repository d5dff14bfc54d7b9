"""Workers that come late or die: nothing is lost, and nothing of them is left."""

import psutil
import psycopg
import pytest
from django.db import OperationalError, connection

from leaderboard.models import Evaluation
from leaderboard.scoring import queue, tasks
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


def test_a_score_outlives_the_connection(cast, monkeypatch):
    """The database ends the worker's connection while it reads: what was read is recorded on another one, at the first try."""
    read, record, cuts = tasks.read_masks, queue.record_score, []

    def cut(evaluation):
        masks = read(evaluation)
        with psycopg.connect(url_of_the_database(), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])
        cuts.append("connection")
        return masks

    def fail_once(*arguments):
        if not cuts:
            cuts.append("error")
            raise OperationalError("disk I/O error")
        return record(*arguments)

    if connection.vendor == "postgresql":
        monkeypatch.setattr(tasks, "read_masks", cut)
    else:
        monkeypatch.setattr(queue, "record_score", fail_once)
    submission = submit(cast)
    assert tasks.work() == "scored"
    assert len(cuts) == 1
    assert Evaluation.objects.get(submission=submission).tries == 1


def url_of_the_database() -> str:
    given = connection.settings_dict
    return f"postgres://{given['USER']}@{given['HOST']}:{given['PORT']}/{given['NAME']}"
