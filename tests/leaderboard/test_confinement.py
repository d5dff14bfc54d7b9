"""Workers read archives only where the kernel confines the reader, and know whose fault a killed reader is."""

import threading
import time

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from evaluation.sandbox.guards import SystemCallFilter
from evaluation.sandbox.reader import ReaderKilled
from leaderboard.models import Attempt, Evaluation, Submission, Worker
from leaderboard.scoring import confinement, tasks
from tests.leaderboard.test_submit import submit

pytestmark = pytest.mark.django_db


@pytest.fixture
def filtered(monkeypatch, settings):
    """Set whether the kernel has the filter, and whether the setting allows to do without."""

    def choose(works, allowed):
        monkeypatch.setattr(SystemCallFilter, "works", lambda self: works)
        settings.SCORE_WITHOUT_FILTER = allowed
        confinement.confinement.cache_clear()

    yield choose
    monkeypatch.undo()
    confinement.confinement.cache_clear()


def evaluation_of(submission):
    return Submission.objects.with_evaluation().get(pk=submission.pk).evaluation


def test_a_worker_without_the_filter_refuses_to_score_and_costs_nobody_anything(cast, filtered):
    submission = submit(cast.owner, cast.phase)
    filtered(works=False, allowed=False)
    assert tasks.work().startswith("refused")
    evaluation = evaluation_of(submission)
    assert (evaluation.state, evaluation.tries) == (Evaluation.State.QUEUED, 0)
    filtered(works=True, allowed=False)
    assert tasks.work() == "scored"


def test_the_setting_allows_to_do_without(cast, filtered):
    submit(cast.owner, cast.phase)
    filtered(works=False, allowed=True)
    assert confinement.confinement() == Worker.Confinement.UNFILTERED
    assert tasks.work() == "scored"


@pytest.mark.parametrize(
    ("works", "allowed", "said"),
    [(True, False, ""), (False, True, "leaderboard.W001"), (False, False, "leaderboard.E001")],
)
def test_check_deploy_says_it(filtered, capsys, works, allowed, said):
    filtered(works, allowed)
    try:
        call_command("check", deploy=True)
        text = "".join(capsys.readouterr())
    except CommandError as error:  # SystemCheckError, for an E
        text = str(error)
    assert ("leaderboard.W001" in text, "leaderboard.E001" in text) == (
        said == "leaderboard.W001",
        said == "leaderboard.E001",
    )


def test_the_status_page_says_it(client):
    now = timezone.now()
    Worker.objects.sign("a:1", now, Worker.Confinement.REFUSES)
    page = client.get(reverse("pages:status")).content.decode()
    assert "refusing to score, for want of a system-call filter: 1" in page
    assert "No worker is running" in page
    Worker.objects.sign("b:1", now, Worker.Confinement.UNFILTERED)
    assert "scoring without a system-call filter: 1" in client.get(reverse("pages:status")).content.decode()


@pytest.fixture
def killed(monkeypatch):
    """The reader is killed from outside the first `times` times."""
    real = tasks.reader.read

    def set_up(times):
        left = [times]

        def read(*arguments):
            left[0] -= 1
            if left[0] >= 0:
                raise ReaderKilled("killed")
            return real(*arguments)

        monkeypatch.setattr(tasks.reader, "read", read)

    return set_up


def test_a_killed_reader_reads_again_alone(cast, killed):
    submit(cast.owner, cast.phase)
    killed(1)
    assert tasks.work() == "scored"


def test_only_what_is_killed_alone_again_and_again_could_not_be_read_safely(cast, killed):
    submission = submit(cast.owner, cast.phase)
    killed(4)
    assert tasks.work() == "queued again"
    assert tasks.work() == "invalid"
    assert evaluation_of(submission).problems[0]["code"] == "unreadable"
    assert Attempt.objects.get(submission=submission).state == Attempt.State.GIVEN_BACK


def test_where_it_cannot_be_alone_the_fault_is_the_server_s(cast, killed, monkeypatch):
    submission = submit(cast.owner, cast.phase)
    monkeypatch.setattr(confinement, "ALONE_SECONDS", 0.2)
    killed(9)
    with confinement.turn():
        assert [tasks.work() for _ in range(3)] == ["queued again", "queued again", "failed"]
    assert evaluation_of(submission).problems[0]["code"] == "internal_error"


def test_alone_means_that_no_other_worker_reads():
    order = []

    def wait():
        with confinement.turn(alone=True):
            order.append("alone")

    with confinement.turn(), confinement.turn():  # two at the same time
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        order.append("both read")
    thread.join()
    assert order == ["both read", "alone"]
