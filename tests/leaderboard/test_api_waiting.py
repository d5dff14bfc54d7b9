"""`Prefer: wait`, ETags and filters of submissions."""

import threading
import time

import pytest

from leaderboard.api import holding
from leaderboard.models import Submission
from leaderboard.scoring import tasks
from tests.leaderboard.api import API, assert_problem, client_of, post
from tests.leaderboard.factories import Cast, make_submission, upload

pytestmark = pytest.mark.django_db


@pytest.fixture
def queued(cast: Cast) -> str:
    return post(client_of(cast.owner), cast.phase, upload(b"no ZIP")).json()["links"]["self"]


@pytest.fixture
def finished_meanwhile(monkeypatch) -> None:
    """The evaluation ends while somebody waits."""
    monkeypatch.setattr("leaderboard.api.holding.time.sleep", lambda seconds: tasks.work())


def test_an_answer_is_held_until_the_state_changes(cast: Cast, queued: str, finished_meanwhile) -> None:
    answer = client_of(cast.owner).get(queued, HTTP_PREFER="respond-async, wait=20")
    assert (answer.json()["state"], answer["Preference-Applied"]) == ("invalid", "wait=20")


def test_a_finished_submission_is_answered_at_once(cast: Cast) -> None:
    submission = make_submission(cast.team, cast.phase)
    answer = client_of(cast.owner).get(f"{API}/submissions/{submission.pk}/", HTTP_PREFER="wait=30")
    assert answer.json()["state"] == "scored"
    assert "Preference-Applied" not in answer


def test_it_is_held_no_longer_than_asked(cast: Cast, queued: str) -> None:
    begun = time.monotonic()
    answer = client_of(cast.owner).get(queued, HTTP_PREFER="wait=1")
    assert 1 <= time.monotonic() - begun < 10
    assert (answer.json()["state"], answer["Preference-Applied"]) == ("queued", "wait=1")


def test_when_all_places_are_taken_it_is_answered_at_once(cast: Cast, queued: str, monkeypatch) -> None:
    monkeypatch.setattr(holding, "places", threading.BoundedSemaphore(1))
    with holding.places:
        answer = client_of(cast.owner).get(queued, HTTP_PREFER="wait=30")
    assert answer.json()["state"] == "queued"
    assert "Preference-Applied" not in answer
    assert holding.places.acquire(blocking=False), "the place is free again"


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5),
        ("wait=9999", 30),
        ("", 0),
        ("wait=x", 0),
        ("wait=-1", 0),
        ("handling=lenient; wait=2", 2),
        ("await=3", 0),
    ],
)
def test_the_header(prefer: str, seconds: int) -> None:
    assert holding.asked_seconds(prefer) == seconds


def test_an_etag_changes_with_the_answer(cast: Cast, queued: str) -> None:
    client = client_of(cast.owner)
    first = client.get(queued)
    same = client.get(queued, HTTP_IF_NONE_MATCH=first["ETag"])
    assert (same.status_code, same["ETag"], same.content) == (304, first["ETag"], b"")
    assert "private" in first["Cache-Control"]
    tasks.work()
    changed = client.get(queued, HTTP_IF_NONE_MATCH=first["ETag"])
    assert (changed.status_code, changed.json()["state"]) == (200, "invalid")


def test_filters(cast: Cast) -> None:
    old, new = make_submission(cast.team, cast.phase), make_submission(cast.team, cast.phase, method="V-Net")
    Submission.objects.filter(pk=old.pk).update(
        received_at="2021-05-01T00:00Z", withdrawn_at="2021-05-02T00:00Z", sha256="a" * 64
    )
    client = client_of(cast.owner)

    def found(query: str) -> list[int]:
        return [row["id"] for row in client.get(f"{API}/submissions/?{query}").json()["results"]]

    assert found("") == [new.pk, old.pk]
    for query in ("withdrawn=true", f"sha256={'a' * 64}", "received_until=2021-06-01T00:00Z", "method=U-Net"):
        assert found(query) == [old.pk], query
    for query in ("withdrawn=false", "received_since=2021-06-01T00:00Z", "method=V-Net"):
        assert found(query) == [new.pk], query
    for query in (f"phase={cast.phase.slug}", f"phase={cast.phase.pk}", "state=scored"):
        assert found(query) == [new.pk, old.pk], query
    assert found("phase=999999") == []
    for query in ("phase=nowhere", "phase=a.b", "sha256=abc", "received_since=yesterday", "state=lost"):
        assert_problem(client.get(f"{API}/submissions/?{query}"), 400, "invalid")


def test_rows_of_a_board_name_team_and_submission(cast: Cast) -> None:
    submission = make_submission(cast.team, cast.phase)
    [row] = client_of().get(f"{API}/phases/{cast.phase.pk}/leaderboard/").json()["rows"]
    assert (row["team_id"], row["submission"]) == (cast.team.pk, submission.pk)
