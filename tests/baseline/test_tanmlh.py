"""Section VI of the paper: equations 5 to 9, Monte Carlo dropout, the selection, the stages."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from baseline import methods  # noqa: E402
from baseline.__main__ import main  # noqa: E402
from baseline.data.dataset import load  # noqa: E402
from baseline.data.dice import Dice  # noqa: E402
from baseline.data.pool import Pool  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training import losses  # noqa: E402
from baseline.training.options import OptionError  # noqa: E402

tanmlh = methods.method("tanmlh")
needs_libraries = pytest.mark.skipif(
    find_spec("segmentation_models_pytorch") is None, reason="the model libraries are an extra"
)


def pool(name, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 16, 16, 14, generator=generator).half()
    return Pool(images, (images[..., 3] > 1).to(torch.uint8), name)


def test_supervised_loss_is_equation_6():
    logits, labels = torch.randn(2, 2, 4, 4), torch.randint(0, 2, (2, 4, 4))
    expected = losses.cross_entropy(logits, labels) + losses.soft_jaccard(logits, labels)
    torch.testing.assert_close(tanmlh.segmentation_loss(logits, labels), expected)


@pytest.mark.parametrize("one_lambda", [True, False])
def test_mixing_is_within_each_pool_equations_8_and_9(one_lambda):
    """The mixed objective, repeated by hand: λ and orientations drawn in the same order."""
    train, target = pool("train", 0), pool("test", 1)
    network = torch.nn.Conv2d(14, 2, 1)
    options = tanmlh.Options(mix_up=0.4, one_lambda=one_lambda)
    seen = tanmlh.Mixed(network, [train, target], options)(Dice(5, 0, 4))
    dice = Dice(5, 0, 4)
    batches = [tanmlh.flips_and_turns(*p.batch(dice), dice) for p in (train, target)]
    first, second = dice.beta(0.4, 0.4), dice.beta(0.4, 0.4)
    shares = (first, first if one_lambda else second)
    for p, (images, labels), share in zip((train, target), batches, shares, strict=True):
        logits = network(share * images + (1 - share) * images.roll(1, 0))
        expected = share * tanmlh.segmentation_loss(logits, labels)
        expected += (1 - share) * tanmlh.segmentation_loss(logits, labels.roll(1, 0))
        torch.testing.assert_close(seen[p.name], expected)
    assert set(seen) == {"train", "test"}  # equation 5: their sum is what the loop minimises


def test_dropout_follows_the_first_convolution_and_only_when_switched_on():
    network = tanmlh.with_monte_carlo_dropout(UNet(width=4), 0.3).eval()
    images = torch.randn(2, 14, 16, 16)
    seen = []
    network.encoder[0][0].register_forward_hook(
        lambda module, inputs, out: seen.append((module[0](inputs[0]), out))
    )
    assert torch.equal(network(images), network(images))
    with tanmlh.monte_carlo(network):
        assert not torch.equal(network(images), network(images))
    before, after = seen[-1]
    dropped = after == 0
    assert 0.25 < dropped.float().mean() < 0.35
    torch.testing.assert_close(after[~dropped], before[~dropped] / 0.7)
    assert torch.equal(network(images), network(images))
    network.train()
    assert not any(m.on for m in network.modules() if isinstance(m, tanmlh.MonteCarloDropout))


def test_variance_is_that_of_the_runs():
    samples = torch.rand(10, 3, 4, 4)
    torch.testing.assert_close(tanmlh.variance(iter(samples)), samples.var(0, unbiased=False))


def test_recipe_is_the_papers():
    options = tanmlh.Options()
    assert (options.dropout, options.runs) == (0.3, 10)
    assert (options.keep_background, options.keep_landslide) == (0.9, 0.7)


@pytest.mark.parametrize("wrong", [{"keep_landslide": 70}, {"dropout": 1.5}, {"runs": 0}, {"mix_up": -1}])
def test_what_would_stop_the_student_is_said_before_the_teacher(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(OptionError, match=f"{name} is {value}; "):
        tanmlh.Options(**wrong)


@needs_libraries
@pytest.mark.parametrize(
    ("network", "encoder"), [("deeplabv3plus", "resnet18"), ("hrnet", "hrnet_w18_small")]
)
def test_networks_fit_the_patches_and_sharpen(network, encoder):
    options = tanmlh.Options(network=network, encoder=encoder, target="test")
    predictor = tanmlh.build(options).eval()
    images = torch.randn(1, 14, 128, 128)
    with torch.inference_mode():
        sharpened = predictor(images)
        predictor.field = None
        plain = predictor(images)
    assert sharpened.shape == plain.shape == (1, 128, 128)
    assert not torch.equal(sharpened, plain)
    without = tanmlh.build(replace(options, crf=False))
    assert without.field is None


def test_student_learns_from_the_fixed_teacher(data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        tanmlh, "_network", lambda o: tanmlh.with_monte_carlo_dropout(UNet(width=4), o.dropout)
    )
    objectives = []
    real = tanmlh.Mixed
    monkeypatch.setattr(tanmlh, "Mixed", lambda *a: objectives.append(real(*a)) or objectives[-1])
    weights = []
    select = tanmlh.pseudo_labels

    def selected(run, teacher, target):
        weights.append({k: v.clone() for k, v in teacher.state_dict().items()})
        return select(run, teacher, target)

    monkeypatch.setattr(tanmlh, "pseudo_labels", selected)
    run = tmp_path / "run"
    command = [
        "train",
        "tanmlh",
        "--data",
        str(data),
        "--out",
        str(run),
        "--preset",
        "tiny",
        "--device",
        "cpu",
    ]
    assert main([*command, "--steps", "3", "--no-crf", "--target", "test"]) == 0
    teacher, student = objectives
    assert teacher.network is not student.network
    assert all(torch.equal(weights[0][k], v) for k, v in teacher.network.state_dict().items())
    train, target = student.pools
    assert (train.name, target.name) == ("train", "test")
    chosen = target.labels.flatten()
    background, landslide, ignored = ((chosen == value).sum().item() for value in (0, 1, 255))
    assert background + landslide + ignored == 12 * 128 * 128
    # Shares of the teacher's classes: background / 0.9 + landslide / 0.7 is every pixel.
    assert background / 0.9 + landslide / 0.7 == pytest.approx(12 * 128 * 128, abs=2)
    assert not torch.equal(target.labels, torch.from_numpy(load(data, "test").masks))
    assert main(["archive", str(run), "--split", "test"]) == 0
