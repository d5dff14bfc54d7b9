"""deploy/nginx.conf in front of gunicorn, with TLS: what the proxy does, and what `manage.py doctor` says of it."""

import json
import re
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.proxies import ROOT, Site, gunicorn, nginx_command, running, whole_site, write_certificate
from tests.services import free_port

ask = partial(httpx.get, verify=False, timeout=60)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A folder with a certificate for localhost."""
    return write_certificate(tmp_path_factory.mktemp("nginx"))


@pytest.fixture(scope="module")
def site(certificate):
    with whole_site(certificate) as running_site:
        yield running_site


def test_proxy_redirects_to_https_once(site):
    answer = ask(f"http://localhost:{site.http}/accounts/login/")
    assert (answer.status_code, answer.headers["location"]) == (308, "https://localhost/accounts/login/")
    answer = ask(f"https://localhost:{site.https}/accounts/login/")
    assert answer.status_code == 200, (
        "no second redirect: the server knows from the proxy that the visitor uses TLS"
    )
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    assert "Secure" in answer.headers["set-cookie"]


def test_proxy_hides_the_metrics(site):
    assert ask(f"https://localhost:{site.https}/metrics").status_code == 404


def test_metrics_of_all_processes_are_added_together(site):
    for _ in range(6):  # each on a new connection, so that both processes answer
        ask(f"http://127.0.0.1:{site.web}/healthz", headers={"X-Forwarded-Proto": "https"})
    asked = f"http://127.0.0.1:{site.web}/metrics"
    assert ask(asked).status_code == 401, "the proxy on this machine might have sent it"
    found = ask(asked, headers={"Authorization": f"Bearer {site.environment['METRICS_TOKEN']}"})
    assert found.status_code == 200
    counts = re.findall(r'leaderboard_request_seconds_count\{.*route="healthz".*\} ([0-9.]+)', found.text)
    assert sum(map(float, counts)) >= 6
    assert "leaderboard_queue_oldest_seconds" in found.text


def test_proxy_lets_a_body_through_that_is_a_little_too_large(site):
    """So that the server can refuse it with a sentence; what is far too large ends at the proxy."""
    url = f"https://localhost:{site.https}/accounts/login/"
    little, far = 70 * 1024 * 1024, 131 * 1024 * 1024
    answer = httpx.post(url, content=bytes(little), verify=False, timeout=120)
    assert answer.status_code in (400, 403, 413)
    assert "nginx" not in answer.text
    connection = HTTPSConnection("localhost", site.https, context=ssl._create_unverified_context())
    connection.request("POST", "/accounts/login/", headers={"Content-Length": str(far)})
    assert connection.getresponse().status == 413, "refused before the body is sent"


@pytest.mark.parametrize(
    ("length", "status", "code"),
    [(str(131 * 1024 * 1024), 413, "too_large"), ("12x", 400, "parse_error")],
)
def test_what_the_proxy_refuses_has_the_shape_of_the_api(site, length: str, status: int, code: str):
    connection = HTTPSConnection("localhost", site.https, context=ssl._create_unverified_context())
    connection.request("POST", "/api/v1/submissions/", headers={"Content-Length": length})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    body = json.loads(answer.read())
    assert (body["status"], body["code"]) == (status, code)


def test_static_files_have_names_for_ever(site):
    names = json.loads((site.collected / "staticfiles.json").read_text())["paths"]
    name = next(hashed for plain, hashed in names.items() if plain.endswith(".css"))
    answer = ask(f"https://localhost:{site.https}/static/{name}")
    assert "immutable" in answer.headers["cache-control"]


class Told(BaseHTTPRequestHandler):
    """Answers with what the proxy said of the time that a request took to arrive."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        told = json.dumps(self.headers.get_all("X-Request-Time")).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_: object) -> None:
        pass


def test_proxy_says_since_when_a_body_arrives(certificate):
    """The server behind it hears of a request after its last byte; an upload counts from its first."""
    with HTTPServer(("127.0.0.1", 0), Told) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        http, https, web = free_port(), free_port(), server.server_port
        proxy = nginx_command(certificate, http, https, web)
        with running(proxy, certificate / "told.log", https):
            connection = HTTPSConnection("localhost", https, context=ssl._create_unverified_context())
            forged = {"Content-Length": "4", "X-Request-Time": "3600"}
            connection.request("POST", "/", headers=forged)
            for byte in b"abcd":
                time.sleep(0.5)
                connection.send(bytes([byte]))
            [told] = json.loads(connection.getresponse().read())
            assert 1.8 <= float(told) < 20  # nginx reads its clock once per event
        server.shutdown()


# `manage.py doctor` behind a real nginx with TLS


def doctor(site: Site, ca: Path | None, **variables: str) -> tuple[int, str]:
    """Its exit status and what it says."""
    trusted = ["--ca", str(ca / "fullchain.pem")] if ca else []
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor", *trusted],
        cwd=ROOT, env={**site.environment, **variables}, capture_output=True, text=True, timeout=110,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def test_the_doctor_finds_the_address_well(site, certificate):
    status, said = doctor(site, certificate)
    for line in (
        r"ok       DNS: localhost is ",
        r"ok       port: port \d+ answers",
        r"ok       TLS: TLSv1\.3, the certificate is valid for 29 more days",
        r"ok       server: the leaderboard answers",
        r"ok       home page: ",
        r"ok       proxy: 1 in front, as TRUSTED_PROXIES says; forged headers are not believed",
        r"ok       static files: /static/.*\.css is served",
        r"ok       migrations: all applied",
        r"ok       storage: ",
        r"ok       broker: ",
    ):
        assert re.search(line, said), said
    assert re.findall("^FAULT +(.*)", said, re.MULTILINE) == ["workers: none is alive"], "none was started"
    assert status == 1


@contextmanager
def another_proxy(site: Site, folder: Path, *changes: tuple[str, str], certificate: Path | None = None):
    """The same server behind an nginx with other settings; yields the site as its visitors know it."""
    https = free_port()
    command = nginx_command(folder, free_port(), https, site.web, *changes, certificate=certificate)
    with running(command, folder / f"nginx-{https}.log", https):
        address = f"https://localhost:{https}"
        yield Site(0, https, site.web, {**site.environment, "SITE_URL": address}, site.collected)


PROTO = "proxy_set_header X-Forwarded-Proto $scheme;"


PASSED_ON = """map $http_x_forwarded_proto $proto { "" https; default $http_x_forwarded_proto; }
    upstream web {"""


@pytest.mark.parametrize(
    ("changes", "found", "fix"),
    [
        ([(PROTO, "")], "redirect: every page would lead to itself", "X-Forwarded-Proto"),
        (
            [(PROTO, "proxy_set_header X-Forwarded-Proto $proto;"), ("upstream web {", PASSED_ON)],
            "proxy: a client's own X-Forwarded-Proto reaches the server",
            PROTO[:-1],
        ),
        (
            [("X-Forwarded-For $proxy_add_x_forwarded_for", "X-Other $remote_addr")],
            "proxy: clients can choose the address",
            "$proxy_add_x_forwarded_for",
        ),
        ([("X-Request-Time $request_time", "X-Other 1")], "when their upload began", "X-Request-Time"),
        ([("Host $http_host", "Host elsewhere.example")], "does not know the host name", "Host $http_host"),
        (
            [("proxy_pass http://web;", "proxy_pass http://127.0.0.1:9;")],
            "does not reach the web server (50",
            "upstream",
        ),
        ([("proxy_pass http://web;", "return 200 hello;")], "something other than the", "Correct SITE_URL"),
    ],
)
def test_the_doctor_names_what_is_wrong_with_the_proxy(site, certificate, changes, found, fix):
    with another_proxy(site, certificate, *changes) as other:
        status, said = doctor(other, certificate)
    [line] = [line for line in said.splitlines() if line.startswith("FAULT") and "workers" not in line]
    assert found in line
    assert fix in said
    assert status == 1


@pytest.mark.parametrize(
    ("name", "days", "trusted", "found"),
    [
        ("localhost", 30, False, "self-signed"),
        ("localhost", -1, True, "expired"),
        ("other.example", 30, True, "ostname mismatch"),
        ("localhost", 5, True, "warning  TLS: TLSv1.3, the certificate is valid for 4 more days"),
    ],
)
def test_the_doctor_names_what_is_wrong_with_the_certificate(site, tmp_path, name, days, trusted, found):
    folder = write_certificate(tmp_path / "certificate", name, days)
    with another_proxy(site, tmp_path, certificate=folder) as other:
        _, said = doctor(other, folder if trusted else None)
    [line] = [line for line in said.splitlines() if " TLS:" in line]
    assert found in line
    assert "-> " in said.split(line)[1].splitlines()[1]


def test_nobody_listens(site, certificate):
    _, said = doctor(site, certificate, SITE_URL=f"https://localhost:{free_port()}")
    assert "does not answer: Connection refused" in said
    _, said = doctor(site, certificate, SITE_URL="https://no-such-host.invalid")
    assert "FAULT    DNS: no-such-host.invalid has no address" in said
    _, said = doctor(site, certificate, SITE_URL=f"https://localhost:{site.http}")
    assert "does not speak TLS" in said


def test_another_key_is_named(site, certificate):
    _, said = doctor(site, certificate, SECRET_KEY="another key for this test " * 3)
    assert "the web server does not recognise this command" in said


def test_a_forgotten_proxy_is_told_instead_of_redirecting_for_ever(site, certificate):
    """TRUSTED_PROXIES missing behind TLS: visitors, log and doctor say what to set. `manage.py serve` starts without it."""
    https, web = free_port(), free_port()
    variables = {
        **site.environment,
        "TRUSTED_PROXIES": "0",
        "PORT": str(web),
        "SITE_URL": f"https://localhost:{https}",
    }
    log = certificate / "forgotten.log"
    with (
        running([sys.executable, "manage.py", "serve"], log, web, {**variables, "WORKER_CONCURRENCY": "1"}),
        running(
            nginx_command(certificate, free_port(), https, web), certificate / f"nginx-{https}.log", https
        ),
    ):
        answer = ask(f"https://localhost:{https}/")
        assert (answer.status_code, answer.headers.get("location")) == (500, None)
        assert "TRUSTED_PROXIES=1" in answer.text
        assert ask(f"https://localhost:{https}/healthz").status_code == 200
        forgotten = Site(0, https, web, variables, site.collected)
        status, said = doctor(forgotten, certificate)
        assert "FAULT    redirect: every page would lead to itself for ever" in said
        assert "TRUSTED_PROXIES=1" in said
        assert status == 1
    assert log.read_text().count("would redirect for ever") == 1, "once a minute is enough"


def test_gunicorn_refuses_to_start_without_a_proxy(site):
    """Fifteen slow clients would block all its threads."""
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:leaderboard.platform.gunicorn",
        "leaderboard.wsgi",
    ]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**site.environment, "TRUSTED_PROXIES": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "gunicorn needs a proxy" in done.stderr
    assert "manage.py serve" in done.stderr
    assert "Traceback" not in done.stderr


def test_gunicorn_listens_on_all_addresses(site, certificate):
    web = free_port()
    with gunicorn(certificate, site.https, web, HOST="::"):
        for address in ("127.0.0.1", "[::1]"):
            answer = ask(f"http://{address}:{web}/healthz", headers={"Host": f"localhost:{site.https}"})
            assert answer.status_code == 200
