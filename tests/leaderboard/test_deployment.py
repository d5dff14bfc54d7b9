"""Dockerfile, docker-compose.yml, .env.example and nginx.conf agree with each other and with the code."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

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


@pytest.mark.parametrize("files", [(), ("deploy/s3.yml",)])
def test_docker_compose_reads_the_file(tmp_path: Path, files: tuple[str, ...]) -> None:
    """`docker compose config`: what Compose itself makes of file and variables, which needs no engine."""
    command = compose_command()
    for name in ("docker-compose.yml", *files):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    named = [word for name in ("docker-compose.yml", *files) for word in ("--file", name)]
    done = subprocess.run(
        [*command, *named, "config", "--format", "json"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr  # a variable that is not set would be a warning
    read = json.loads(done.stdout)["services"]
    assert set(read) == set(COMPOSE["services"])
    assert ("outside" in read["worker"]["networks"]) is bool(files)
    assert read["worker"]["environment"]["READER_UID"] == "10002"


def compose_command() -> list[str]:
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    ):
        return ["docker", "compose"]
    unpacked = ROOT / ".venv/compose/docker-compose"
    if not unpacked.exists():
        pytest.skip("NO docker compose on this machine: `make compose` fetches Debian's")
    return [str(unpacked)]


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
