"""Workers report that they are alive; the status page and the metrics show which are and which went silent."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from leaderboard.models import Worker
from leaderboard.scoring import tasks

pytestmark = pytest.mark.django_db


def status() -> str:
    return " ".join(Client().get("/status/").content.decode().split())


def test_without_a_worker_the_status_says_that_submissions_wait():
    assert "No worker is running" in status()


def test_alive_silent_and_forgotten():
    now = timezone.now()
    Worker.objects.sign("a:1", now)
    Worker.objects.sign("a:1", now)
    Worker.objects.sign("b:2", now - timedelta(minutes=5))
    Worker.objects.sign("c:3", now - timedelta(days=2))
    assert [worker.name for worker in Worker.objects.alive(now)] == ["a:1"]
    assert [worker.name for worker in Worker.objects.silent(now)] == ["b:2"]
    page = status()
    assert "<dt>Workers running</dt> <dd>1</dd>" in page
    assert "not responding: 1" in page
    tasks.sweep()
    assert set(Worker.objects.values_list("name", flat=True)) == {"a:1", "b:2"}


@pytest.mark.worker
@pytest.mark.django_db(transaction=True)
def test_a_real_worker_signs(worker):
    name = f":{worker.pid}"
    deadline = timezone.now() + timedelta(seconds=20)
    while not Worker.objects.alive(timezone.now()).filter(name__endswith=name).exists():
        assert timezone.now() < deadline, "the worker has not signed"
