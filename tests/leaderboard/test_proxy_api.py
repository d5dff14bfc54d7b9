"""What scripts are promised, behind a real nginx with deploy/nginx.conf and gunicorn: the answers of nginx and of the API alike."""

import base64
import json
import re
import socket
import ssl
import subprocess
import sys
import time
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from tests.leaderboard.factories import make_archive
from tests.proxies import ROOT, Site, nginx_command, running, whole_site, write_certificate
from tests.services import free_port

MIB = 1 << 20
PROBLEM = "application/problem+json"
NO_BREAK_SPACE = "\u00a0"
ROWS = """
import json
from datetime import timedelta
from django.utils import timezone
from leaderboard.actions.accounts import create_token
from leaderboard.models import ApiToken, Scope
from tests.leaderboard import factories as make

now, hour = timezone.now(), timedelta(hours=1)
cast = make.make_cast()
windows = {"ended": (now - 2 * hour, now - hour), "later": (now + 2 * hour, None)}
phases = {"open": cast.phase} | {
    name: make.make_phase(cast.competition, name, opens_at=begin, closes_at=end) for name, (begin, end) in windows.items()
}
for name, limits in {"daily": {"quota_per_day": 1}, "total": {"quota_total": 1}}.items():
    phases[name] = make.make_phase(cast.competition, name, **limits)
elsewhere = make.make_competition("elsewhere")
token = lambda *scopes, **more: create_token(cast.owner, "script", scopes or tuple(Scope), announce=False, **more)[1]
tokens = {"all": token(), "read": token(Scope.READ), "elsewhere": token(competition=elsewhere), "gone": token()}
ApiToken.objects.filter(token_key=tokens["gone"][:15]).delete()
print(json.dumps({"phases": {name: phase.pk for name, phase in phases.items()}, "tokens": tokens, "team": cast.team.pk}))
"""


class Script:
    """A script that knows the site's address, and ids and tokens of its rows."""

    def __init__(self, site: Site, rows: dict[str, Any]) -> None:
        self.site, self.phases, self.tokens, self.team = site, rows["phases"], rows["tokens"], rows["team"]
        self.http = httpx.Client(base_url=f"https://localhost:{site.https}/api/v1", verify=False, timeout=60)

    def bearer(self, token: str = "all") -> str:
        return f"Bearer {self.tokens[token]}"

    def submit(
        self, phase: str = "open", method: str = "U-Net", key: str = "", **more: Any
    ) -> httpx.Response:
        headers = {"Authorization": self.bearer(more.pop("token", "all")), **more.pop("headers", {})}
        headers |= {"Idempotency-Key": key} if key else {}
        archive = more.pop("archive", make_archive())
        fields = {"phase": str(self.phases[phase]), "method": method, "allow_duplicate": "true", **more}
        return self.http.post(
            "/submissions/", data=fields, files={"archive": ("a.zip", archive)}, headers=headers
        )

    def announce(
        self, path: str, *headers: str, body: bytes = b""
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Send a POST's headers, which announce a body, and `body`, which may be less; the answer must come before the rest."""
        context = ssl._create_unverified_context()
        with (
            socket.create_connection(("127.0.0.1", self.site.https), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as line,
        ):
            host = f"Host: localhost:{self.site.https}"
            lines = [f"POST {path} HTTP/1.1", host, "Connection: close", *headers, "", ""]
            line.sendall("\r\n".join(lines).encode("latin-1") + body)
            head, text = b"", b""
            while b"\r\n\r\n" not in head and (block := line.recv(65536)):
                head += block
            head, _, text = head.partition(b"\r\n\r\n")
            length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            while len(text) < length and (block := line.recv(65536)):
                text += block
        first, *rest = head.decode("latin-1").split("\r\n")
        named = [each.split(": ", 1) for each in rest]
        told = {name.lower(): value for name, value in named}
        assert len(told) == len(named), f"a header came twice: {head!r}"
        return int(first.split()[1]), told, json.loads(text)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    with whole_site(write_certificate(tmp_path_factory.mktemp("nginx"))) as site:
        made = subprocess.run(
            [sys.executable, "manage.py", "shell", "--no-imports", "-c", ROWS],
            cwd=ROOT, env=site.environment, capture_output=True, text=True, timeout=110,
        )  # fmt: skip
        assert made.returncode == 0, made.stderr
        yield Script(site, json.loads(made.stdout.splitlines()[-1]))


def told(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The body of a problem, which names itself and has no spaces that a script cannot compare."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    body = answer.json()
    assert (body["status"], body["code"]) == (status, code), body
    assert NO_BREAK_SPACE not in answer.text
    assert "\\u00a0" not in answer.text
    return body


# Refused before the body is taken

MULTIPART = "Content-Type: multipart/form-data; boundary=x"


@pytest.mark.parametrize("length", [f"Content-Length: {5 * MIB}", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize(
    ("token", "status", "code"),
    [
        (None, 401, "not_authenticated"),
        ("malformed", 401, "authentication_failed"),
        ("gone", 401, "authentication_failed"),
        ("read", 403, "insufficient_scope"),
    ],
)
def test_a_token_that_is_not_good_enough_is_refused_before_the_body(
    script, length, token, status, code
) -> None:
    given = {"malformed": "Bearer no such token"}.get(token) or (script.bearer(token) if token else None)
    sent = [length, "Expect: 100-continue", MULTIPART, *([f"Authorization: {given}"] if given else [])]
    answered, headers, body = script.announce("/api/v1/submissions/", *sent)
    assert (answered, body["status"], body["code"]) == (status, status, code), body
    assert headers["content-type"] == PROBLEM
    assert headers["cache-control"] == "no-store"
    assert headers["x-request-id"]
    challenge = headers["www-authenticate"]
    if code == "insufficient_scope":
        assert challenge == 'Bearer error="insufficient_scope", scope="submit"'
        assert body["scopes"] == ["submit"]
    else:
        assert challenge.startswith('Bearer realm="api"')
        assert ('error="invalid_token"' in challenge) == (token is not None)


def test_each_operation_with_a_body_has_its_own_scope_there(script) -> None:
    address = f"/api/v1/teams/{script.team}/description/"
    sent = [f"Content-Length: {MIB}", MULTIPART, f"Authorization: {script.bearer('read')}"]
    status, _, body = script.announce(address, *sent)
    assert (status, body["scopes"]) == (403, ["team"])


@pytest.mark.parametrize(("length", "who"), [(70 * MIB, "the server"), (131 * MIB, "nginx")])
def test_too_large_a_body_is_refused_before_it_comes(script, length: int, who: str) -> None:
    sent = [
        f"Content-Length: {length}",
        "Expect: 100-continue",
        MULTIPART,
        f"Authorization: {script.bearer()}",
    ]
    status, headers, body = script.announce("/api/v1/submissions/", *sent)
    assert (status, headers["content-type"], body["code"]) == (413, PROBLEM, "too_large"), who
    assert body["status"] == 413
    assert "www-authenticate" not in headers


@pytest.mark.parametrize("length", ["12x", "-1", "1, 1", "99999999999999999999999"])
def test_a_malformed_length_is_a_problem(script, length: str) -> None:
    status, headers, body = script.announce("/api/v1/submissions/", f"Content-Length: {length}")
    assert (status, headers["content-type"], body["code"]) == (400, PROBLEM, "parse_error")


def test_a_good_token_is_not_asked_to_wait_for_its_refusal(script) -> None:
    """Large, with `Expect` or chunked: it arrives whole and is answered by the view."""
    large = make_archive() + bytes(2 * MIB)
    for headers in ({}, {"Expect": "100-continue"}):
        assert script.submit(archive=large, headers=headers).status_code == 202
    answer = script.http.post(
        "/submissions/",
        content=iter([b"--x\r\n", b"--x--\r\n"]),
        headers={"Authorization": script.bearer(), "Content-Type": "multipart/form-data; boundary=x"},
    )
    assert "phase" in told(answer, 400, "invalid")["errors"]


def tus(script: Script, phase: str, **more: str) -> httpx.Response:
    name = base64.b64encode(str(script.phases[phase]).encode()).decode()
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(5 * MIB), "Upload-Metadata": f"phase {name}"}
    return script.http.post("/uploads/", headers={"Authorization": script.bearer(), **headers, **more})


def test_a_resumable_upload_learns_of_a_closed_phase_before_its_first_byte(script) -> None:
    told(tus(script, "ended"), 403, "phase_ended")
    assert told(tus(script, "later"), 403, "phase_not_open")["next_at"]
    told(tus(script, "open", Authorization=script.bearer("elsewhere")), 403, "insufficient_scope")
    assert tus(script, "open").status_code == 201


def test_the_question_of_the_proxy_is_nobody_elses(script) -> None:
    answer = httpx.get(f"https://localhost:{script.site.https}/api/admission", verify=False)
    assert answer.status_code == 404


# Idempotency


def test_a_key_that_was_used_for_something_else_names_what_differs(script) -> None:
    first = script.submit(key="night-7", archive=make_archive() + b"x")
    assert first.status_code == 202
    again = script.submit(key="night-7", archive=make_archive() + b"x")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    same = {"archive": make_archive() + b"x"}
    for field, change in {
        "phase": {**same, "phase": "total"},
        "archive": {"archive": make_archive() + b"y"},
        "method": {**same, "method": "V-Net"},
        "description": {**same, "description": "14 bands"},
    }.items():
        body = told(script.submit(key="night-7", **change), 409, "idempotency_key_reused")
        assert (body["submission"], list(body["errors"])) == (first.json()["id"], [field])


# Refused by meaning


def test_refusals_say_whether_and_until_when_to_wait(script) -> None:
    assert "next_at" not in told(script.submit("ended"), 403, "phase_ended")
    later = script.submit("later")
    assert told(later, 403, "phase_not_open")["next_at"]
    assert script.submit("daily").status_code == 202
    answer = script.submit("daily")
    body = told(answer, 429, "quota_used_up")
    moment, wait = datetime.fromisoformat(body["next_at"]).timestamp(), answer.headers["retry-after"]
    waits = float(wait) if wait.isdecimal() else parsedate_to_datetime(wait).timestamp() - time.time()
    assert abs(moment - time.time() - waits) < 30
    assert script.submit("total").status_code == 202
    answer = script.submit("total")
    assert "next_at" not in told(answer, 403, "total_used_up")
    assert "retry-after" not in answer.headers


def test_ones_own_team_knows_it_in_advance(script) -> None:
    answer = script.http.get("/teams/mine/", headers={"Authorization": script.bearer()})
    assert NO_BREAK_SPACE not in answer.text
    assert "\\u00a0" not in answer.text
    [mine] = answer.json()
    quotas = {each["phase"]: each for each in mine["quotas"]}
    later, ended = quotas[script.phases["later"]], quotas[script.phases["ended"]]
    assert (later["refusal_code"], bool(later["next_at"])) == ("phase_not_open", True)
    assert (ended["refusal_code"], ended["next_at"]) == ("phase_ended", None)


# The proxy's own answers


def test_a_server_that_is_away_is_a_reason_to_try_again(script, tmp_path) -> None:
    """Also where nginx would first ask it about a large body."""
    https = free_port()
    folder = write_certificate(tmp_path / "certificate")
    with running(nginx_command(folder, free_port(), https, free_port()), tmp_path / "nginx.log", https):
        for size in (10, 2 * MIB):
            answer = httpx.post(
                f"https://localhost:{https}/api/v1/submissions/", content=bytes(size), verify=False
            )
            told(answer, 503, "unavailable")
            assert answer.headers["retry-after"] == "5"
