"""Dockerfile, docker-compose.yml, .env.example and nginx.conf agree with each other and with the code."""

import ast
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import kubernetes_validate
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
EXAMPLE = set(re.findall(r"^(?:# )?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def references(value: object) -> set[str]:
    """The variables that a part of the compose file takes from .env."""
    return set(re.findall(r"\$\{([A-Z0-9_]+)", str(value)))


def test_compose_file_follows_the_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, ROOT / "docker-compose.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_compose_file_refers_only_to_what_it_has():
    for name, service in COMPOSE["services"].items():
        missing = set(service.get("depends_on", {})) - set(COMPOSE["services"])
        assert not missing, f"{name} depends on {missing}"
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source == "./deploy/certificates":
                continue  # the operator's
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], (
                volume
            )


def test_every_service_is_hardened_and_limited():
    for name, service in COMPOSE["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        limits = service["deploy"]["resources"]["limits"]
        assert {"memory", "pids"} <= set(limits), name
        assert "build" in service or "user" in service or name == "proxy", f"{name} would run as root"
        if service["image"] != "leaderboard":
            assert re.search(r":[\d.]+-bookworm$", service["image"]), name
    # Compose never restarts an unhealthy container. These end when they fail, and the database knows which workers are alive.
    unwatched = {name for name, service in COMPOSE["services"].items() if "healthcheck" not in service}
    assert unwatched == {"migrate", "worker", "mailer", "beat"}


def test_secrets_are_files_that_git_ignores():
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"\$\{(SECRET_KEY|POSTGRES_PASSWORD)", text)
    ignored = (ROOT / ".gitignore").read_text().split()
    for name, secret in COMPOSE["secrets"].items():
        assert f"/{Path(secret['file']).parent}/" in ignored
        users = [service for service in COMPOSE["services"].values() if name in service.get("secrets", [])]
        assert users
        for service in users:
            assert f"/run/secrets/{name}" in service["environment"].values()


def test_the_worker_has_no_way_out():
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert COMPOSE["services"]["worker"]["networks"] == ["inside"]
    assert COMPOSE["services"]["worker"]["command"][-2:] == ["--queues", "celery"]
    published = [name for name, service in COMPOSE["services"].items() if "ports" in service]
    assert published == ["proxy"]


def test_only_for_a_bucket_the_worker_gets_a_way_out():
    text = (ROOT / "deploy/s3.yml").read_text()
    assert yaml.safe_load(text) == {"services": {"worker": {"networks": ["outside", "inside"]}}}
    assert "deploy/s3.yml" in (ROOT / ".env.example").read_text()


def test_the_mailer_has_one_and_sends_mail_alone():
    from leaderboard.celery import app

    assert COMPOSE["services"]["mailer"]["networks"] == ["outside", "inside"]
    assert COMPOSE["services"]["mailer"]["command"][-2:] == ["--queues", "mail"]
    routed = {
        name: app.amqp.router.route({}, name)["queue"].name
        for name in (
            "leaderboard.notifications.mails.deliver",
            "leaderboard.scoring.tasks.work",
            "leaderboard.reporting.reports.work",
        )
    }
    assert routed == {
        "leaderboard.notifications.mails.deliver": "mail",
        "leaderboard.scoring.tasks.work": "celery",
        "leaderboard.reporting.reports.work": "celery",
    }
    assert set(app.amqp.queues.consume_from) == {"celery", "mail"}, (
        "a worker hears both unless told otherwise"
    )


def test_a_running_evaluation_ends_in_peace():
    from django.conf import settings

    minutes = int(COMPOSE["services"]["worker"]["stop_grace_period"].removesuffix("m"))
    assert minutes * 60 > settings.EVALUATION_TIME_LIMIT_SECONDS


def test_the_reader_has_a_user_of_its_own():
    """The worker may become it and end it, and may do nothing else that it could not before."""
    dockerfile, worker = (ROOT / "Dockerfile").read_text(), COMPOSE["services"]["worker"]
    users = dict(re.findall(r"useradd --uid (\d+) .* (\w+) \\\n", dockerfile))
    assert users == {"10001": "leaderboard", "10002": "reader"}
    assert users[worker["environment"]["READER_UID"]] == "reader"
    assert set(worker["environment"]) > set(COMPOSE["x-server"]["environment"])
    assert (worker["user"], worker["cap_drop"]) == ("root", ["ALL"])
    assert set(worker["cap_add"]) == {"SETUID", "SETGID", "KILL"}
    setpriv = worker["command"][: worker["command"].index("celery")]
    assert {"--reuid=leaderboard", "--regid=leaderboard", "--clear-groups"} < set(setpriv)
    kept = {"+setuid,+setgid,+kill"}
    assert {each.partition("=")[2] for each in setpriv if "-caps=" in each} == kept
    ours = {
        name for name, service in COMPOSE["services"].items() if "build" in service and "cap_add" in service
    }
    assert ours == {"worker"}


def test_every_variable_is_in_the_example():
    read = set()
    for file in ("settings.py", "platform/gunicorn.py"):
        for node in ast.walk(ast.parse((ROOT / "leaderboard" / file).read_text())):
            if isinstance(node, ast.Call) and re.fullmatch(r"env\.[a-z]+", ast.unparse(node.func)):
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{file}: {ast.unparse(node)}"
                read.add(name.value)
    assert len(read) > 20
    assert read | references(COMPOSE) == EXAMPLE


def test_image_holds_the_rooms_and_starts_the_commands():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = set(re.findall(r"^COPY ([\w.]+) ", dockerfile, re.MULTILINE))
    rooms = {"leaderboard", "rehearsal", "evaluation", "baseline", "templates"}
    assert {"manage.py", "requirements.txt"} | rooms == copied
    ignored = (ROOT / ".dockerignore").read_text().split()
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored
    assert "USER leaderboard" in dockerfile
    programs = {
        service["command"][0]
        for service in COMPOSE["services"].values()
        if "build" in service and "command" in service
    }
    for program in programs - {"setpriv"}:  # of the base image
        assert shutil.which(program, path=Path(sys.executable).parent), program


KUBERNETES = {
    path.name: [document for document in yaml.safe_load_all(path.read_text()) if document]
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
    if path.name != "secret.yaml"
}
OF_OTHERS = {"ScaledObject", "Kustomization"}  # of KEDA and kustomize: the schemas are Kubernetes' own


def pods() -> dict[str, dict]:
    """The pods of all workloads by name."""
    found = (document for documents in KUBERNETES.values() for document in documents)
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"]
        for each in found
        if "template" in each.get("spec", {})
    }


def test_manifests_follow_the_schemas_of_kubernetes():
    version = kubernetes_validate.latest_version()
    checked = 0
    for documents in KUBERNETES.values():
        for document in documents:
            if document["kind"] not in OF_OTHERS:
                kubernetes_validate.validate(document, version, strict=True)
                checked += 1
    assert checked > 12
    broken = json.loads(json.dumps(KUBERNETES["web.yaml"][0]))
    broken["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)


def test_kustomization_lists_every_manifest():
    (content,) = KUBERNETES["kustomization.yaml"]
    expected = set(KUBERNETES) - {"kustomization.yaml", "secret.example.yaml"} | {"secret.yaml"}
    assert set(content["resources"]) == expected
    assert "/deploy/kubernetes/secret.yaml" in (ROOT / ".gitignore").read_text().split()


def test_manifests_run_what_compose_runs():
    assert set(pods()) == {"migrate", "web", "worker", "mailer", "beat"}
    for name, pod in pods().items():
        (container,) = pod["containers"]
        command = COMPOSE["services"][name].get("command")
        if name == "worker":  # which becomes another user there; a pod that never was root cannot
            command = command[command.index("celery") :]
        assert container.get("command") == command, name
        assert container["image"] == "leaderboard"
        assert container["resources"]["limits"]["memory"], name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["automountServiceAccountToken"] is False
    from django.conf import settings

    assert pods()["worker"]["terminationGracePeriodSeconds"] > settings.EVALUATION_TIME_LIMIT_SECONDS


def test_manifests_set_only_variables_that_there_are():
    names = {*KUBERNETES["config.yaml"][0]["data"], *KUBERNETES["secret.example.yaml"][0]["stringData"]}
    assert names <= EXAMPLE
    assert "RECEIPT_KEY" in names, "each web server would sign with a key of its own"


def test_workers_grow_with_the_age_of_the_queue():
    (scaled,) = [each for each in KUBERNETES["autoscaling.yaml"] if each["kind"] == "ScaledObject"]
    (trigger,) = scaled["spec"]["triggers"]
    assert scaled["spec"]["scaleTargetRef"]["name"] in pods()
    assert trigger["metadata"]["query"] in (ROOT / "deploy/grafana/leaderboard.json").read_text().replace(
        '\\"', '"'
    )
    assert "replicas" not in KUBERNETES["workers.yaml"][0]["spec"], "applying again would undo the scaling"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A folder with a self-signed certificate for localhost, named as certbot names them."""
    folder = tmp_path_factory.mktemp("nginx")
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(hours=1))
    signed = builder.not_valid_after(now + timedelta(days=1)).sign(key, hashes.SHA256())
    (folder / "fullchain.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


@dataclass
class Site:
    """The ports of a running proxy and of the server behind it, and where its static files lie."""

    http: int
    https: int
    web: int
    collected: Path


TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")  # folders that nginx makes


def proxy_command(certificate: Path, http: int, https: int, web: int) -> list[str]:
    """nginx with deploy/nginx.conf in front of the port ``web``."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if not nginx:
        pytest.skip("NO NGINX on this machine, so deploy/nginx.conf was not run")
    text = (ROOT / "deploy/nginx.conf").read_text()
    text = text.replace("server web:8000", f"server 127.0.0.1:{web}")
    text = re.sub(r"listen \[::\]:.*\n", "", text).replace("listen 80 ", f"listen 127.0.0.1:{http} ")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{https} ").replace("include mime.types;", "")
    text = text.replace("certificates/", f"{certificate}/").replace(
        "/tmp/nginx.pid", f"{certificate}/nginx-{web}.pid"
    )
    text = text.replace(
        "http {", "http {" + "".join(f"{kind}_temp_path {certificate}/{kind};" for kind in TEMPORARY)
    )
    path = certificate / f"nginx-{web}.conf"
    path.write_text(("user root;\n" if os.geteuid() == 0 else "") + text)
    return [nginx, "-c", str(path), "-g", "daemon off;"]


@pytest.fixture(scope="module")
def site(certificate):
    """deploy/nginx.conf in front of gunicorn as in production, both on the loopback interface."""
    http, https, web = free_port(), free_port(), free_port()
    proxy = proxy_command(certificate, http, https, web)
    environment = {
        "PATH": os.environ["PATH"], "DATA_DIR": str(certificate / "data"), "PORT": str(web), "HOST": "127.0.0.1",
        "SITE_URL": f"https://localhost:{https}", "SECRET_KEY": "only for this test " * 5, "TRUSTED_PROXIES": "1",
        "STATIC_ROOT": str(certificate / "collected"), "WEB_PROCESSES": "2",
    }  # fmt: skip
    for command in (["migrate", "-v0"], ["collectstatic", "--noinput", "-v0"]):
        subprocess.run([sys.executable, "manage.py", *command], cwd=ROOT, env=environment, check=True)
    gunicorn = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:leaderboard.platform.gunicorn",
        "leaderboard.wsgi",
    ]
    with (certificate / "log").open("wb") as log:
        processes = [
            subprocess.Popen(gunicorn, cwd=ROOT, env=environment, stdout=log, stderr=log),
            subprocess.Popen(proxy, stdout=log, stderr=log),
        ]
    try:
        wait_for(f"https://localhost:{https}/healthz", certificate / "log")
        yield Site(http, https, web, certificate / "collected")
    finally:
        for process in processes:
            process.terminate()
            process.wait(20)


def wait_for(url: str, log: Path) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            if httpx.get(url, verify=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)


def test_proxy_redirects_to_https_once(site):
    answer = httpx.get(f"http://localhost:{site.http}/accounts/login/")
    assert (answer.status_code, answer.headers["location"]) == (308, "https://localhost/accounts/login/")
    answer = httpx.get(f"https://localhost:{site.https}/accounts/login/", verify=False)
    assert answer.status_code == 200, (
        "no second redirect: the server knows from the proxy that the visitor uses TLS"
    )
    assert answer.headers["strict-transport-security"].startswith("max-age=31536000")
    assert "Secure" in answer.headers["set-cookie"]


def test_proxy_hides_the_metrics(site):
    assert httpx.get(f"https://localhost:{site.https}/metrics", verify=False).status_code == 404


def test_metrics_of_all_processes_are_added_together(site):
    for _ in range(6):  # each on a new connection, so that both processes answer
        httpx.get(f"http://127.0.0.1:{site.web}/healthz", headers={"X-Forwarded-Proto": "https"})
    found = httpx.get(f"http://127.0.0.1:{site.web}/metrics")
    assert found.status_code == 200
    counts = re.findall(r'leaderboard_request_seconds_count\{.*route="healthz".*\} ([0-9.]+)', found.text)
    assert sum(map(float, counts)) >= 6
    assert "leaderboard_queue_oldest_seconds" in found.text


def test_proxy_lets_a_body_through_that_is_a_little_too_large(site):
    """So that the server can refuse it with a sentence; what is far too large ends at the proxy."""
    url = f"https://localhost:{site.https}/accounts/login/"
    little, far = 70 * 1024 * 1024, 131 * 1024 * 1024
    answer = httpx.post(url, content=bytes(little), verify=False, timeout=60)
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
    answer = httpx.get(f"https://localhost:{site.https}/static/{name}", verify=False)
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
        proxy = subprocess.Popen(proxy_command(certificate, http, https, web))
        try:
            wait_for_port(https)
            connection = HTTPSConnection("localhost", https, context=ssl._create_unverified_context())
            forged = {"Content-Length": "4", "X-Request-Time": "3600"}
            connection.request("POST", "/", headers=forged)
            for byte in b"abcd":
                time.sleep(0.5)
                connection.send(bytes([byte]))
            [told] = json.loads(connection.getresponse().read())
            assert 2 <= float(told) < 20
        finally:
            proxy.terminate()
            proxy.wait(20)
            server.shutdown()


def wait_for_port(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.1)
