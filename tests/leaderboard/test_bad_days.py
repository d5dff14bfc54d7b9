"""Clocks that are set back and forward, and files whose submission was never written. The whole: `make chaos`."""

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone

from leaderboard.actions import bulk, uploads
from leaderboard.models import ApiToken, BulkAct, Evaluation, Submission, Worker
from leaderboard.scoring import queue, tasks
from tests.leaderboard.factories import make_submission, upload
from tests.leaderboard.test_submit import submit

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def later(**columns):
    Evaluation.objects.update(**columns)


class TestClock:
    def test_a_lease_of_tomorrow_is_taken_back_once_its_worker_is_silent(self, cast):
        submit(cast.owner, cast.phase)
        held = queue.claim("dead")
        now = timezone.now()
        later(lease_until=now + DAY)
        assert queue.sweep().taken_back == 0
        lease = Evaluation.objects.get().lease_until
        assert now < lease <= queue.lease_end(timezone.now())
        later(lease_until=now - timedelta(seconds=1))  # a lease has passed, and nobody extended it
        assert queue.sweep().taken_back == 1
        assert tasks.work() == "scored"
        assert not queue.prolong(held)

    def test_a_worker_that_lives_keeps_its_work(self, cast):
        submit(cast.owner, cast.phase)
        held = queue.claim("alive")
        later(lease_until=timezone.now() + DAY)
        queue.sweep()
        assert queue.prolong(held)
        assert queue.sweep().taken_back == 0
        assert tasks.evaluate(held, {}) == "scored"

    def test_the_clocks_of_two_hosts_may_differ_a_little(self, cast):
        submit(cast.owner, cast.phase)
        queue.claim("ahead")
        ahead = queue.lease_end(timezone.now()) + timedelta(seconds=10)
        later(lease_until=ahead)
        queue.sweep()
        assert Evaluation.objects.get().lease_until == ahead

    def test_what_was_paused_until_tomorrow_is_rung_and_scored(self, cast):
        submit(cast.owner, cast.phase)
        now = timezone.now()
        later(rung_at=now + DAY, not_before=now + DAY)
        queue.sweep()
        row = Evaluation.objects.get()
        assert row.rung_at <= timezone.now()
        assert row.not_before is None
        assert tasks.work() == "scored"

    def test_a_worker_signed_by_tomorrow_s_clock_is_not_alive_and_is_forgotten(self):
        now = timezone.now()
        Worker.objects.sign("ghost:1", now + 2 * DAY)
        assert not Worker.objects.alive(now).exists()
        assert Worker.objects.forgotten(now).count() == 1

    def test_a_bulk_act_held_until_tomorrow_goes_on(self, cast):
        for _ in range(bulk.AT_ONCE + 1):
            make_submission(cast.team, cast.phase)
        act = bulk.begin(cast.organiser, "disqualify", Submission.objects.all(), "why")
        BulkAct.objects.update(seen_at=timezone.now() + DAY)
        assert bulk.work() == "finished"
        act.refresh_from_db()
        assert act.number_changed == act.total


@pytest.fixture
def empty_storage(storage, tmp_path, monkeypatch):
    """Without what other tests have left."""
    if hasattr(storage, "_location"):
        monkeypatch.setattr(storage, "_location", str(tmp_path))
        for cached in ("base_location", "location"):
            monkeypatch.delitem(storage.__dict__, cached, raising=False)
    yield storage
    for cached in ("base_location", "location"):
        storage.__dict__.pop(cached, None)


class TestOrphans:
    def test_archives_without_a_submission_go_after_a_day(self, cast, empty_storage):
        kept = submit(cast.owner, cast.phase)
        orphan = empty_storage.save(f"{cast.phase.pk}/{cast.team.pk}/{'0' * 64}-x.zip", ContentFile(b"PK"))
        elsewhere = empty_storage.save("imported/landslides/1-x.zip", ContentFile(b"PK"))
        now = timezone.now()
        assert uploads.remove_orphans(now - uploads.ORPHAN_AGE) == 0
        assert uploads.remove_orphans(now + timedelta(minutes=1)) == 1
        assert not empty_storage.exists(orphan)
        assert empty_storage.exists(kept.archive.name)
        assert empty_storage.exists(elsewhere)
        assert uploads.remove_orphans(now + timedelta(minutes=1)) == 0

    def test_none_goes_where_the_database_is_older_than_the_files(self, cast, empty_storage):
        """After a restore from an older backup the files of many submissions have no row: they are all that is left of them."""
        names = [
            empty_storage.save(f"{cast.phase.pk}/{cast.team.pk}/{i}.zip", ContentFile(b"PK"))
            for i in range(uploads.MOST_ORPHANS + 1)
        ]
        assert uploads.remove_orphans(timezone.now() + timedelta(minutes=1)) == 0
        assert all(empty_storage.exists(name) for name in names)


def test_eighty_waiting_archives_and_no_worker_do_not_stop_uploads(cast, client):
    for _ in range(80):
        make_submission(cast.other_team, cast.phase, state="queued")
    assert client.get("/readyz").status_code == 200
    token = ApiToken.objects.create(user=cast.owner, name="script")[1]
    answer = client.post(
        "/api/v1/submissions/",
        {"phase": cast.phase.pk, "method": "U-Net", "archive": upload()},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 202, answer.content
