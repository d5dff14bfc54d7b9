"""A run outside this code: exported programs predict its masks, and a large GeoTIFF is predicted without seams."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
rasterio = pytest.importorskip("rasterio")
pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
]

from rasterio.transform import from_origin  # noqa: E402

from baseline.__main__ import main  # noqa: E402
from baseline.data.dataset import BANDS, Statistics, find_split, read_image  # noqa: E402
from baseline.deploying import export, scene  # noqa: E402
from baseline.deploying.deployable import Deployable  # noqa: E402
from baseline.training import run as runs  # noqa: E402
from baseline.training.predictor import Predictor  # noqa: E402
from baseline.training.world import World  # noqa: E402

QUICK = ["--preset", "tiny", "--steps", "2", "--device", "cpu", "--threads", "1", "--precision", "float32"]
METHODS = {
    "unet": ["--width", "4"],
    "consensus": [
        "--width",
        "4",
    ],  # separated statistics, own running statistics for each split, several views
    "sklgp": ["--network", "deeplabv3plus", "--encoder", "resnet18"],
    "tanmlh": [
        "--encoder",
        "resnet18",
        "--runs",
        "2",
        "--network",
        "deeplabv3plus",
        "--no-crf",
        "--target",
        "test",
    ],
}
PLACE = from_origin(500_000, 4_000_000, 10, 10)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("runs"), {}

    def train(name):
        if name not in made:
            made[name] = folder / name
            flags = ["--data", str(data), "--out", str(made[name]), *QUICK, *METHODS[name]]
            assert main(["train", name, *flags]) == 0
        return made[name]

    return train


def opened(folder):
    name, data, options = runs.saved(folder)
    return runs.Run(folder, name, data, options, World(torch.device("cpu")))


@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "torch") for name in METHODS), ("unet", "onnx"), ("consensus", "onnx")]
)
def test_an_exported_program_predicts_the_runs_masks(name, kind, trained, capsys):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    folder = trained(name)
    assert main(["export", str(folder), f"--{kind}", "--split", "test"]) == 0
    assert "0 of " in capsys.readouterr().out
    run = opened(folder)
    predict = export._loaded(folder / "export" / f"test.{'onnx' if kind == 'onnx' else 'pt2'}")
    images = np.stack([read_image(path) for path in find_split(run.data, "test").images[:3]])
    expected = run.predicted(run.trained(), run.pool("test"))[:3]
    np.testing.assert_allclose(predict(images), expected, atol=2e-3)  # the run keeps its images as float16


def test_an_exported_program_that_predicts_something_else_is_found(trained, capsys):
    folder = trained("unet")
    path = export.write(opened(folder), "test", onnx=False)
    weights = opened(folder)
    other = weights.trained()
    for parameter in other.parameters():
        parameter.data.neg_()
    module = Deployable(other, weights.statistics("test")).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(8, 14, 128, 128),)), path)
    pixels, differing = export.check(weights, "test", path, patches=8)
    assert differing > pixels / 100


class Bright(Predictor):
    """Probability from the first band alone, the same wherever a window begins; counts its calls."""

    calls = 0

    def forward(self, images):
        self.calls += len(images)
        return torch.sigmoid(images[:, 0])


@pytest.fixture
def painted(tmp_path):
    """A GeoTIFF of odd size with a corner that holds no data, and its values."""
    values = np.random.default_rng(3).normal(1, 0.5, (14, 300, 421)).astype(np.float32)
    values[:, :40, :50] = -9999
    values[7, 200, 300] = np.nan
    path = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "width": 421, "height": 300, "count": 14, "dtype": "float32"}
    with rasterio.open(path, "w", **profile, crs="EPSG:32633", transform=PLACE, nodata=-9999) as file:
        file.write(values)
    return path, values


def test_a_scene_is_predicted_without_seams_and_keeps_its_place(painted, trained, tmp_path, monkeypatch):
    path, values = painted
    network = Bright()
    one = Statistics(np.zeros(14), np.ones(14))
    monkeypatch.setattr(scene, "deployable", lambda run, split, own: Deployable(network, own or one))
    made = scene.predict(opened(trained("unet")), path, tmp_path / "mask.tif", "test", batch=3)
    nothing = np.zeros((300, 421), bool)
    nothing[:40, :50] = nothing[200, 300] = True
    with rasterio.open(made.mask) as file:
        mask = file.read(1)
        assert (file.crs.to_epsg(), file.transform, file.nodata) == (32633, PLACE, 255)
    with rasterio.open(made.probabilities) as file:
        probabilities = file.read(1)
    expected = 1 / (1 + np.exp(-np.where(nothing, 0, values[0])))
    np.testing.assert_allclose(probabilities[~nothing], expected[~nothing], rtol=1e-5)
    assert np.isnan(probabilities[nothing]).all()
    assert (mask == np.where(nothing, 255, expected >= 0.5)).all()
    assert (made.landslide, made.nothing) == ((mask == 1).sum(), nothing.sum())
    assert network.calls == 4 * 6  # 300 and 421 pixels in windows of 128 that overlap by half
    assert {file.name for file in tmp_path.iterdir()} == {"image.tif", "mask.tif", "mask-probability.tif"}


def test_a_patch_as_a_scene_is_predicted_as_the_patch(trained, data, tmp_path, capsys):
    folder = trained("unet")
    run = opened(folder)
    image = read_image(find_split(data, "test").images[0])
    profile = {"driver": "GTiff", "width": 128, "height": 128, "count": 14, "dtype": "float32"}
    with rasterio.open(tmp_path / "patch.tif", "w", **profile, crs="EPSG:32633", transform=PLACE) as file:
        file.write(image)
    assert main(["scene", str(folder), str(tmp_path / "patch.tif"), str(tmp_path / "out.tif")]) == 0
    printed = capsys.readouterr()
    assert "pixels are landslide" in printed.out
    assert "warning" not in printed.err
    with rasterio.open(tmp_path / "out-probability.tif") as file:
        expected = run.predicted(run.trained(), run.pool("test"))[0]
        np.testing.assert_allclose(file.read(1), expected, atol=2e-3)


def test_a_scene_of_a_run_with_separated_normalisation_brings_its_own_statistics(
    trained, painted, tmp_path, monkeypatch
):
    path, values = painted
    seen = []

    def remembered(run, split, own):
        seen.append(own)
        return Deployable(Bright(), own)

    monkeypatch.setattr(scene, "deployable", remembered)
    scene.predict(opened(trained("consensus")), path, tmp_path / "mask.tif", "test")
    data = np.ones((300, 421), bool)
    data[:40, :50] = data[200, 300] = False
    np.testing.assert_allclose(seen[0].mean, values[:, data].mean(1), rtol=1e-4)
    np.testing.assert_allclose(seen[0].std, values[:, data].std(1), rtol=1e-4)


def test_other_units_are_noticed(trained, painted, tmp_path, capsys):
    path, values = painted
    with rasterio.open(path, "r+") as file:
        file.write(np.where(values == -9999, values, values * 10_000))
    scene.predict(opened(trained("unet")), path, tmp_path / "mask.tif", "test")
    assert "in the units of the training data? B1 (mean" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bands", "size", "sentence"),
    [
        (3, 200, f"has 3 bands; 14 are expected, in this order: {', '.join(BANDS)}"),
        (14, 100, "at least 128 × 128"),
    ],
)
def test_an_image_that_cannot_be_predicted_is_explained(bands, size, sentence, trained, tmp_path, capsys):
    path = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "width": size, "height": size, "count": bands, "dtype": "float32"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(np.ones((bands, size, size), np.float32))
    assert main(["scene", str(trained("unet")), str(path), str(tmp_path / "out.tif")]) == 1
    assert sentence in capsys.readouterr().err
    path.write_bytes(b"not an image")
    assert main(["scene", str(trained("unet")), str(path), str(tmp_path / "out.tif")]) == 1
    assert "cannot be read as an image" in capsys.readouterr().err
    assert not (tmp_path / "out.tif").exists()
