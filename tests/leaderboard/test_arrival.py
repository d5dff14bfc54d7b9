"""When an upload counts as received, by form: the moment its request began, as the server in front tells it."""

import time
from datetime import timedelta
from http.client import HTTPConnection
from threading import Thread
from typing import Any

import pytest
import waitress
from django.test import RequestFactory
from django.utils import timezone

from leaderboard.management.commands.serve import ClockedChannel
from leaderboard.models import Submission
from leaderboard.platform import arrival
from tests.leaderboard.api import API, assert_problem, client_of, post
from tests.leaderboard.factories import Cast, upload


def seconds_ago(**facts: object) -> float:
    request = RequestFactory().get("/", **facts)
    arrival.ArrivalMiddleware(lambda request: None)(request)  # type: ignore[arg-type, return-value]
    return (timezone.now() - arrival.begun_at(request)).total_seconds()


def test_without_word_from_the_server_it_began_now():
    assert 0 <= seconds_ago() < 5
    assert 0 <= seconds_ago(HTTP_X_REQUEST_TIME="900") < 5  # nobody was asked to believe this header


def test_waitress_notes_the_first_byte():
    assert 60 <= seconds_ago(**{arrival.BEGAN: time.time() - 60}) < 65


def test_waitress_as_we_serve_it_notes_the_first_byte_of_each_request():
    """Two requests on one connection, the second one slow; the application is called after its last byte."""
    seconds: list[float] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        seconds.append(time.time() - environ[arrival.BEGAN])
        start_response("204 No Content", [])
        return []

    server = waitress.create_server(application, host="127.0.0.1", port=0, threads=1)
    server.channel_class = ClockedChannel
    Thread(target=server.run, daemon=True).start()
    connection = HTTPConnection("127.0.0.1", server.effective_port)
    connection.request("POST", "/", b"x")
    connection.getresponse().read()
    time.sleep(0.5)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", "2")
    connection.endheaders()
    connection.send(b"a")
    time.sleep(1)
    connection.send(b"b")
    connection.getresponse().read()
    server.close()
    assert seconds[0] < 0.5
    assert 1 <= seconds[1] < 1.5


@pytest.mark.parametrize(
    ("said", "seconds"), [("90.250", 90), ("90", 90), ("-90", 0), ("1e3", 0), ("nan", 0), ("٩٠", 0), ("", 0)]
)
def test_a_proxy_says_how_long_it_has_been_receiving(settings, said, seconds):
    settings.REQUEST_TIME_HEADER = "X-Request-Time"
    assert seconds <= seconds_ago(HTTP_X_REQUEST_TIME=said) < seconds + 5


@pytest.mark.parametrize(
    ("grace", "ended", "began", "status"),
    [
        (15, 10, 12, 202),  # began two minutes before the end, complete ten minutes after it
        (15, 10, 8, 403),  # began after the end
        (15, 20, 25, 403),  # complete after the grace
        (0, 1, 2, 403),
    ],
)
@pytest.mark.django_db
def test_a_form_that_began_in_time_may_finish_within_the_grace(
    cast: Cast, client, settings, grace, ended, began, status
):
    settings.REQUEST_TIME_HEADER = "X-Request-Time"
    now = timezone.now()
    cast.phase.closes_at, cast.phase.grace_minutes = now - timedelta(minutes=ended), grace
    cast.phase.save()
    answer = post(client_of(cast.owner), cast.phase, HTTP_X_REQUEST_TIME=str(began * 60))
    assert answer.status_code == status, answer.content
    client.force_login(cast.rival)
    form = {"phase": cast.phase.pk, "method": "U-Net", "archive": upload()}
    headers = {"X-Request-Time": str(began * 60)}
    page = client.post(f"/c/{cast.competition.slug}/submit/", form, headers=headers)
    assert page.status_code == (302 if status == 202 else 403)
    if status != 202:
        assert_problem(answer, 403, "phase_ended")
        assert not Submission.objects.exists()
        return
    for submission in Submission.objects.all():
        assert submission.received_at < cast.phase.closes_at < submission.completed_at
    shown = client_of(cast.owner).get(f"{API}/submissions/{answer.json()['id']}/").json()
    assert shown["received_at"] < shown["completed_at"]
