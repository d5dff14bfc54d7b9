"""Submitting through the REST API: what is accepted, what is refused and how, and who sees it."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.client import encode_multipart
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evaluation.archive.problems import Problem
from leaderboard.models import Attempt, Phase, Submission
from tests.leaderboard.api import API, assert_problem, assert_told, client_of, post
from tests.leaderboard.factories import (
    Cast,
    make_archive,
    make_competition,
    make_phase,
    make_submission,
    make_team,
    make_user,
    upload,
)

pytestmark = pytest.mark.django_db


def set_phase(cast: Cast, **fields: object) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(**fields)
    cast.phase.refresh_from_db()


def test_a_submission_is_accepted_and_says_where_it_is(cast: Cast) -> None:
    client = client_of(cast.owner)
    response = post(client, cast.phase, description="All bands.", link="https://example.org/paper")
    assert response.status_code == 202
    body = response.json()
    assert body["state"] == "queued"
    assert body["phase"] == cast.phase.pk
    assert body["team"] == "Alpine"
    assert body["method"] == "U-Net"
    assert (body["f1"], body["precision"], body["recall"], body["problems"]) == (None, None, None, [])
    assert body["queue"] == {"place": 1, "expected_seconds": 1.0}
    assert body["attempt"] == {"state": "reserved", "reason": ""}
    assert response["Location"] == f"http://testserver{API}/submissions/{body['id']}/"
    assert client.get(response["Location"]).json() == body
    submission = Submission.objects.get(pk=body["id"])
    assert submission.sha256 == body["sha256"]
    assert submission.submitted_by == cast.owner


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ("all", {"f1": 0.8, "precision": 0.8, "recall": 0.8}),
        ("f1", {"f1": 0.8, "precision": None, "recall": None}),
    ],
)
def test_scores_are_fractions_and_hidden_ones_are_null(cast: Cast, metrics: str, shown: dict) -> None:
    set_phase(cast, visible_metrics=metrics)
    submission = make_submission(cast.team, cast.phase, (80, 20, 20))
    for who in (cast.owner, cast.teammate):
        body = client_of(who).get(f"{API}/submissions/{submission.pk}/").json()
        assert {name: body[name] for name in shown} == shown
        assert body["counts"] is None
        assert body["attempt"] == {"state": "spent", "reason": "scored"}
    body = client_of(cast.organiser).get(f"{API}/submissions/{submission.pk}/").json()
    assert (body["precision"], body["counts"]) == (0.8, {"tp": 80, "fp": 20, "fn": 20})


def test_a_phase_that_hides_scores_until_its_end_shows_none(cast: Cast) -> None:
    set_phase(cast, hidden_until_close=True)
    submission = make_submission(cast.team, cast.phase)
    body = client_of(cast.owner).get(f"{API}/submissions/{submission.pk}/").json()
    assert body["state"] == "scored"
    assert (body["f1"], body["precision"], body["recall"]) == (None, None, None)


def test_problems_and_incidents_are_shown(cast: Cast) -> None:
    problem = Problem("missing_file", "mask_2.h5", "mask_2.h5 is missing.")
    invalid = make_submission(cast.team, cast.phase, state="invalid", problems=(problem,))
    failed = make_submission(cast.team, cast.phase, state="failed")
    client = client_of(cast.owner)
    body = client.get(f"{API}/submissions/{invalid.pk}/").json()
    assert body["state"] == "invalid"
    assert body["problems"] == [
        {
            "code": "missing_file",
            "file": "mask_2.h5",
            "message": "mask_2.h5 is missing.",
            "count": 1,
            "files": ["mask_2.h5"],
        }
    ]
    assert body["attempt"] == {"state": "given_back", "reason": "the archive was invalid"}
    body = client.get(f"{API}/submissions/{failed.pk}/").json()
    assert (body["state"], body["incident"]) == ("failed", "0123456789ab")
    assert body["problems"][0]["code"] == "internal_error"


def test_each_person_sees_the_own_submissions_alone(cast: Cast) -> None:
    submission = make_submission(cast.team, cast.phase)
    elsewhere = make_competition("elsewhere", organiser=make_user("other-organiser"))
    sees = {cast.owner: 200, cast.teammate: 200, cast.organiser: 200, cast.rival: 404, cast.stranger: 404}
    sees[elsewhere.organisers.get()] = 404
    for who, status in sees.items():
        assert client_of(who).get(f"{API}/submissions/{submission.pk}/").status_code == status, who
        listed = client_of(who).get(f"{API}/submissions/").json()["results"]
        assert [row["id"] for row in listed] == ([submission.pk] if cast.team.has_member(who) else []), who
    assert_problem(client_of().get(f"{API}/submissions/{submission.pk}/"), 401, "not_authenticated")
    assert client_of().get(f"{API}/submissions/")["WWW-Authenticate"] == 'Bearer realm="api"'


def test_a_reference_entry_is_the_organisers_own(cast: Cast) -> None:
    body = assert_problem(post(client_of(cast.owner), cast.phase, reference=True), 403, "not_allowed")
    assert "organisers" in body["detail"]
    client = client_of(cast.organiser)
    response = post(client, cast.phase, reference=True)
    assert response.status_code == 202
    assert response.json()["reference"] is True
    assert response.json()["attempt"] is None
    assert [row["id"] for row in client.get(f"{API}/submissions/").json()["results"]] == [
        response.json()["id"]
    ]


def test_the_list_pages_and_filters(cast: Cast, django_assert_max_num_queries) -> None:
    test = make_phase(cast.competition, "test")
    mine = [make_submission(cast.team, cast.phase).pk for _ in range(5)]
    invalid = make_submission(cast.team, test, state="invalid").pk
    make_submission(cast.team, test, state="queued")
    make_submission(cast.team, test, state="queued")
    make_submission(cast.other_team, cast.phase)
    client = client_of(cast.owner)
    seen, address = [], f"{API}/submissions/?page_size=2&phase={cast.phase.pk}"
    while address:
        page = client.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
    assert seen == mine[::-1]
    assert [r["id"] for r in client.get(f"{API}/submissions/?state=invalid").json()["results"]] == [invalid]
    assert_problem(client.get(f"{API}/submissions/?state=lost"), 400, "invalid")
    assert_problem(client.get(f"{API}/submissions/?phase=x"), 400, "invalid")
    assert client.get(f"{API}/submissions/?phase=999999").json()["results"] == []
    with django_assert_max_num_queries(10):
        assert len(client.get(f"{API}/submissions/").json()["results"]) == 8


@pytest.mark.parametrize("cursor", ["x", "cD1hYmM=", "cD05OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "cD0lMDA=", "ü"])
def test_a_made_up_cursor_is_refused(cast: Cast, cursor: str) -> None:
    assert_problem(client_of(cast.owner).get(f"{API}/submissions/?cursor={cursor}"), 400, "invalid")


def test_refusals(cast: Cast) -> None:
    client = client_of(cast.owner)
    assert_problem(post(client_of(cast.stranger), cast.phase), 403, "no_team")
    assert_problem(post(client_of(), cast.phase), 401, "not_authenticated")
    assert_problem(post(client, cast.phase, upload(b"")), 400, "empty_file")
    body = assert_problem(post(client, 999999), 400, "invalid")
    assert list(body["errors"]) == ["phase"]
    body = assert_problem(client.post(f"{API}/submissions/", {}, format="multipart"), 400, "invalid")
    assert set(body["errors"]) == {"phase", "archive", "method"}
    assert_problem(client.generic("POST", f"{API}/submissions/", "x"), 415, "unsupported_media_type")
    assert_problem(client.delete(f"{API}/submissions/"), 405, "method_not_allowed")
    body = assert_problem(post(client, cast.phase, link="no address"), 400, "invalid")
    assert list(body["errors"]) == ["link"]
    set_phase(cast, closes_at=timezone.now() - timedelta(hours=1))
    assert "ended" in assert_told(post(client, cast.phase), 403, "phase_ended")["detail"]
    set_phase(cast, opens_at="2040-01-01T00:00Z", closes_at=None)
    body = assert_told(post(client, cast.phase), 403, "phase_not_open")
    assert body["next_at"] == "2040-01-01T00:00:00Z"
    assert "\N{NO-BREAK SPACE}" not in body["detail"]
    set_phase(cast, opens_at="2020-01-01T00:00Z", labels=None)
    assert_told(post(client, cast.phase), 403, "no_labels")
    assert not Submission.objects.exists()
    assert not Attempt.objects.exists()


def test_a_hidden_competition_has_no_phases_for_others(cast: Cast) -> None:
    hidden = make_competition("hidden", is_published=False, organiser=cast.organiser)
    phase = make_phase(hidden)
    make_team(hidden, "Hidden team", owner=make_user("insider"))
    body = assert_problem(post(client_of(cast.owner), phase), 400, "invalid")
    assert "phase" in body["errors"]
    assert client_of(cast.owner).get(f"{API}/phases/{phase.pk}/").status_code == 404
    assert client_of(cast.organiser).get(f"{API}/phases/{phase.pk}/").status_code == 200


def test_an_upload_asks_the_database_little_however_many_there_were(cast: Cast) -> None:
    client = client_of(cast.owner)
    set_phase(cast, quota_total=None, quota_per_day=None, quota_on_board=None)
    for _ in range(2):  # the token's use is noted once a minute
        assert post(client, cast.phase, allow_duplicate=True).status_code == 202
    with CaptureQueriesContext(connection) as queries:
        assert post(client, cast.phase, allow_duplicate=True).status_code == 202
    asked = [query["sql"] for query in queries if not query["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    locks = 2 if connection.vendor == "postgresql" else 0  # SQLite's writer is alone
    assert len(asked) <= 15 + locks, "\n".join(asked)


def test_a_place_given_back_is_taken_first(cast: Cast) -> None:
    client = client_of(cast.owner)
    made = [post(client, cast.phase, allow_duplicate=True).json()["id"] for _ in range(3)]
    Attempt.objects.give_back(made[1], "a fault of the server", timezone.now())
    fourth = post(client, cast.phase, allow_duplicate=True)
    again = Attempt.objects.get(submission=fourth.json()["id"])
    assert (again.total_slot, again.day_slot, again.board_slot) == (1, 1, 1)
    assert fourth["RateLimit"]
    fifth = Attempt.objects.get(submission=post(client, cast.phase, allow_duplicate=True).json()["id"])
    assert (fifth.total_slot, fifth.day_slot, fifth.board_slot) == (3, 3, 3)


def test_the_limits_after_an_upload_are_those_that_are_counted_later(cast: Cast) -> None:
    client = client_of(cast.owner)
    set_phase(cast, quota_total=7, quota_per_day=4, quota_on_board=None)
    content = make_archive()
    first, refused = (post(client, cast.phase, upload(content)) for _ in range(2))
    assert (first.status_code, refused.status_code) == (202, 409)

    def left(answer: Any) -> list[str]:
        return [limit.split(";t=")[0].strip() for limit in answer["RateLimit"].split(",") if "phase" in limit]

    assert left(first) == left(refused) == ['"phase-day";r=3', '"phase-total";r=6']


def test_the_full_quota_says_when_to_come_back(cast: Cast) -> None:
    client = client_of(cast.owner)
    set_phase(cast, quota_per_day=1)
    assert post(client, cast.phase).status_code == 202
    response = post(client, cast.phase)
    body = assert_problem(response, 429, "quota_used_up")
    tomorrow = (timezone.now() + timedelta(days=1)).date()
    assert body["next_at"] == f"{tomorrow}T00:00:00Z"
    assert response["Retry-After"]
    set_phase(cast, quota_per_day=None, quota_total=1)
    response = post(client, cast.phase)
    assert "next_at" not in assert_told(response, 403, "total_used_up")
    assert "Retry-After" not in response
    set_phase(cast, quota_total=None, quota_on_board=1)
    response = post(client, cast.phase)
    assert "next_at" not in assert_told(response, 409, "board_full")
    assert "Retry-After" not in response
    assert Submission.objects.count() == 1


class Slow(io.BytesIO):
    """A body whose last byte arrives when ``then`` has happened."""

    def __init__(self, body: bytes, then: Callable[[], None]) -> None:
        super().__init__(body)
        self.size, self.then, self.has_happened = len(body), then, False

    def read(self, *size: int) -> bytes:
        data = super().read(*size)
        if self.tell() == self.size and not self.has_happened:
            self.has_happened = True
            self.then()
        return data


@pytest.mark.parametrize(("ends", "status"), [("before", 403), ("after", 202)])
def test_an_upload_must_begin_and_end_within_the_phase(cast: Cast, ends: str, status: int) -> None:
    """Without grace, one that begins in the phase and ends after it is late; one that begins too early waits."""
    now = timezone.now()
    window = {"opens_at": now - timedelta(days=1), "closes_at": now + timedelta(days=1)}
    over = {"opens_at": now - timedelta(days=3), "closes_at": now - timedelta(days=2)}
    not_yet = {"opens_at": now + timedelta(days=1), "closes_at": now + timedelta(days=2)}
    begins, then = (window, over) if ends == "before" else (not_yet, window)
    set_phase(cast, **begins)
    body = encode_multipart("x", {"phase": cast.phase.pk, "method": "U-Net", "archive": upload()})
    last_byte: list[datetime] = []

    def arrived() -> None:
        set_phase(cast, **then)
        last_byte.append(timezone.now())

    answer = client_of(cast.owner).generic(
        "POST",
        f"{API}/submissions/",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(len(body)),
        **{"wsgi.input": Slow(body, arrived)},
    )
    assert answer.status_code == status, answer.content
    if status == 202:
        submission = Submission.objects.get()
        assert submission.received_at < last_byte[0] <= submission.completed_at
    else:
        assert_problem(answer, 403, "phase_ended")


@override_settings(MAX_UPLOAD_BYTES=1000)
def test_an_archive_too_large_is_refused_by_its_stated_length(cast: Cast) -> None:
    client = client_of(cast.owner)
    body = assert_problem(post(client, cast.phase, upload(b"x" * 1001)), 413, "too_large")
    assert "1,000" in body["detail"]
    unread = client.generic(
        "POST",
        f"{API}/submissions/",
        b"--x\r\nthis is no form",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH="1000000",
    )
    assert_problem(unread, 413, "too_large")


def test_an_idempotency_key_makes_a_retry_one_submission(cast: Cast) -> None:
    set_phase(cast, quota_total=1)
    client = client_of(cast.owner)
    first, again = (
        post(client, cast.phase, upload(b"a file"), HTTP_IDEMPOTENCY_KEY="run-1") for _ in range(2)
    )
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again["Location"] == first["Location"]
    other = post(client_of(cast.teammate), cast.phase, upload(b"other"), HTTP_IDEMPOTENCY_KEY="run-1")
    assert_told(other, 409, "idempotency_key_reused")
    assert Submission.objects.count() == 1
    for key in ("", "two words", "ü", "x" * 201, "a\x00b"):
        assert_problem(post(client, cast.phase, HTTP_IDEMPOTENCY_KEY=key), 400, "invalid")


@pytest.mark.parametrize("field", ["phase", "archive", "method", "description", "link"])
def test_a_reused_key_names_the_earlier_submission_and_the_field(cast: Cast, field: str) -> None:
    """It must never answer for something that was not asked: a script would believe that it was submitted."""
    other_phase = make_phase(cast.competition, slug="later")
    client = client_of(cast.owner)
    first = post(client, cast.phase, upload(b"a file"), HTTP_IDEMPOTENCY_KEY="exp-42").json()
    phase = other_phase if field == "phase" else cast.phase
    changed = {
        "archive": upload(b"other"),
        "method": "V-Net",
        "description": "Other.",
        "link": "https://example.org/",
    }
    more = {"archive": upload(b"a file"), **({field: changed[field]} if field in changed else {})}
    refused = post(client, phase, **more, HTTP_IDEMPOTENCY_KEY="exp-42")
    body = assert_told(refused, 409, "idempotency_key_reused")
    assert (body["submission"], list(body["errors"])) == (first["id"], [field])
    assert f"another {field}" in body["detail"]
    assert Submission.objects.count() == 1
    again = {
        **more,
        "archive": upload(b"other" if field == "archive" else b"a file"),
        "allow_duplicate": True,
    }
    assert post(client, phase, **again, HTTP_IDEMPOTENCY_KEY="exp-43").status_code == 202


def test_a_key_outlives_withdrawing(cast: Cast) -> None:
    set_phase(cast, allows_withdrawal=True)
    client = client_of(cast.owner)
    first = post(client, cast.phase, upload(b"a file"), HTTP_IDEMPOTENCY_KEY="run-1").json()
    client.post(first["links"]["withdraw"])
    again = post(client, cast.phase, upload(b"a file"), HTTP_IDEMPOTENCY_KEY="run-1")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert again.json()["withdrawn_at"]


def test_withdraw_frees_the_place_on_the_board_where_the_phase_allows_it(cast: Cast) -> None:
    submission = make_submission(cast.team, cast.phase)
    address = f"{API}/submissions/{submission.pk}/withdraw/"
    client = client_of(cast.teammate)
    assert_problem(client.post(address), 403, "not_withdrawable")
    set_phase(cast, allows_withdrawal=True, quota_on_board=1)
    assert_problem(client_of(cast.rival).post(address), 404, "not_found")
    assert_problem(client_of(cast.organiser).post(address), 403, "not_allowed")
    assert_problem(client.get(address), 405, "method_not_allowed")
    assert_problem(post(client, cast.phase), 409, "board_full")
    response = client.post(address)
    assert response.status_code == 200
    assert response.json()["withdrawn_at"]
    assert post(client, cast.phase).status_code == 202
    board = client.get(f"{API}/phases/{cast.phase.pk}/leaderboard/").json()
    assert board["rows"] == []


def test_select_says_which_one_counts(cast: Cast) -> None:
    best, chosen = make_submission(cast.team, cast.phase, (90, 1, 1)), make_submission(cast.team, cast.phase)
    client = client_of(cast.owner)
    address = f"{API}/submissions/{chosen.pk}/select/"
    assert_problem(client.post(address, {"selected": True}), 403, "not_allowed")
    set_phase(cast, counts="selected", selected_limit=1)
    assert client.post(address, {"selected": True}).json()["selected"] is True
    other = client.post(f"{API}/submissions/{best.pk}/select/", {"selected": True})
    assert_problem(other, 409, "conflict")
    rows = client.get(f"{API}/phases/{cast.phase.pk}/leaderboard/").json()["rows"]
    assert [row["f1"] for row in rows] == [0.8]
    assert_problem(client.post(address, {}), 400, "invalid")
    assert_problem(client_of(cast.rival).post(address, {"selected": True}), 404, "not_found")


def test_the_ledger_is_the_teams_own(cast: Cast) -> None:
    scored = make_submission(cast.team, cast.phase)
    invalid = make_submission(cast.team, cast.phase, state="invalid")
    make_submission(cast.other_team, cast.phase)
    rows = client_of(cast.teammate).get(f"{API}/attempts/?phase={cast.phase.pk}").json()["results"]
    told = [(row["submission"], row["state"], row["reason"], row["holds_total"]) for row in rows]
    assert told == [
        (invalid.pk, "given_back", "the archive was invalid", False),
        (scored.pk, "spent", "scored", True),
    ]
    assert client_of(cast.stranger).get(f"{API}/attempts/").json()["results"] == []
    assert_problem(client_of().get(f"{API}/attempts/"), 401, "not_authenticated")


ODD = ["\x00", "a\x00b", "\u202e", "\ud800", "\U0001f4a5", "e\u0301" * 30, "\x1b[31m", "\u2028"]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_texts_are_accepted_or_refused_but_never_an_error(cast: Cast, text: str) -> None:
    client = client_of(cast.owner)
    for field in ("method", "description", "link", "reference", "phase", "filename"):
        fields = {"phase": cast.phase.pk, "method": "U-Net", field: text}
        filename = fields.pop("filename", "masks.zip")
        form = "".join(
            f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        form += f'--x\r\nContent-Disposition: form-data; name="archive"; filename="{filename}"\r\n\r\nPK of {field}\r\n--x--\r\n'
        response = client.generic(
            "POST",
            f"{API}/submissions/",
            form.encode("utf-8", "surrogatepass"),
            content_type="multipart/form-data; boundary=x",
        )
        assert response.status_code in (202, 400), (field, response.content)
        if response.status_code == 202:
            assert client.get(response["Location"]).status_code == 200
