"""The submit client against a server that answers as the leaderboard's REST API does."""

import json

import pytest

httpx = pytest.importorskip("httpx")

from baseline.submitting import client  # noqa: E402


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    taken = []
    monkeypatch.setattr(client, "sleep", taken.append)
    return taken


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "test.zip"
    path.write_bytes(b"PK the archive")
    return path


def connected(*answers):
    """A client whose server gives the answers in turn, and the requests that it made."""
    requests, waiting = [], list(answers)

    def handle(request):
        requests.append(request)
        answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx.MockTransport(handle)
    return client.connect("http://leaderboard.example/", "secret", transport=transport), requests


def test_upload_is_what_the_api_takes(archive):
    connection, requests = connected(httpx.Response(201, json={"id": 7, "state": "queued"}))
    assert client.submit(connection, 4, archive, "unet", "U-Net, 14 bands")["id"] == 7
    request = requests[0]
    assert (request.method, str(request.url)) == ("POST", "http://leaderboard.example/api/v1/submissions/")
    assert request.headers["Authorization"] == "Bearer secret"
    body = request.read()
    for name, value in {"phase": b"4", "method": b"unet", "description": b"U-Net, 14 bands"}.items():
        assert b'name="%s"\r\n\r\n%s\r\n' % (name.encode(), value) in body
    assert (
        b'name="archive"; filename="test.zip"\r\nContent-Type: application/zip\r\n\r\nPK the archive\r\n'
        in body
    )


def test_repeats_with_one_key_until_the_server_answers(archive, pauses):
    connection, requests = connected(
        httpx.ConnectError("refused"),
        httpx.Response(503),
        httpx.Response(429, headers={"Retry-After": "7"}),
        httpx.Response(201, json={"id": 1, "state": "queued"}),
    )
    client.submit(connection, 4, archive, "unet", "")
    keys = {request.headers["Idempotency-Key"] for request in requests}
    assert len(requests) == 4
    assert len(keys) == 1
    assert pauses == [1, 2, 7]


def test_another_archive_has_another_key(archive):
    connection, requests = connected(
        *(httpx.Response(201, json={"id": i, "state": "queued"}) for i in range(3))
    )
    client.submit(connection, 4, archive, "unet", "")
    client.submit(connection, 3, archive, "unet", "")
    archive.write_bytes(b"PK other")
    client.submit(connection, 4, archive, "unet", "")
    assert len({request.headers["Idempotency-Key"] for request in requests}) == 3


def test_gives_up_with_the_reason(archive):
    connection, _ = connected(*[httpx.ConnectError("refused")] * 4)
    with pytest.raises(
        client.ServerUnreachable,
        match=r"in 4 attempts\. leaderboard\.example cannot be reached \(ConnectError: refused\)",
    ):
        client.submit(connection, 4, archive, "unet", "")


def test_refusal_is_printed_point_by_point(archive):
    problem = {
        "title": "The archive is not valid",
        "detail": "2 problems were found.",
        "problems": [
            {"code": "missing_file", "file": "mask_3.h5", "message": "The mask is missing."},
            {"code": "too_many", "message": "There are more files than patches."},
            {
                "code": "not_hdf5",
                "file": "mask_1.h5",
                "message": "Text.",
                "count": 9,
                "files": [f"mask_{n}.h5" for n in range(1, 10)],
            },
        ],
        "errors": {"phase": ["This phase has ended."]},
    }
    answer = httpx.Response(
        400, content=json.dumps(problem), headers={"Content-Type": "application/problem+json"}
    )
    connection, requests = connected(answer)
    with pytest.raises(client.SubmissionRefused) as refused:
        client.submit(connection, 4, archive, "unet", "")
    assert str(refused.value).splitlines() == [
        "The archive is not valid (400)",
        "2 problems were found.",
        "  phase: This phase has ended.",
        "  mask_3.h5: The mask is missing.",
        "  too_many: There are more files than patches.",
        "  9 files (mask_1.h5, mask_2.h5, mask_3.h5 …): Text.",
    ]
    assert len(requests) == 1


def test_refusal_without_json_and_answers_of_other_servers(archive):
    connection, _ = connected(httpx.Response(403, text="<html>"))
    with pytest.raises(client.SubmissionRefused, match="answered 403 Forbidden"):
        client.submit(connection, 4, archive, "unet", "")
    connection, _ = connected(httpx.Response(200, text="<html>"))
    with pytest.raises(client.ServerUnreachable, match="Is the address right"):
        client.submit(connection, 4, archive, "unet", "")


def test_waits_until_the_state_is_final(pauses):
    states = ["queued", "running", "scored"]
    connection, requests = connected(
        *(httpx.Response(200, json={"id": 7, "state": state}) for state in states)
    )
    shown = []
    done = client.wait(connection, {"id": 7, "state": "queued"}, show=lambda s: shown.append(s["state"]))
    assert done["state"] == "scored"
    assert shown == states
    assert {str(request.url.path) for request in requests} == {"/api/v1/submissions/7/"}
    assert pauses == [0.5, 1, 2]
    assert client.wait(connection, {"id": 8, "state": "invalid"})["state"] == "invalid"


def test_waiting_ends():
    connection, _ = connected(httpx.Response(200, json={"id": 7, "state": "queued"}))
    with pytest.raises(client.ServerUnreachable, match="Submission 7 is still queued"):
        client.wait(connection, {"id": 7, "state": "queued"}, timeout=-1)
