"""The bytes scored are the bytes received, on both storages: whatever else the storage returns is a fault of the server."""

import os
from datetime import timedelta

import pytest
from django.core import mail
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from leaderboard.actions import bulk, receipts, refusals
from leaderboard.models import Attempt, AuditEntry, Evaluation, Submission
from leaderboard.scoring import failures, queue, tasks
from leaderboard.scoring.archives import received_archive
from tests.leaderboard.factories import make_archive, make_masks, upload
from tests.leaderboard.test_submit import submit

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(queue, "FIRST_PAUSE", timedelta())


def replaced(storage, name, content):
    storage.delete(name)
    assert storage.save(name, ContentFile(content)) == name


def swap(storage, name, content):
    replaced(storage, name, make_archive(make_masks(seed=5)))


def swap_for_nonsense(storage, name, content):
    replaced(storage, name, b"not a ZIP at all")


def swap_for_the_same_size(storage, name, content):
    replaced(storage, name, content[:-1] + bytes([content[-1] ^ 1]))


def truncate(storage, name, content):
    replaced(storage, name, content[:-100])


def empty(storage, name, content):
    replaced(storage, name, b"")


def delete(storage, name, content):
    storage.delete(name)


@pytest.mark.parametrize("harm", [swap, swap_for_nonsense, swap_for_the_same_size, truncate, empty, delete])
def test_other_bytes_are_never_scored_and_cost_the_team_nothing(cast, storage, harm, client):
    content = upload().read()
    submission = submit(cast.owner, cast.phase, archive=upload(content))
    harm(storage, submission.archive.name, content)
    assert [tasks.work() for _ in range(3)] == ["queued again", "queued again", "failed"]
    submission = Submission.objects.with_evaluation().get(pk=submission.pk)
    evaluation = submission.evaluation
    assert evaluation.problems[0]["code"] == "archive_lost"
    assert "again and upload" not in evaluation.problems[0]["message"]
    assert evaluation.incident
    assert submission.attempt.state == Attempt.State.GIVEN_BACK
    with pytest.raises(refusals.Conflict):
        receipts.receipt_of(submission, cast.owner, timezone.now())
    entry = AuditEntry.objects.filter(act="evaluation failed").get()
    assert entry.details == {"incident": evaluation.incident, "problem": "archive_lost"}
    client.force_login(cast.owner)
    page = client.get(f"/submissions/{submission.pk}/").content.decode()
    assert "The server no longer has this archive as it received it" in page

    replaced(storage, submission.archive.name, content)  # from a backup
    bulk.rescore(cast.organiser, Submission.objects.filter(pk=submission.pk), "restored")
    assert tasks.work() == "scored"
    scored = Submission.objects.with_evaluation().get(pk=submission.pk)
    statement = receipts.receipt_of(scored, cast.owner, timezone.now())["statement"]
    assert statement["archive_sha256"] == scored.sha256


def test_one_event_is_one_mail_that_says_what_to_restore(cast):
    for _ in range(5):
        submission = submit(cast.owner, cast.phase)
        submission.archive.storage.delete(submission.archive.name)
    while tasks.work() != "nothing waits":
        pass
    assert failures.report_failures(timezone.now() + failures.SETTLED * 2) == 1

    [message] = [m for m in mail.outbox if cast.organiser.email in m.to]
    assert "5 evaluations failed" in message.subject
    assert "In 5 of them the stored archive is missing" in message.body
    assert "Attempts given back: 5" in message.body
    assert failures.report_failures(timezone.now() + failures.SETTLED * 4) == 0


def test_a_file_overwritten_while_it_is_read_changes_nothing(cast):
    submission = submit(cast.owner, cast.phase)
    path = submission.archive.path
    with open(path, "rb") as file:
        content = file.read()
    with received_archive(submission) as archive:
        with open(path, "r+b") as file:
            file.write(b"other bytes")
        with pytest.raises(PermissionError):
            os.write(archive.fd, b"others")
        assert os.pread(archive.fd, len(content) + 1, 0) == content


def test_a_folder_that_is_not_mounted_is_waited_for(cast, tmp_path, monkeypatch):
    submission = submit(cast.owner, cast.phase)
    storage = storages["uploads"]
    monkeypatch.setattr(storage, "_location", str(tmp_path / "away"))
    for cached in ("base_location", "location"):
        monkeypatch.delitem(storage.__dict__, cached, raising=False)
    assert tasks.work() == "postponed"
    evaluation = Evaluation.objects.get(submission=submission)
    assert (evaluation.state, evaluation.counted_tries) == (Evaluation.State.QUEUED, 0)


def test_a_stored_prediction_needs_no_archive(cast):
    submission = submit(cast.owner, cast.phase)
    assert tasks.work() == "scored"
    submission.archive.storage.delete(submission.archive.name)
    bulk.rescore(cast.organiser, Submission.objects.filter(pk=submission.pk), "to see")
    assert tasks.work() == "scored"
