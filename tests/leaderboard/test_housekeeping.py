"""What is no longer needed is deleted; what is in use stays."""

import os
import time
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from leaderboard.celery import app
from leaderboard.platform import housekeeping


@pytest.mark.django_db
def test_old_remains_of_uploads_and_ended_sessions_go(settings, tmp_path):
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    now = time.time()
    for name, age in (("left.upload.zip", 25 * 3600), ("arriving.upload.zip", 600)):
        (tmp_path / name).write_bytes(b"PK")
        os.utime(tmp_path / name, (now - age, now - age))
    for key, days in (("ended", -1), ("alive", 1)):
        Session.objects.create(session_key=key, expire_date=timezone.now() + timedelta(days=days))
    assert housekeeping.work() == "1 left files removed"
    assert [path.name for path in tmp_path.iterdir()] == ["arriving.upload.zip"]
    assert Session.objects.get().session_key == "alive"


def test_the_beat_names_tasks_that_workers_know(settings):
    app.loader.import_default_modules()
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)
