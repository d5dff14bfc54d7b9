"""What the headers of a request decide is answered before its body is taken; above every limit, errors keep their shape."""

import json
import socket
import threading
from collections.abc import Iterator

import pytest
import waitress
from django.conf import settings

from leaderboard.actions.accounts import create_token
from leaderboard.api.early import EarlyChannel
from leaderboard.models import ApiToken, Scope, User
from tests.leaderboard.factories import make_user

BIG = 200_000
INVALID_TOKEN = 'Bearer realm="api", error="invalid_token", error_description="This token is'


def application(environ, start_response):
    length = len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"took {length}".encode()]


@pytest.fixture
def port() -> Iterator[int]:
    """Of a waitress with the channel that `manage.py serve` uses."""
    channels: dict = {}
    server = waitress.create_server(
        application, host="127.0.0.1", port=0, threads=1, map=channels, max_request_body_size=10**9
    )
    server.channel_class = EarlyChannel
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server.effective_port
    server.close()
    server.task_dispatcher.shutdown()


def ask(
    port: int, *headers: str, path: str = "/api/v1/submissions/", body: bytes = b"", method: str = "POST"
) -> tuple[str, dict]:
    """Send the headers, and `body`, which may be less than what they announce; returns head and body of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    head, _, text = answer.partition("\r\n\r\n")
    return head, json.loads(text) if "problem+json" in head else {"text": text}


def assert_refused(answer: tuple[str, dict], status: int, code: str) -> str:
    head, body = answer
    assert head.startswith(f"HTTP/1.1 {status} "), answer
    assert "Content-Type: application/problem+json" in head
    assert (body["status"], body["code"]) == (status, code)
    assert "100 Continue" not in head
    assert "\r\nX-Request-Id: " in head
    return head


def test_too_large_is_said_before_the_body_comes(port: int) -> None:
    length = settings.MAX_UPLOAD_BYTES + BIG
    answer = ask(port, f"Content-Length: {length}", "Expect: 100-continue", "Authorization: Bearer x")
    assert_refused(answer, 413, "too_large")
    assert f"{settings.MAX_UPLOAD_BYTES:,}" in answer[1]["detail"]


@pytest.mark.parametrize(
    ("header", "code", "challenge"),
    [
        ("X-Nothing: 1", "not_authenticated", 'Bearer realm="api"\r\n'),
        ("Authorization: Bearer x", "authentication_failed", INVALID_TOKEN),
        ("Authorization: bearer l4s_\xfc", "authentication_failed", INVALID_TOKEN),
    ],
)
def test_no_token_or_a_malformed_one(port: int, header: str, code: str, challenge: str) -> None:
    head = assert_refused(ask(port, f"Content-Length: {BIG}", "Expect: 100-continue", header), 401, code)
    assert f"\r\nwww-authenticate: {challenge}".lower() in f"{head}\r\n".lower()


@pytest.mark.django_db(transaction=True)
def test_an_unknown_token_is_refused_and_a_known_one_is_not(port: int) -> None:
    unknown = f"Authorization: Bearer l4s_{'0' * 60}"
    known = f"Authorization: Bearer {create_token(make_user(), 'test')[1]}"
    if not settings.POSTGRESQL:
        assert_refused(ask(port, f"Content-Length: {BIG}", unknown), 401, "authentication_failed")
    _, body = ask(port, f"Content-Length: {BIG}", known, body=bytes(BIG))
    assert body == {"text": f"took {BIG}"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("method", "path", "wanted"),
    [
        ("POST", "/api/v1/submissions/", "submit"),
        ("PATCH", "/api/v1/uploads/00000000-0000-0000-0000-000000000000/", "submit"),
        ("POST", "/api/v1/teams/7/description/", "team"),
        ("POST", "/api/v1/account/delete/", "read submit team organise"),
    ],
)
def test_a_token_without_the_scope_is_refused_before_its_body(
    port: int, method: str, path: str, wanted: str
) -> None:
    if settings.POSTGRESQL:
        pytest.skip("the one loop of waitress does not wait for a database elsewhere; nginx asks it")
    token = f"Authorization: Bearer {create_token(make_user(), 'test', [Scope.READ])[1]}"
    answer = ask(port, f"Content-Length: {BIG}", "Expect: 100-continue", token, path=path, method=method)
    head = assert_refused(answer, 403, "insufficient_scope")
    assert answer[1]["scopes"] == wanted.split()
    assert f'error="insufficient_scope", scope="{wanted}"' in head


@pytest.mark.django_db(transaction=True)
def test_what_a_view_decides_is_left_to_it(port: int) -> None:
    """No operation, no such address, a token without an end; an account that is closed is known from its token."""
    user = make_user()
    token, text = create_token(user, "test", [Scope.SUBMIT])
    header = f"Authorization: Bearer {text}"
    ApiToken.objects.filter(pk=token.pk).update(expiry=None)
    for path in ("/api/v1/submissions/", "/api/v1/phases/", "/api/v1/nowhere/", "/api/v1/submissions/?a=b"):
        _, body = ask(port, f"Content-Length: {BIG}", header, path=path, body=bytes(BIG))
        assert body == {"text": f"took {BIG}"}, path
    User.objects.filter(pk=user.pk).update(is_active=False)
    if not settings.POSTGRESQL:
        assert_refused(ask(port, f"Content-Length: {BIG}", header), 401, "authentication_failed")


@pytest.mark.parametrize("length", ["12x", "-1", "1, 1", "٣"])
def test_a_malformed_length(port: int, length: str) -> None:
    assert_refused(ask(port, f"Content-Length: {length}"), 400, "parse_error")


def test_pages_are_left_as_they_are(port: int) -> None:
    head, body = ask(port, "Content-Length: 3", path="/accounts/login/", body=b"abc")
    assert body == {"text": "took 3"}
    head, _ = ask(port, "Content-Length: 12x", path="/accounts/login/")
    assert head.startswith("HTTP/1.1 400 ")
    assert "text/plain" in head
    head, body = ask(port, "Content-Length: 3", "Cookie: sessionid=x", body=b"abc")
    assert body == {"text": "took 3"}
