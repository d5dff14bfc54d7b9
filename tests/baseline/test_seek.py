"""Section V of the paper: equations 1 to 4, Tables III to V."""

from functools import partial
from importlib.util import find_spec
from itertools import product

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from baseline import methods  # noqa: E402
from baseline.__main__ import main  # noqa: E402
from baseline.data.dice import Dice  # noqa: E402
from baseline.data.pool import Pool  # noqa: E402
from baseline.data.spectral import SETS, Spectral, inputs, principal_components  # noqa: E402
from baseline.networks import encoders  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training import losses  # noqa: E402
from baseline.training.loop import Stage  # noqa: E402
from baseline.training.options import OptionError  # noqa: E402
from baseline.training.world import World  # noqa: E402

seek = methods.method("seek")
needs_libraries = pytest.mark.skipif(
    find_spec("segmentation_models_pytorch") is None, reason="the model libraries are an extra"
)


@pytest.fixture
def pool():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(14, 14, generator=generator)
    images = (torch.randn(6, 16, 16, 14, generator=generator) @ mixing).half()
    return Pool(images, (images[..., 3] > 3).to(torch.uint8), "train")


def test_band_sets_are_those_of_table_3():
    table = {
        "rgb": 3,
        "swir": 3,
        "ngb": 3,
        "pca": 3,
        "rgb+nir": 4,
        "rgb+swir": 6,
        "rgb+nir+swir": 7,
        "all": 14,
    }
    assert {name: inputs(name) for name in table} == table
    images = torch.arange(1.0, 15.0).view(1, 14, 1, 1).expand(1, 14, 2, 2)  # band n has the value n
    given = {
        name: Spectral(name, torch.nn.Identity()).mixed(images)[0, :, 0, 0].tolist()
        for name in ("rgb", "swir", "ngb")
    }
    assert given == {"rgb": [4, 3, 2], "swir": [10, 11, 12], "ngb": [8, 3, 2]}


def test_pca_is_that_of_numpy(pool):
    values = pool.images.float().reshape(-1, 14).numpy().astype(float)
    variances, directions = np.linalg.eigh(np.cov(values.T, bias=True))
    found = principal_components(pool, 3).numpy()
    for i in range(3):
        expected = directions[:, -1 - i] / np.sqrt(variances[-1 - i])
        assert min(np.abs(found[i] - expected).max(), np.abs(found[i] + expected).max()) < 1e-4
    mixed = np.cov((values @ found.T).T, bias=True)
    np.testing.assert_allclose(mixed, np.eye(3), atol=1e-3)


def test_fitted_pca_is_saved_with_the_weights(pool):
    spectral = Spectral("pca", torch.nn.Identity())
    spectral.fit(pool)
    copy = Spectral("pca", torch.nn.Identity())
    copy.load_state_dict(spectral.state_dict())
    assert torch.equal(copy.mixture, principal_components(pool, 3))


def test_stage_1_is_equation_1_and_stage_2_equation_4(pool):
    options = seek.Options(cap=50.0)
    network = seek.ImageLevel(Spectral("rgb", UNet(bands=3, width=4)))
    first = partial(seek.weighted_loss, options), losses.lovasz_softmax
    dice = Dice(3, 0, 4)
    images, labels = seek.flips_and_turns(*pool.batch(dice), dice)
    network.eval()
    logits, scores = network(images)
    weights = losses.balancing_weights(labels, cap=50.0)
    wce = losses.weighted_cross_entropy(logits, labels, weights)
    found = seek.Balanced(network, pool, first, two_sided=False).eval()(Dice(3, 0, 4))
    expected = (
        wce + losses.lovasz_softmax(logits, labels) + losses.image_level(scores, labels, two_sided=False)
    )
    torch.testing.assert_close(sum(found.values()), expected)
    found = seek.Balanced(network, pool, (losses.cross_entropy,), two_sided=True).eval()(Dice(3, 0, 4))
    expected = losses.cross_entropy(logits, labels) + losses.image_level(scores, labels)
    torch.testing.assert_close(sum(found.values()), expected)


def test_stage_2_fixes_the_encoder_and_its_statistics(pool, tmp_path):
    network = seek.ImageLevel(Spectral("rgb", UNet(bands=3, width=4)))
    objective = seek.Balanced(network, pool, (losses.cross_entropy,), two_sided=True)
    objective.fix_encoder()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    options = seek.Options(steps=3, batch=4, log_every=3, warmup=0)
    Stage("stage-2", objective, options, World(torch.device("cpu")), tmp_path / "stage.pt").fit()
    for name, value in network.state_dict().items():
        fixed = ".encoder." in name or name.endswith("mixture")
        assert torch.equal(value, before[name]) == fixed, name


def test_image_level_score_comes_from_the_deepest_features():
    unet = UNet(bands=3, width=4)
    network = seek.ImageLevel(Spectral("rgb", unet)).eval()
    images = torch.randn(2, 14, 16, 16)
    logits, scores = network(images)
    deepest = unet.encode(images[:, [3, 2, 1]])[-1]
    torch.testing.assert_close(scores, network.layer(deepest.mean((2, 3)))[:, 0])
    torch.testing.assert_close(logits, unet(images[:, [3, 2, 1]]))


@needs_libraries
@pytest.mark.parametrize("network", ["swin", "deeplabv3"])
def test_library_networks_have_both_outputs(network):
    predictor = seek.build(seek.Options(network=network, deeplabv3="resnet18", target="test"))
    both = seek.ImageLevel(predictor.networks[0]).eval()
    images = torch.randn(1, 14, 128, 128)
    with torch.inference_mode():
        logits, scores = both(images)
        assert (logits.shape, scores.shape) == ((1, 2, 128, 128), (1,))
        torch.testing.assert_close(predictor.eval()(images), logits.softmax(1)[:, 1])


def test_studies_are_the_tables():
    bands, balance, confidence = (
        [seek.Options(**row) for row in seek.STUDIES[name].rows.values()]
        for name in ("bands", "balance", "confidence")
    )
    assert {(o.bands, o.network) for o in bands} == set(
        product((*SETS, "pca"), ("swin", "deeplabv3", "unet"))
    )
    assert {(o.training, o.confident) for o in bands} == {("normal", 0.0)}
    rows = ("normal", "weighted", "focal", "lovasz", "balanced")
    assert {(o.training, o.network) for o in balance} == set(product(rows, ("swin", "unet")))
    assert {o.confident for o in balance} == {0.0}
    assert [o.confident for o in confidence] == [0.0, 1.0, 0.5, 0.7, 0.9, 1.0]
    assert [o.pseudo_labels for o in confidence] == [True, False, True, True, True, True]
    assert len(bands) == 8 * 3
    assert len(balance) == 5 * 2
    assert list(seek.STUDIES["confidence"].rows) == [
        "before",
        "control: labelled patches alone",
        "λ = 50 %",
        "λ = 70 %",
        "λ = 90 %",
        "λ = 100 %",
    ]


def test_shares_are_not_percent():
    with pytest.raises(OptionError, match=r"confident is 70; .* \(0.7 is λ = 70 %\)"):
        seek.Options(confident=70)
    with pytest.raises(OptionError, match="cap is 0; it must be more than 0"):
        seek.Options(cap=0)
    with pytest.raises(ValueError, match="swin_width is 40; it must be a multiple of 24"):
        encoders.swin("swin_tiny_patch4_window7_224", 128, 40)


@pytest.mark.parametrize(
    ("flags", "stages"),
    [
        (
            ["--confident", "0.7", "--bands", "pca"],
            {"stage-1", "stage-2", "self-training-validation", "self-training-test"},
        ),
        (["--confident", "0", "--training", "weighted", "--per-image"], {"stage-1"}),
        (["--confident", "0", "--training", "focal"], {"stage-1"}),
    ],
)
def test_stages_of_a_run(flags, stages, data, tmp_path):
    run = tmp_path / "run"
    command = ["train", "seek", "--data", str(data), "--out", str(run), "--preset", "tiny", "--device", "cpu"]
    assert main([*command, "--network", "unet", "--width", "4", "--steps", "4", *flags]) == 0
    assert {path.stem for path in (run / "stages").glob("*.pt")} == stages
    assert main(["archive", str(run), "--split", "test"]) == 0
