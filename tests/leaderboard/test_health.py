import pytest
from django.db import OperationalError, connection

from tests import services


def test_alive_needs_no_database(client):
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_ready(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "database": "ok", "broker": "ok"})


def test_not_ready_without_a_database(client, monkeypatch):
    def refuse():
        raise OperationalError("the server has gone")

    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "unreachable")


@pytest.mark.django_db
def test_ready_while_redis_is_down_and_says_so(client, settings):
    settings.REDIS_URL = f"redis://127.0.0.1:{services.free_port()}/0"
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["broker"]) == (200, "unreachable")
