"""Pretrained weights: downloaded if a hub answers, otherwise taken from the cache, and reported missing at once if in neither."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from threading import Thread

import pytest

torch = pytest.importorskip("torch")

from baseline import methods  # noqa: E402
from baseline.networks import encoders  # noqa: E402
from baseline.training.run import Run  # noqa: E402
from baseline.training.world import World  # noqa: E402

pytestmark = pytest.mark.skipif(
    find_spec("segmentation_models_pytorch") is None, reason="the model libraries are an extra"
)
ENCODERS = """
import time
from baseline.networks import encoders
encoders.segmentation_models()
import timm
for name in ("test_resnet", "test_vit"):
    began = time.monotonic()
    try:
        network = encoders.features(name, bands=3, pretrained=True)
        said = float(next(network.parameters()).mean())
    except encoders.PretrainedWeightsMissing as error:
        said = error
    print(said, time.monotonic() - began, sep=" in ")
"""


def loaded(**environment):
    """What ENCODERS says of each, and the seconds it took; the hub's address and store are read when its library is imported."""
    done = subprocess.run(
        [sys.executable, "-c", ENCODERS],
        env=os.environ | {"NO_PROXY": "127.0.0.1"} | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return [
        (said, float(seconds)) for said, seconds in (x.rsplit(" in ", 1) for x in done.stdout.splitlines())
    ]


class Hub(BaseHTTPRequestHandler):
    """Has one file of weights, those of timm's test_resnet."""

    content = b""

    def do_HEAD(self):
        self.send_response(200 if "test_resnet" in self.path or self.path == "/" else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("X-Error-Code", "EntryNotFound")  # which counts where the status says so
        self.send_header("ETag", '"1"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(monkeypatch):
    from safetensors.torch import save

    encoders.segmentation_models()
    import timm

    state = timm.create_model("test_resnet").state_dict()
    monkeypatch.setattr(Hub, "content", save({name: torch.full_like(x, 0.25) for name, x in state.items()}))
    server = HTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.server_close()


def test_weights_are_downloaded_once_and_missed_at_once(hub, tmp_path):
    """The library alone would ask a hub that does not answer six times, for more than 20 seconds."""
    where = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path)}
    (there, _), (not_there, _) = loaded(**where)
    assert there == "0.25"
    assert "No pretrained weights for test_vit (" in not_there
    hub.shutdown()
    hub.server_close()
    (stored, seconds), (missing, more_seconds) = loaded(**where)
    assert stored == "0.25"
    assert f"No pretrained weights for test_vit: they are not in {tmp_path}/hub" in missing
    assert "Connect to the network once, copy that folder" in missing
    assert seconds + more_seconds < 15


def test_a_finished_run_needs_no_pretrained_weights(tmp_path, monkeypatch):
    tanmlh = methods.method("tanmlh")
    options = tanmlh.Options(pretrained=True, encoder="resnet18", device="cpu")
    asked = []
    real = tanmlh.encoders.network
    monkeypatch.setattr(
        tanmlh.encoders, "network", lambda *a, pretrained: asked.append(pretrained) or real(*a)
    )
    run = Run(tmp_path, "tanmlh", tmp_path, options, World(torch.device("cpu")))
    torch.save(tanmlh.build(options).state_dict(), tmp_path / "weights.pt")
    run.trained()
    assert asked == [True, False]
