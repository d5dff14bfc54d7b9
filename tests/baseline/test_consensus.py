"""Our own method: views, averaged weights, statistics measured on each split."""

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from baseline import methods  # noqa: E402
from baseline.__main__ import main  # noqa: E402
from baseline.data.pool import Pool  # noqa: E402
from baseline.networks.cross_sensor import measure, with_cross_sensor_norm  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training.augment import oriented, unoriented  # noqa: E402
from baseline.training.options import OptionError  # noqa: E402

consensus = methods.method("consensus")


def pool(name="train", patches=6, size=16):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(patches, size, size, 14, generator=generator).half()
    return Pool(images, (images[..., 3] > 1).to(torch.uint8), name)


def network():
    return with_cross_sensor_norm(UNet(width=4), consensus.TARGETS)


@pytest.mark.parametrize("k", range(8))
def test_orientations_are_undone(k):
    x = torch.arange(12.0).view(1, 3, 4)
    assert torch.equal(unoriented(oriented(x, k), k), x)


def test_the_eight_orientations_differ():
    x = torch.arange(16).view(4, 4)
    assert len({tuple(oriented(x, k).flatten().tolist()) for k in range(8)}) == 8


def test_a_view_of_every_orientation_is_averaged():
    """The prediction for a turned patch is the turned prediction, whatever the network prefers."""
    predictor = consensus.Views(network(), 8).eval()
    images = torch.randn(2, 14, 16, 16)
    with torch.no_grad():
        straight = predictor(images)
        turned = predictor(torch.rot90(images, 1, dims=(-2, -1)))
        single = consensus.Views(predictor.networks[0], 1).eval()(images)
    torch.testing.assert_close(turned, torch.rot90(straight, 1, dims=(-2, -1)))
    assert not torch.allclose(single, straight, atol=1e-4)


def test_weights_are_averaged_by_the_decay():
    objective = consensus.Averaged(network(), pool(), consensus.Options(decay=0.75))
    weight = next(objective.network.parameters())
    before = weight.detach().clone()
    objective.after_step(0)  # the average starts at the first weights
    with torch.no_grad():
        weight.add_(1)
    objective.after_step(1)
    torch.testing.assert_close(next(objective.average.parameters()), before + 0.25)


def test_only_the_network_is_trained():
    objective = consensus.Averaged(network(), pool(), consensus.Options())
    trained = {name for name, p in objective.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("network.") for name in trained)


def test_a_prediction_uses_the_statistics_of_its_split():
    predictor = consensus.Views(network(), 1).eval()
    for norm in (m for m in predictor.modules() if hasattr(m, "targets")):
        norm.test.running_mean += 0.5
    images = torch.randn(1, 14, 16, 16)
    seen = {}
    for predictor.split in ("train", "validation", "test"):
        with torch.no_grad():
            seen[predictor.split] = predictor(images)
    assert torch.equal(seen["train"], seen["validation"])
    assert not torch.allclose(seen["test"], seen["validation"], atol=1e-4)


@pytest.mark.parametrize("wrong", [{"views": 0}, {"views": 9}, {"decay": 1.0}, {"perturbation": -0.1}])
def test_options_that_mean_nothing_are_refused(wrong):
    name, value = next(iter(wrong.items()))
    with pytest.raises(OptionError, match=f"{name} is {value}; "):
        consensus.Options(**wrong)


def test_statistics_are_measured_on_one_domain_alone():
    model = network()
    images = torch.randn(6, 14, 16, 16)
    measure(model, "test", images.split(2))
    norm = next(m for m in model.modules() if hasattr(m, "targets"))
    seen = model.encoder[0][0](images).detach()
    torch.testing.assert_close(norm.test.running_mean, seen.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(norm.test.running_var, seen.var((0, 2, 3)), atol=0.01, rtol=0.02)
    assert torch.equal(norm.source.running_mean, torch.zeros(4))
    assert torch.equal(norm.validation.running_mean, torch.zeros(4))
    assert norm.test.momentum == norm.source.momentum


@pytest.mark.parametrize("measured", [True, False])
def test_command_trains_and_measures_every_split(data, tmp_path, measured):
    run = tmp_path / "run"
    command = [
        "train",
        "consensus",
        "--data",
        str(data),
        "--out",
        str(run),
        "--preset",
        "tiny",
        "--device",
        "cpu",
    ]
    assert (
        main([*command, "--steps", "4", "--width", "4", "--measured" if measured else "--no-measured"]) == 0
    )
    weights = load_file(run / "weights.safetensors")
    means = [
        weights[f"networks.0.encoder.0.1.{name}.running_mean"] for name in ("source", *consensus.TARGETS)
    ]
    assert len({tuple(mean.tolist()) for mean in means}) == (3 if measured else 1)
    assert main(["archive", str(run), "--split", "test"]) == 0
