"""deploy/prometheus and deploy/grafana against a real Prometheus that scrapes what /metrics really says."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from evaluation.archive.problems import empty_file
from tests.leaderboard import factories
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
PROMETHEUS = ROOT / "deploy/prometheus"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((ROOT / "deploy/grafana/leaderboard.json").read_text())
QUERIES = [rule["expr"] for rule in RULES]
QUERIES += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="NO promtool (on Debian: apt install prometheus)"
)


@needs_promtool
def test_alerts_fire_when_they_should_and_not_before():
    for command in (["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    tried = {
        case["alertname"]
        for test in yaml.safe_load((PROMETHEUS / "alerts_test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert tried == {rule["alert"] for rule in RULES}


@needs_promtool
def test_prometheus_accepts_the_configuration(tmp_path):
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    (tmp_path / "prometheus/metrics_token").write_text("token")
    done = subprocess.run(
        ["promtool", "check", "config", tmp_path / "prometheus/prometheus.yml"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def metrics(client, cast) -> str:
    """What /metrics says of a server in use."""
    factories.make_submission(cast.team, cast.phase)
    factories.make_submission(cast.team, cast.phase, state="queued")
    factories.make_submission(cast.team, cast.phase, state="invalid", problems=(empty_file(),))
    factories.make_phase(cast.competition, "full", quota_total=0)
    client.force_login(cast.owner)
    client.get("/")
    client.post(f"/c/{cast.competition.slug}/submit/", {"phase": "full"})
    client.logout()
    from leaderboard.platform.counters import REFUSALS

    REFUSALS.labels("quota").inc()
    return client.get("/metrics").content.decode()


@pytest.fixture
def scraped(metrics, tmp_path) -> Iterator[str]:
    """The address of a Prometheus that has scraped these metrics twice."""
    if shutil.which("prometheus") is None:
        pytest.skip("NO prometheus (on Debian: apt install prometheus)")

    class Handler(BaseHTTPRequestHandler):
        asked = 0

        def do_GET(self):
            Handler.asked += 1
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(metrics.encode())

        def log_message(self, *arguments):
            pass

    source, port = ThreadingHTTPServer(("127.0.0.1", 0), Handler), free_port()
    Thread(target=source.serve_forever, daemon=True).start()
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    (job,) = config["scrape_configs"]
    del job["authorization"], config["rule_files"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{source.server_port}"]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
    ]
    process = subprocess.Popen(
        [*command, f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while Handler.asked < 4:
            assert process.poll() is None
            assert time.monotonic() < end, "Prometheus did not scrape"
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/api/v1/query"
    finally:
        process.terminate()
        process.wait(30)
        source.shutdown()
        source.server_close()


@pytest.mark.django_db
def test_every_query_finds_what_it_asks_for(scraped, metrics):
    for query in QUERIES:
        answer = httpx.get(scraped, params={"query": query}).json()
        assert answer["status"] == "success", f"{query}: {answer}"
        selected = re.sub(r"\s*(==|>|<)\s*[\d.]+( and .*)?$", "", query)
        found = httpx.get(scraped, params={"query": selected}).json()["data"]["result"]
        if "/" not in query:  # a ratio over no requests is NaN
            assert found, f"{selected} finds nothing in /metrics"


@pytest.mark.django_db
def test_every_name_and_label_is_one_that_the_server_gives(metrics):
    there = {
        (sample.name, *sample.labels.items())
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
    }
    names = {name for name, *_ in there}
    for query in QUERIES:
        asked = set(re.findall(r"leaderboard_\w+", query))
        assert asked <= names, f"{query}: {asked - names}"
        for name, label, value in re.findall(r'(leaderboard_\w+)\{(\w+)="([^"]+)"\}', query):
            assert any(name == sample[0] and (label, value) in sample for sample in there), query


def test_the_dashboard_is_whole():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = set()
    for panel in DASHBOARD["panels"]:
        assert panel["title"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies on another panel"
        assert max(x for x, _ in cells) < 24
        taken |= cells
