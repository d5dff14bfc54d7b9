"""GET /metrics."""

from datetime import timedelta

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from evaluation.archive.problems import empty_file
from leaderboard.models import Evaluation
from tests.leaderboard import factories
from tests.leaderboard.api import client_of

pytestmark = pytest.mark.django_db


def read(client, **headers) -> dict:
    """The value of each sample by its name and labels."""
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.content
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_an_empty_queue(client):
    found = read(client)
    assert found["leaderboard_queue_length", "fresh"] == 0
    assert found["leaderboard_queue_oldest_seconds", "fresh"] == 0
    assert found["leaderboard_scoring",] == 0


def test_queue_and_recent_evaluations(client, cast):
    now = timezone.now()
    for _ in range(2):
        waiting = factories.make_submission(cast.team, cast.phase, state="queued")
    Evaluation.objects.filter(pk=waiting.evaluation.pk).update(queued_at=now - timedelta(minutes=5))
    factories.make_submission(cast.team, cast.phase)
    factories.make_submission(cast.team, cast.phase, state="invalid", problems=(empty_file(),))
    held = factories.take(factories.make_submission(cast.other_team, cast.phase, state="queued"))
    Evaluation.objects.filter(pk=held.evaluation.pk).update(lease_until=now - timedelta(seconds=1))
    found = read(client)
    assert found["leaderboard_queue_length", "fresh"] == 2
    assert found["leaderboard_queue_length", "rescore"] == 0
    assert 300 <= found["leaderboard_queue_oldest_seconds", "fresh"] < 330
    assert (found["leaderboard_scoring",], found["leaderboard_leases_expired",]) == (1, 1)
    assert found["leaderboard_recent_evaluations", "scored"] == 1
    assert found["leaderboard_recent_evaluations", "invalid"] == 1
    assert found["leaderboard_recent_problems", "empty_file"] == 1
    assert found["leaderboard_recent_scoring_seconds", "1.0"] >= 0


def test_requests_and_refusals_are_counted(client, cast):
    phase = factories.make_phase(cast.competition, "full", quota_total=0)
    client.force_login(cast.owner)
    api = client_of(cast.owner)
    page = f"/c/{cast.competition.slug}/submit/"
    before = read(client)
    client.get("/healthz")
    client.get("/there is no such page")
    assert "used all 0" in client.get(page).content.decode()
    assert "used all 0" in str(api.get("/api/v1/teams/mine/").json())
    assert read(client).get(("leaderboard_refusals_total", "total_used_up"), 0) == before.get(
        ("leaderboard_refusals_total", "total_used_up"), 0
    ), "a refusal that is only shown is not counted"
    client.post(page, {"phase": phase.pk, "method": "U-Net", "archive": factories.upload()})
    fields = {"phase": phase.pk, "method": "U-Net", "archive": factories.upload()}
    assert api.post("/api/v1/submissions/", fields, format="multipart").status_code == 403
    after = read(client)

    def grown(*key):
        return after.get(key, 0) - before.get(key, 0)

    assert grown("leaderboard_request_seconds_count", "GET", "healthz", "200") == 1
    assert grown("leaderboard_request_seconds_count", "GET", "unknown", "404") == 1
    assert grown("leaderboard_refusals_total", "total_used_up") == 2


def test_strangers_are_kept_out(client, settings):
    refused = client.get("/metrics", REMOTE_ADDR="203.0.113.9")
    assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert client.get("/metrics", REMOTE_ADDR="").status_code == 401
    for header in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"):
        assert client.get("/metrics", headers={header: "203.0.113.9"}).status_code == 401, header
    for address in ("::1", "::ffff:127.0.0.1"):  # the second with HOST=::
        assert client.get("/metrics", REMOTE_ADDR=address).status_code == 200
    settings.METRICS_TOKEN = "a token"
    assert client.get("/metrics").status_code == 401, "with a token it is not enough to be on this machine"
    assert client.get("/metrics", headers={"Authorization": "Bearer another"}).status_code == 401
    sent = {"Authorization": "Bearer a token"}
    assert client.get("/metrics", headers=sent, REMOTE_ADDR="203.0.113.9").status_code == 200


@pytest.mark.parametrize(
    ("name", "value"), [("TRUSTED_PROXIES", 1), ("SITE_URL", "http://scores.example.org")]
)
def test_where_a_proxy_may_be_on_this_machine_it_needs_the_token(client, settings, name, value):
    """Such a proxy passes on strangers' requests from the loopback interface, and need not say so."""
    setattr(settings, name, value)
    assert client.get("/metrics").status_code == 401
    settings.METRICS_TOKEN = "a token"
    assert client.get("/metrics", headers={"Authorization": "Bearer a token"}).status_code == 200
