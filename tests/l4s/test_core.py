"""The core of both clients against a server that answers as told: what is sent, tried again, raised."""

import hashlib
import json
import warnings
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from evaluation import __version__
from l4s import ClientTooOld, errors
from l4s.operations import spec_of
from tests.l4s.servers import PHASES, SERVER, Both, Scripted

QUEUED = {"id": 7, "state": "queued", "queue": None}


@pytest.fixture(params=["sync", "async"])
def both(request):
    return Both(request.param)


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """Nobody sleeps; the random part of a pause is its longest."""
    taken = []

    async def asleep(seconds):
        taken.append(seconds)

    monkeypatch.setattr("l4s.client.sleep", taken.append)
    monkeypatch.setattr("l4s.client.sleep_async", asleep)
    monkeypatch.setattr("l4s.exchange.uniform", lambda low, high: high)
    return taken


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "test.zip"
    path.write_bytes(b"PK the archive")
    return path


def made(status=202, **more):
    return httpx.Response(status, json=QUEUED | more)


def problem(status, headers=None, **members):
    kind = {"Content-Type": "application/problem+json"}
    return httpx.Response(status, content=json.dumps(members), headers=kind | (headers or {}))


def test_an_upload_is_what_the_api_takes(both, archive):
    server = Scripted(made())
    both.connect(server)
    seen = []
    found = both.call(
        "submit",
        archive,
        phase=4,
        method="unet",
        description="U-Net, 14 bands",
        progress=lambda *step: seen.append(step),
    )
    assert found["id"] == 7
    [request] = server.requests
    assert (request.method, str(request.url)) == ("POST", f"{SERVER}/api/v1/submissions/")
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.headers["User-Agent"].startswith(f"l4s/{__version__} python/")
    for name, value in {"phase": b"4", "method": b"unet", "description": b"U-Net, 14 bands"}.items():
        assert b'name="%s"\r\n\r\n%s\r\n' % (name.encode(), value) in request.content
    assert b'name="link"' not in request.content
    assert b'name="allow_duplicate"' not in request.content
    assert (
        b'filename="test.zip"\r\nContent-Type: application/zip\r\n\r\nPK the archive\r\n' in request.content
    )
    assert seen[-1] == (14, 14)


def test_one_key_until_the_server_answers(both, archive, pauses):
    server = Scripted(
        httpx.ConnectError("refused"),
        httpx.Response(503),
        problem(429, {"Retry-After": "7"}, code="throttled"),
        made(),
    )
    said = []
    both.connect(server, on_retry=said.append).call("submit", archive, phase=4, method="unet")
    assert len(server.requests) == 4
    assert [text.splitlines()[-1] for text in said] == [f"Trying again in {n} s." for n in (1, 2, 8)]
    assert said[0].startswith("leaderboard.example cannot be reached (ConnectError: refused).")
    assert len({request.headers["Idempotency-Key"] for request in server.requests}) == 1
    assert b"PK the archive" in server.requests[-1].content
    assert pauses == [1, 2, pytest.approx(7.7)]


def test_what_is_another_submission_has_another_key(both, archive):
    calls = [
        {"phase": 4, "method": "unet"},
        {"phase": 3, "method": "unet"},
        {"phase": 4, "method": "other"},
        {"phase": 4, "method": "unet", "description": "text"},
        {"phase": 4, "method": "unet", "attempt": "2"},
    ]
    server = Scripted(*(made() for _ in range(7)))
    both.connect(server)
    for fields in [*calls, calls[0]]:
        both.call("submit", archive, **fields)
    archive.write_bytes(b"PK other")
    both.call("submit", archive, **calls[0])
    keys = [request.headers["Idempotency-Key"] for request in server.requests]
    assert [n for n, request in enumerate(server.requests) if b"allow_duplicate" in request.content] == [4]
    assert keys[5] == keys[0]
    assert len(set(keys)) == 6


def test_gives_up_with_the_reason(both, archive, pauses):
    both.connect(Scripted(*[httpx.ConnectError("refused")] * 5))
    with pytest.raises(errors.Unreachable) as failed:
        both.call("submit", archive, phase=4, method="unet")
    assert str(failed.value) == (
        "leaderboard.example cannot be reached (ConnectError: refused). Tried 5 times: check the address, or try again later."
    )
    assert pauses == [1, 2, 4, 8]


def test_a_server_that_fails_each_time_is_quoted(both):
    both.connect(Scripted(*[problem(500, code="internal_error", detail="Our mistake.", incident="a1")] * 5))
    with pytest.raises(errors.ServerFailed, match="Our mistake") as failed:
        both.call("phases")
    assert (failed.value.status, failed.value.problem["incident"], failed.value.exit_code) == (500, "a1", 6)


@pytest.mark.parametrize(
    ("status", "code", "kind", "exit_code"),
    [
        (400, "invalid", errors.Refused, 3),
        (401, "authentication_failed", errors.Unauthorized, 4),
        (403, "phase_not_open", errors.Refused, 3),
        (404, "not_found", errors.NotFound, 3),
        (409, "conflict", errors.Conflict, 3),
        (413, "too_large", errors.Refused, 3),
        (403, "quota_used_up", errors.QuotaUsedUp, 3),
        (429, "quota_used_up", errors.QuotaUsedUp, 3),
        (429, "too_many", errors.TooManyRequests, 5),
    ],
)
def test_a_refusal_is_asked_once_and_has_its_class(both, archive, pauses, status, code, kind, exit_code):
    server = Scripted(*[problem(status, code=code, detail="No.")] * 5)
    both.connect(server)
    with pytest.raises(kind) as refused:
        both.call("submit", archive, phase=4, method="unet")
    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.detail, refused.value.exit_code) == (code, "No.", exit_code)
    assert refused.value.next_at is None
    assert len(server.requests) == 1
    assert pauses == []
    moment = "2040-01-01T00:00:00Z"
    both.connect(Scripted(problem(status, code=code, detail="Not yet.", next_at=moment)))
    with pytest.raises(kind) as later:
        both.call("submit", archive, phase=4, method="unet")
    assert (later.value.next_at, later.value.exit_code) == (moment, 5)


def test_a_long_wait_is_an_answer_not_a_pause(both, pauses):
    tomorrow = format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True)
    for header in ("3600", tomorrow):
        both.connect(Scripted(problem(429, {"Retry-After": header}, code="throttled", detail="Later.")))
        with pytest.raises(errors.TooManyRequests) as refused:
            both.call("phases")
        assert refused.value.retry_after > 3000
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    both.connect(Scripted(problem(503, {"Retry-After": soon}), httpx.Response(200, json=PHASES)))
    assert both.call("phases") == PHASES
    [pause] = pauses
    assert 15 < pause < 23


def test_a_refusal_is_told_point_by_point(both, archive):
    many = [f"mask_{n}.h5" for n in range(1, 10)]
    both.connect(
        Scripted(
            problem(
                400,
                title="The archive is not valid",
                detail="3 problems were found.",
                problems=[
                    {"code": "missing_file", "file": "mask_3.h5", "message": "The mask is missing."},
                    {"code": "too_many", "message": "There are more files than patches."},
                    {"code": "not_hdf5", "file": many[0], "message": "Text.", "count": 9, "files": many},
                ],
                errors={"phase": ["This phase has ended."]},
            )
        )
    )
    with pytest.raises(errors.Refused) as refused:
        both.call("submit", archive, phase=4, method="unet")
    assert str(refused.value).splitlines() == [
        "The archive is not valid (400)",
        "3 problems were found.",
        "  phase: This phase has ended.",
        "  mask_3.h5: The mask is missing.",
        "  too_many: There are more files than patches.",
        "  9 files (mask_1.h5, mask_2.h5, mask_3.h5 …): Text.",
    ]


def test_other_servers_are_recognised(both):
    both.connect(Scripted(httpx.Response(403, text="<html>")))
    with pytest.raises(errors.Refused, match="answered 403 Forbidden"):
        both.call("phases")
    both.connect(Scripted(httpx.Response(200, text="<html>")))
    with pytest.raises(errors.Unreachable, match="Is the address right"):
        both.call("phases")
    both.connect(Scripted(httpx.Response(301, headers={"Location": "https://leaderboard.example/"})))
    with pytest.raises(errors.Refused, match=r"sends on to https://leaderboard\.example/\. Use that address"):
        both.call("phases")


def test_the_token_goes_to_no_other_host(both):
    page = {"results": [QUEUED], "next": "https://elsewhere.example/api/v1/submissions/?cursor=x"}
    server = Scripted(
        httpx.Response(200, json=page), httpx.Response(200, json={"results": [QUEUED], "next": None})
    )
    both.connect(server)
    assert len(both.call("submissions", limit=None)) == 2
    assert str(server.requests[1].url) == f"{SERVER}/api/v1/submissions/?cursor=x"


def test_lists_stop_at_their_limit(both):
    page = {"results": [{"id": n} for n in range(3)], "next": f"{SERVER}/api/v1/submissions/?cursor=x"}
    server = Scripted(httpx.Response(200, json=page))
    both.connect(server)
    assert [row["id"] for row in both.call("submissions", phase=4, state="scored", limit=2)] == [0, 1]
    assert dict(server.requests[0].url.params) == {"page_size": "2", "phase": "4", "state": "scored"}


def test_phases_are_found_by_name(both):
    def answer(request):
        return httpx.Response(200, json=PHASES)

    both.connect(answer)
    for name in ("validation", "l4s/validation", "4", None):
        assert both.call("phase", name)["id"] == 4
    with pytest.raises(errors.WrongUse) as unknown:
        both.call("phase", "final")
    assert str(unknown.value) == (
        "'final' is not a phase of this server. Its phases are: l4s/validation, l4s/test. Name one with --phase."
    )
    with pytest.raises(errors.WrongUse, match="has no labels yet"):
        spec_of(PHASES[0] | {"patches": None})


def test_waiting_asks_less_and_less_often(both, pauses):
    states = ["queued", "scoring", "scored"]
    server = Scripted(*(httpx.Response(200, json=QUEUED | {"state": state}) for state in states))
    shown = []
    both.connect(server)
    assert both.call("wait", QUEUED, 100, lambda each: shown.append(each["state"]))["state"] == "scored"
    assert shown == ["scoring", "scored"]
    assert {request.url.path for request in server.requests} == {"/api/v1/submissions/7/"}
    assert pauses == pytest.approx([0.3, 0.45])
    assert both.call("wait", {"id": 8, "state": "invalid"})["state"] == "invalid"


def test_a_server_that_holds_the_answer_is_asked_at_once(both, pauses):
    applied = {"Preference-Applied": "wait=30", "ETag": '"1"'}
    server = Scripted(
        httpx.Response(200, json=QUEUED, headers=applied),
        httpx.Response(304, headers=applied),
        httpx.Response(200, json=QUEUED | {"state": "scored"}, headers=applied),
    )
    both.connect(server)
    assert both.call("wait", QUEUED)["state"] == "scored"
    assert [request.headers.get("Prefer") for request in server.requests] == ["wait=30"] * 3
    assert [request.headers.get("If-None-Match") for request in server.requests] == [None, '"1"', '"1"']
    assert pauses == []


def test_waiting_ends(both):
    both.connect(Scripted())
    with pytest.raises(errors.StillWaiting, match="Submission 7 is still queued after 0 s") as late:
        both.call("wait", QUEUED, timeout=0)
    assert late.value.submission == QUEUED


def test_an_old_client_is_warned_once(both):
    def answer(request):
        return httpx.Response(200, json=PHASES, headers={"L4S-Client-Minimum": "99.0"})

    both.connect(answer)
    with pytest.warns(ClientTooOld, match=r"from version 99\.0 on; this is"):
        both.call("phases")
    with warnings.catch_warnings(action="error"):
        both.call("phases")
    said = []
    both.connect(
        Scripted(httpx.Response(200, json=[], headers={"L4S-Client-Minimum": __version__})), warn=said.append
    )
    both.call("phases")
    assert said == []


def test_a_download_is_whole_or_not_there(both, tmp_path):
    content = b"PK" * 100_000
    shown = httpx.Response(200, json=QUEUED | {"sha256": hashlib.sha256(content).hexdigest()})
    seen = []
    both.connect(Scripted(shown, httpx.ReadError("cut"), httpx.Response(200, content=content)))
    path = both.call("download", 7, tmp_path / "a.zip", lambda *step: seen.append(step))
    assert path.read_bytes() == content
    assert seen[-1] == (200_000, 200_000)
    both.connect(Scripted(shown, httpx.Response(200, content=content[:-1])))
    with pytest.raises(errors.Damaged, match="What came for submission 7 has SHA-256"):
        both.call("download", 7, tmp_path / "b.zip")
    both.connect(Scripted(shown, problem(404, code="not_found")))
    with pytest.raises(errors.NotFound):
        both.call("download", 7, tmp_path / "b.zip")
    assert [each.name for each in tmp_path.glob("*.zip*")] == ["a.zip"]


def test_a_board_comes_whole(both):
    first = {
        "rows": [{"rank": 1}],
        "reference": [],
        "next": f"{SERVER}/api/v1/phases/4/leaderboard/?offset=1",
    }
    second = {"rows": [{"rank": 2}], "reference": [], "next": None}
    server = Scripted(
        httpx.Response(200, json=first, headers={"ETag": '"a"'}),
        httpx.Response(200, json=second),
        httpx.Response(304),
    )
    both.connect(server)
    board, etag = both.call("board_if_changed", 4)
    assert ([row["rank"] for row in board["rows"]], board["next"], etag) == ([1, 2], None, '"a"')
    assert both.call("board_if_changed", 4, etag) == (None, '"a"')
    assert server.requests[2].headers["If-None-Match"] == '"a"'


def test_without_a_token_none_is_sent(both):
    server = Scripted(httpx.Response(200, json=PHASES))
    both.connect(server, token="").call("phases")
    assert "Authorization" not in server.requests[0].headers
