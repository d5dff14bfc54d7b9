"""Section VII of the paper: equations 10 and 11, Fig. 12 and 13, and the second training."""

import math
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from baseline import methods  # noqa: E402
from baseline.__main__ import main  # noqa: E402
from baseline.networks.multispectral import SMU, MultispectralUNet  # noqa: E402
from baseline.training.loop import learning_rate  # noqa: E402
from baseline.training.options import from_dict  # noqa: E402

sklgp = methods.method("sklgp")


@pytest.mark.parametrize(("alpha", "mu"), [(0.25, 1.0), (0.0, 0.7), (0.25, 40.0)])
def test_smu_is_equation_11(alpha, mu):
    x = torch.linspace(-6, 6, 241, dtype=torch.float64, requires_grad=True)
    unit = SMU(alpha, mu).double()
    expected = [(v * (1 + alpha) + v * (1 - alpha) * math.erf(mu * (1 - alpha) * v)) / 2 for v in x.tolist()]
    torch.testing.assert_close(unit(x), torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-7)
    assert torch.autograd.gradcheck(unit, x)
    unit(x).sum().backward()
    assert unit.mu.grad is not None  # μ is learnt


def test_smu_becomes_the_leaky_relu():
    x = torch.linspace(-3, 3, 13)
    torch.testing.assert_close(SMU(0.25, 1e6)(x), torch.maximum(x, 0.25 * x))


def shapes_of(network, images):
    """The output shape of every module, by name."""
    seen = {}
    for name, module in network.named_modules():
        module.register_forward_hook(lambda m, i, out, name=name: seen.__setitem__(name, tuple(out.shape)))
    network(images)
    return seen


def test_shapes_of_figure_12():
    with torch.device("meta"):
        shapes = shapes_of(MultispectralUNet(), torch.randn(1, 14, 128, 128))
    assert shapes["high"] == shapes["general"] == (1, 128, 128, 128)
    assert {shape[-1] for name, shape in shapes.items() if name.startswith("high")} == {
        128
    }  # no downsampling
    assert min(shape[-1] for shape in shapes.values()) == 16  # three downsamplings
    assert shapes[""] == (1, 2, 128, 128)


def test_high_resolution_branch_sees_the_10_m_bands():
    network = MultispectralUNet(width=4)
    seen = []
    network.high.register_forward_hook(lambda module, inputs, out: seen.append(inputs[0]))
    images = torch.arange(14.0).view(1, 14, 1, 1).expand(1, 14, 32, 32)
    network(images)
    assert seen[0][0, :, 0, 0].tolist() == [1, 2, 3, 7]  # B2, B3, B4, B8


def test_every_parameter_is_used():
    network = MultispectralUNet(width=4)
    network(torch.randn(2, 14, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_recipe_is_the_papers():
    options = sklgp.Options()
    assert (options.batch, options.optimiser, options.schedule) == (8, "adam", "restarts")
    assert 3799 - round(options.holdout * 3799) == 3539
    epoch = 3539 / 8
    assert options.steps / epoch == pytest.approx(200, rel=2e-3)
    assert options.warmup / epoch == pytest.approx(2, rel=2e-3)
    assert options.warmup_from == 1e-5


def test_schedule_of_figure_13():
    options = from_dict(sklgp.Options, {"steps": 710, "warmup": 10, "cycle": 100})
    rates = [learning_rate(step, options) for step in range(710)]
    assert rates[0] == pytest.approx(1e-5 + (1e-3 - 1e-5) / 10)
    assert [step for step in range(1, 710) if rates[step] > 1.5 * rates[step - 1] and step > 9] == [110, 310]
    assert rates[10] == rates[110] == rates[310] == 1e-3
    assert max(rates[109], rates[309], rates[709]) < 1e-6


def test_second_training_takes_the_annotated_validation_set(data, tmp_path, monkeypatch):
    pools = {}
    real = sklgp.Supervised

    def watched(network, pool, loss):
        pools[len(pools)] = (pool, network)
        return real(network, pool, loss)

    monkeypatch.setattr(sklgp, "Supervised", watched)
    run = tmp_path / "run"
    arguments = [
        "train",
        "sklgp",
        "--data",
        str(data),
        "--out",
        str(run),
        "--preset",
        "tiny",
        "--steps",
        "3",
        "--device",
        "cpu",
    ]
    assert main([*arguments, "--evaluate-every", "0"]) == 0
    (first, first_network), (second, second_network) = pools.values()
    assert (len(first), len(second)) == (22, 30)  # 24 less two held out; eight of the validation set more
    assert first_network is not second_network
    truth = sklgp_labels(data)
    assert torch.equal(second.labels[:22], first.labels)
    assert not torch.equal(second.labels[22:], truth)
    assert set(second.labels[22:].unique().tolist()) <= {0, 1}
    assert {path.stem for path in (run / "stages").glob("*.pt")} == {"first", "second"}
    assert main(["archive", str(run), "--split", "test"]) == 0


def sklgp_labels(data):
    from baseline.data.dataset import load

    return torch.from_numpy(load(data, "validation").masks)


@pytest.mark.skipif(
    find_spec("segmentation_models_pytorch") is None, reason="the model libraries are an extra"
)
@pytest.mark.parametrize("network", ["deeplabv3", "deeplabv3plus"])
def test_compared_networks_fit_the_patches(network):
    options = from_dict(sklgp.Options, {"network": network, "encoder": "resnet18"})
    predictor = sklgp.build(options).eval()
    assert predictor(torch.randn(1, 14, 128, 128)).shape == (1, 128, 128)


def test_comparison_is_one_command(data, tmp_path, capsys, monkeypatch):
    rows = sklgp.STUDIES["networks"].rows
    assert list(rows) == ["unet", "deeplabv3", "deeplabv3plus", "multispectral"]
    monkeypatch.delitem(rows, "deeplabv3")
    monkeypatch.delitem(rows, "deeplabv3plus")
    command = ["study", "sklgp", "networks", "--data", str(data), "--out", str(tmp_path), "--preset", "tiny"]
    command += [
        "--device",
        "cpu",
        "--steps",
        "1",
        "--seeds",
        "0",
        "1",
        "--evaluate-every",
        "0",
        "--log-every",
        "1",
    ]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert "| unet |" in table
    assert "| multispectral |" in table
    assert "±" in table
    assert len(list(tmp_path.glob("*/metrics.json"))) == 4
    assert main(["study", "sklgp", "colours", "--data", str(data)]) == 1
    assert "sklgp has no study 'colours'. It has: networks." in capsys.readouterr().err
