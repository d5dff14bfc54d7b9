"""The queue of record: fair claims, leases, fences, and what the sweep takes back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest
from django.conf import settings
from django.core import mail
from django.core.files.storage import FileSystemStorage
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from evaluation.archive.problems import empty_file
from evaluation.scoring.counts import Counts, pack, sha256
from evaluation.scoring.labels import compress
from leaderboard.actions import bulk, corrections, judging
from leaderboard.models import Attempt, Evaluation, Phase, Prediction, Standing, Submission
from leaderboard.scoring import queue, tasks
from leaderboard.scoring.failures import LONGEST, SETTLED, report_failures
from leaderboard.scoring.waiting import expected_wait
from tests.leaderboard.factories import (
    TINY,
    make_archive,
    make_labels,
    make_masks,
    make_submission,
    make_team,
)
from tests.leaderboard.steps import many_submissions, steps_of

pytestmark = pytest.mark.django_db


def waiting(team, phase, **fields):
    return make_submission(team, phase, state="queued", **fields)


def claimed_teams(number):
    claims = [queue.claim("test") for _ in range(number)]
    return [claim.evaluation.submission.team.name if claim else None for claim in claims]


def expire_lease(evaluation):
    Evaluation.objects.filter(pk=evaluation.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def score(claim, correct=5):
    counts = Counts(*np.array([[correct, 0, 0], [1, 0, 0], [1, 0, 0]], np.uint32))
    masks = pack(make_masks())
    return queue.record_score(claim, counts, compress(masks), sha256(masks, TINY))


def test_claim_is_fair_across_teams_whatever_one_team_has_queued(cast):
    for _ in range(5):
        waiting(cast.team, cast.phase)
    waiting(cast.other_team, cast.phase)
    assert claimed_teams(3) == ["Alpine", "Rivals", "Alpine"]


def test_a_team_being_scored_waits_while_another_team_waits(cast):
    third = make_team(cast.competition, "Third")
    waiting(cast.team, cast.phase)
    assert claimed_teams(1) == ["Alpine"]
    waiting(cast.team, cast.phase)
    waiting(cast.other_team, cast.phase)
    waiting(third, cast.phase)
    assert claimed_teams(4) == ["Rivals", "Third", "Alpine", None]


def test_rescores_give_way_to_fresh_submissions(cast):
    old = make_submission(cast.team, cast.phase)
    bulk.rescore(cast.organiser, Submission.objects.filter(pk=old.pk), "labels were checked")
    waiting(cast.other_team, cast.phase)
    assert claimed_teams(3) == ["Rivals", "Alpine", None]


def test_a_late_result_is_fenced_off(cast):
    waiting(cast.team, cast.phase)
    first = queue.claim("frozen worker")
    expire_lease(first.evaluation)
    assert queue.sweep().taken_back == 1
    second = queue.claim("another worker")
    assert second.tries == 2
    assert not queue.prolong(first)
    assert not score(first)
    assert score(second)
    assert not score(second), "a result is written once"
    assert Evaluation.objects.get().tp == 5


def test_score_standing_attempt_and_board_version_are_written_together(cast):
    submission = waiting(cast.team, cast.phase)
    before = cast.phase.board_version
    assert score(queue.claim("test"))
    submission = Submission.objects.with_evaluation().get(pk=submission.pk)
    assert (submission.state, submission.evaluation.tp) == ("scored", 5)
    assert submission.attempt.state == Attempt.State.SPENT
    assert Standing.objects.get(team=cast.team).submission == submission
    assert Prediction.objects.filter(submission=submission).exists()
    assert Phase.objects.get(pk=cast.phase.pk).board_version == before + 1


def test_an_invalid_archive_gives_the_attempt_back(cast):
    submission = waiting(cast.team, cast.phase)
    assert queue.record_invalid(queue.claim("test"), [empty_file()])
    submission = Submission.objects.with_evaluation().get(pk=submission.pk)
    assert submission.state == "invalid"
    assert submission.evaluation.problems == [empty_file().as_dict()]
    assert (submission.attempt.state, submission.attempt.total_slot) == (Attempt.State.GIVEN_BACK, None)
    assert not Standing.objects.exists()


def test_poison_ends_as_failed_with_the_attempt_given_back_and_the_organiser_informed(cast):
    submission = waiting(cast.team, cast.phase)
    for _ in range(settings.EVALUATION_TRIES):
        claim = queue.claim("worker that dies")
        expire_lease(claim.evaluation)
        tasks.sweep()
    submission = Submission.objects.with_evaluation().get(pk=submission.pk)
    assert submission.state == "failed"
    assert submission.evaluation.problems[0]["code"] == "evaluation_crashed"
    assert submission.attempt.state == Attempt.State.GIVEN_BACK
    assert queue.claim("test") is None
    assert mail.outbox == []
    assert report_failures(timezone.now() + SETTLED) == 1
    [message] = mail.outbox
    assert message.to == [cast.organiser.email]
    assert submission.evaluation.incident in message.subject


def test_one_event_is_one_mail_with_a_number(cast):
    """Many failures together: one mail once they stop, or after a while; attempts are counted truly."""
    now = timezone.now()
    for number in range(30):
        row = make_submission(cast.team, cast.phase, state="failed")
        if number < 10:
            Attempt.objects.give_back(row.pk, "a server error", now)
        priority = Evaluation.Priority.FRESH if number < 10 else Evaluation.Priority.RESCORE
        row.evaluations.update(incident=f"{number:012x}", priority=priority)
    Evaluation.objects.update(finished_at=now)
    assert report_failures(now + SETTLED / 2) == 0
    assert report_failures(now + SETTLED) == 1
    assert report_failures(now + LONGEST) == 0
    [message] = mail.outbox
    assert message.subject.endswith("30 evaluations failed (incident 000000000000 and 25 more)")
    assert "Attempts given back: 10." in message.body
    assert "earlier scores as they were: 20." in message.body


def test_an_event_that_goes_on_is_reported_all_the_same(cast):
    now = timezone.now()
    make_submission(cast.team, cast.phase, state="failed")
    Evaluation.objects.update(finished_at=now - LONGEST)
    make_submission(cast.other_team, cast.phase, state="failed")
    assert report_failures(now) == 1


def test_a_lease_that_is_kept_up_is_left_alone(cast):
    waiting(cast.team, cast.phase)
    claim = queue.claim("test")
    assert queue.prolong(claim)
    assert queue.sweep().taken_back == 0


def test_the_sweep_counts_what_nobody_heard_of_and_counts_it_once(cast):
    submission = waiting(cast.team, cast.phase)
    Evaluation.objects.filter(pk=submission.evaluation_id).update(rung_at=timezone.now() - timedelta(hours=1))
    assert queue.sweep().waiting == 1
    assert queue.sweep().waiting == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"state": "scored", "finished_at": timezone.now()},
        {"state": "scored", "tp": 1, "fp": 1, "fn": 1, "rank_key": 1},
        {"state": "queued", "tp": 1},
        {"state": "scoring"},
    ],
)
def test_the_database_refuses_a_finished_evaluation_without_a_score(cast, broken):
    submission = waiting(cast.team, cast.phase)
    with pytest.raises(IntegrityError), transaction.atomic():
        Evaluation.objects.filter(pk=submission.evaluation_id).update(**broken)


def test_the_database_refuses_two_unfinished_evaluations_of_one_submission(cast):
    submission = waiting(cast.team, cast.phase)
    with pytest.raises(IntegrityError), transaction.atomic():
        Evaluation.objects.create(submission=submission, label_set=cast.phase.labels)


def test_work_scores_a_real_archive_and_a_rescore_needs_no_archive(cast):
    submission = waiting(cast.team, cast.phase, content=make_archive())
    assert tasks.work() == "scored"
    submission = Submission.objects.with_evaluation().get(pk=submission.pk)
    first = submission.evaluation
    assert (first.fp, first.fn, first.tp) == (0, 0, int(make_masks().sum()))
    submission.archive.delete(save=False)
    assert (
        bulk.rescore(cast.organiser, Submission.objects.filter(pk=submission.pk), "to see").number_changed
        == 1
    )
    assert tasks.work() == "scored"
    again = Submission.objects.with_evaluation().get(pk=submission.pk).evaluation
    assert again.pk != first.pk
    assert (again.tp, again.fp, again.fn) == (first.tp, first.fp, first.fn)


def test_a_fault_of_ours_is_tried_again_and_then_fails_with_an_incident(cast, monkeypatch):
    def fail(*arguments):
        raise ValueError(settings.DATA_DIR)

    monkeypatch.setattr(tasks.reader, "read", fail)
    submission = waiting(cast.team, cast.phase, content=make_archive())
    outcomes = [tasks.work() for _ in range(settings.EVALUATION_TRIES)]
    assert outcomes == ["queued again"] * (settings.EVALUATION_TRIES - 1) + ["failed"]
    evaluation = Evaluation.objects.get(submission=submission)
    assert evaluation.incident
    assert evaluation.problems[0]["code"] == "internal_error"
    assert str(settings.DATA_DIR) not in str(evaluation.problems)


@pytest.fixture
def silent_storage(monkeypatch):
    def silent(*args):
        raise OSError("no answer")

    monkeypatch.setattr(FileSystemStorage, "_open", silent)


def test_while_the_storage_is_silent_submissions_wait_and_no_try_is_used_up(
    cast, silent_storage, monkeypatch
):
    submission = waiting(cast.team, cast.phase, content=make_archive())
    pauses = []
    for _ in range(settings.EVALUATION_TRIES + 5):
        assert tasks.work() == "postponed"
        assert tasks.work() == "nothing waits"
        row = Evaluation.objects.get()
        pauses.append(round((row.not_before - row.started_at).total_seconds()))
        Evaluation.objects.update(not_before=timezone.now())
    assert (pauses[:4], pauses[-1]) == ([5, 10, 20, 40], 300)
    monkeypatch.undo()
    assert tasks.work() == "scored"
    assert Attempt.objects.get(submission=submission).state == "spent"


def test_a_team_reads_that_the_storage_is_silent_and_when_it_is_tried_again(cast, silent_storage, client):
    submission = waiting(cast.team, cast.phase, content=make_archive())
    client.force_login(cast.owner)
    page = reverse("pages:submission", args=[submission.pk])
    assert "cannot read its archive storage" not in client.get(page).content.decode()
    assert tasks.work() == "postponed"
    assert "cannot read its archive storage" in client.get(page).content.decode()
    place, seconds = expected_wait(Evaluation.objects.get())
    assert place == 1
    assert 1 < seconds <= 5


def test_a_storage_that_is_silent_for_a_day_is_a_fault_of_ours(cast, silent_storage):
    submission = waiting(cast.team, cast.phase, content=make_archive())
    assert tasks.work() == "postponed"
    Evaluation.objects.update(not_before=None, queued_at=timezone.now() - timedelta(hours=25))
    assert [tasks.work() for _ in range(3)] == ["queued again", "queued again", "failed"]
    assert Attempt.objects.get(submission=submission).state == "given_back"


def test_others_are_scored_while_one_is_postponed(cast, silent_storage, monkeypatch):
    waiting(cast.team, cast.phase, content=make_archive())
    assert tasks.work() == "postponed"
    monkeypatch.undo()
    waiting(cast.team, cast.phase, content=make_archive())
    assert [tasks.work(), tasks.work()] == ["scored", "nothing waits"]


def test_a_label_correction_queues_every_valid_submission_and_starts_a_new_board(cast):
    kept = make_submission(cast.team, cast.phase, content=make_archive())
    make_submission(cast.other_team, cast.phase, state="invalid")
    Prediction.objects.filter(submission=kept).delete()
    corrected = make_masks(seed=1)
    loaded = judging.load_labels(cast.organiser, cast.phase, pack(corrected), TINY, "a wrong patch")
    corrections.apply_correction(cast.organiser, loaded, "a wrong patch")
    assert Evaluation.objects.queued().count() == 1
    assert tasks.work() == "scored"
    kept = Submission.objects.with_evaluation().get(pk=kept.pk)
    assert kept.evaluation.label_set.version == 2
    assert kept.evaluations.count() == 2
    phase = Phase.objects.get(pk=cast.phase.pk)
    assert [s.submission for s in Standing.objects.board(phase, "exact")] == [kept]


@pytest.mark.django_db(transaction=True)
def test_claims_at_the_same_time_take_different_rows(cast):
    for _ in range(6):
        waiting(cast.team, cast.phase)

    def take(_):
        try:
            return queue.claim("thread").evaluation.pk
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        taken = list(threads.map(take, range(6)))
    assert len(set(taken)) == 6


@pytest.mark.skipif("config.getoption('backend') != 'sqlite'", reason="counts the steps of SQLite")
def test_a_claim_costs_in_proportion_to_the_queue(cast):
    """It holds the only writer's lock: with 7,775 re-scores in the queue it once took seven seconds."""
    in_force = cast.phase.labels
    corrected = make_labels(cast.phase, make_masks(seed=9))
    cast.phase.labels = in_force
    many_submissions(cast, corrected, "queued", 100)
    few = steps_of(lambda: queue.claim("one"))
    many_submissions(cast, corrected, "queued", 300)
    assert steps_of(lambda: queue.claim("another")) < 5 * few


def statements(act) -> list[str]:
    """What an act asks of the database, without the marks of its transactions."""
    with CaptureQueriesContext(connection) as queries:
        act()
    marks = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")
    return [query["sql"] for query in queries if not query["sql"].startswith(marks)]


def test_a_claim_and_a_score_take_few_statements(cast):
    """Every submission pays them, and the board's row is locked meanwhile."""
    for _ in range(3):
        make_submission(cast.team, cast.phase)
    waiting(cast.team, cast.phase)
    claims = []
    asked = statements(lambda: claims.append(queue.claim("one")))
    assert len(asked) <= 3, "\n".join(asked)
    spec = tasks.spec_of(claims[0].evaluation)
    masks = pack(make_masks(spec))
    score = (claims[0], Counts(*np.ones((3, spec.patches), np.uint32)), b"masks", sha256(masks, spec))
    asked = statements(lambda: queue.record_score(*score))
    assert len(asked) <= 8, "\n".join(asked)
    assert Standing.objects.get().entries == 4


def test_a_team_that_merged_while_it_was_scored_is_locked_as_it_is_now(cast):
    waiting(cast.team, cast.phase, content=make_archive())
    held = queue.claim("one")
    Submission.objects.update(team=cast.other_team)
    assert tasks.evaluate(held, {}) == "scored"
    assert Standing.objects.get().team == cast.other_team
