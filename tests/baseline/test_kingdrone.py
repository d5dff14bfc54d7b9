"""Section IV of the paper: scale promotion, cross-sensor normalisation, the losses, refinement rounds, Fig. 6."""

from dataclasses import replace
from importlib.util import find_spec
from itertools import pairwise

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from baseline import methods  # noqa: E402
from baseline.__main__ import main  # noqa: E402
from baseline.data.dataset import load  # noqa: E402
from baseline.data.dice import Dice  # noqa: E402
from baseline.data.pool import Pool  # noqa: E402
from baseline.networks.cross_sensor import CrossSensorNorm, adopt, domain, with_cross_sensor_norm  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training import losses, world  # noqa: E402
from baseline.training.options import OptionError  # noqa: E402

kingdrone = methods.method("kingdrone")
needs_libraries = pytest.mark.skipif(
    find_spec("segmentation_models_pytorch") is None, reason="the model libraries are an extra"
)


def small_network(name="", options=None):
    return with_cross_sensor_norm(UNet(width=4))


def test_domains_have_statistics_of_their_own_and_share_weights():
    norm = CrossSensorNorm(torch.nn.BatchNorm2d(3, momentum=1.0)).train()
    near, far = torch.randn(8, 3, 4, 4), 5 + 2 * torch.randn(8, 3, 4, 4)
    norm(near)
    with domain(norm, "target"):
        norm(far)
    torch.testing.assert_close(norm.source.running_mean, near.mean((0, 2, 3)))
    torch.testing.assert_close(norm.target.running_mean, far.mean((0, 2, 3)))
    assert norm.source.weight is norm.target.weight
    assert len(list(norm.parameters())) == 2
    norm.eval()
    torch.testing.assert_close(norm(near).mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    with domain(norm, "target"):
        torch.testing.assert_close(norm(far).mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    assert norm.domain == "source"


def test_target_starts_from_the_source():
    network = small_network().train()
    network(torch.randn(4, 14, 16, 16))
    images = torch.randn(2, 14, 16, 16)
    network.eval()
    with domain(network, "target"):
        assert not torch.equal(network(images), domainless(network, images))
    adopt(network)
    with domain(network, "target"):
        assert torch.equal(network(images), domainless(network, images))


def domainless(network, images):
    with domain(network, "source"):
        return network(images)


def test_no_plain_batch_normalisation_is_left():
    network = small_network()
    inside = [m for n in network.modules() if isinstance(n, CrossSensorNorm) for m in (n.source, n.target)]
    everywhere = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(inside) == len(everywhere) == 2 * 18


def test_state_survives_saving():
    network, copy = small_network().train(), small_network()
    network(torch.randn(4, 14, 16, 16))
    copy.load_state_dict(network.state_dict())
    assert all(m.source.weight is m.target.weight for m in copy.modules() if isinstance(m, CrossSensorNorm))
    images = torch.randn(1, 14, 16, 16)
    assert torch.equal(network.eval()(images), copy.eval()(images))


@needs_libraries
@pytest.mark.parametrize("name", ["swin", "efficientnet", "segformer", "resunet"])
def test_networks_fit_the_patches(name):
    options = kingdrone.Options(networks=name, target="test", **kingdrone._SMALL)
    with torch.inference_mode():
        probabilities = kingdrone.build(options).eval()(torch.randn(1, 14, 128, 128))
    assert probabilities.shape == (1, 128, 128)


@needs_libraries
@pytest.mark.parametrize("name", ["efficientnet", "resunet"])
def test_synchronised_normalisation_computes_the_same(name, monkeypatch):
    """timm's EfficientNet applies its activations inside its normalisations: several GPUs, stage after stage, may not lose them."""
    network = kingdrone._network(name, kingdrone.Options(**kingdrone._SMALL)).eval()
    images = torch.randn(1, 14, 64, 64)
    monkeypatch.setattr(world, "DistributedDataParallel", lambda module, device_ids: module)
    two_gpus = world.World(torch.device("cuda"), size=2)
    with torch.inference_mode():
        before = network(images)
        for _ in range(2):
            assert torch.equal(two_gpus.wrap(network)(images), before)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())
    norms = [m for m in network.modules() if isinstance(m, CrossSensorNorm)]
    assert all(m.source.weight is m.target.weight for m in norms)


def test_scale_promotion_shows_the_network_512_pixels():
    seen = []

    def record(images):
        seen.append(images.shape)
        return images[:, :2]

    network = torch.nn.Identity()
    network.forward = record
    waves = torch.linspace(0, 12, 128).sin()
    images = (waves[:, None] * waves).expand(1, 14, 128, 128)
    logits = kingdrone.Promoted(network, 4)(images)
    assert seen == [(1, 14, 512, 512)]
    assert logits.shape == (1, 2, 128, 128)
    torch.testing.assert_close(
        logits, images[:, :2], atol=0.02, rtol=0
    )  # averaging undoes the scaling, in its place


def test_loss_is_the_sum_of_three():
    logits, labels = torch.randn(2, 2, 8, 8), torch.randint(0, 2, (2, 8, 8))
    expected = losses.lovasz_softmax(logits, labels) + losses.ohem_cross_entropy(logits, labels)
    torch.testing.assert_close(
        kingdrone.imbalance_loss(logits, labels), expected + losses.soft_cross_entropy(logits, labels)
    )


def test_domains_are_kept_apart_in_training():
    generator = torch.Generator().manual_seed(0)
    pools = [
        Pool(
            shift + torch.randn(4, 16, 16, 14, generator=generator).half(),
            torch.ones(4, 16, 16, dtype=torch.uint8),
            name,
        )
        for shift, name in ((0, "train"), (10, "test"))
    ]
    network = small_network().train()
    objective = kingdrone.Adaptation(network, *pools, kingdrone.Options())
    assert set(objective(Dice(0, 0, 4))) == {"source", "target"}
    first = network.encoder[0][1]
    assert not torch.allclose(first.source.running_mean, first.target.running_mean, atol=0.05)
    assert set(kingdrone.Adaptation(network, pools[0], None, kingdrone.Options())(Dice(0, 0, 4))) == {
        "source"
    }


def test_recipe_is_the_papers():
    options = kingdrone.Options()
    assert (options.size, options.landslide, options.normalise) == (512, 0.7, "separated")
    assert options.networks == "swin,efficientnet,segformer"
    with pytest.raises(OptionError, match="networks names vgg"):
        replace(options, networks="swin,vgg")
    # The second would take the first one's checkpoints for its own.
    with pytest.raises(OptionError, match="networks is swin,swin; each can be"):
        replace(options, networks="swin,swin")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"size": 500}, "size is 500"),
        ({"size": 0}, "size is 0"),
        ({"round_steps": 0}, "round_steps 0; they must be at least 0 and 1"),
        ({"rounds": -1}, "rounds is -1"),
        ({"background": 0.8}, "background is 0.8 and landslide 0.7"),
        ({"landslide": 70.0}, "landslide 70.0; they are probabilities"),
    ],
)
def test_what_would_stop_or_spoil_the_rounds_is_said_at_once(wrong, said):
    with pytest.raises(OptionError, match=said):
        kingdrone.Options(**wrong)


def test_each_domain_is_predicted_by_its_own_statistics():
    network = small_network().train()
    for name, shift in (("source", 0.0), ("target", 3.0)):
        with domain(network, name):
            network(shift + torch.randn(4, 14, 16, 16))
    predictor, images = kingdrone.Adapted(network).eval(), torch.randn(2, 14, 16, 16)
    for split, name in (("train", "source"), ("validation", "target"), ("test", "target")):
        predictor.split = split
        with domain(network, name):
            expected = network(images).softmax(1)[:, 1]
        torch.testing.assert_close(predictor(images), expected)


def test_ablation_is_figure_6():
    rows = kingdrone.STUDIES["ablation"].rows
    steps = ["baseline", "+ SN", "+ SLO", "+ S×", "+ R1", "+ R2"]
    assert list(rows) == [f"{network} {step}" for network in ("ResU-Net", "SegFormer") for step in steps]
    for title, network in (("ResU-Net", "resunet"), ("SegFormer", "segformer")):
        ladder = [kingdrone.Options(**rows[f"{title} {step}"]).to_dict() for step in steps]
        start = {"networks": network, "normalise": "train", "imbalance": False, "size": 128, "rounds": 0}
        assert {name: ladder[0][name] for name in start} == start
        added = [{k: v for k, v in b.items() if v != a[k]} for a, b in pairwise(ladder)]
        assert added[:3] == [{"normalise": "separated"}, {"imbalance": True}, {"size": 512}]
        assert added[3:] == [{"rounds": 1}, {"rounds": 2}]


def command(data, run, *flags):
    return [
        "train",
        "kingdrone",
        "--data",
        str(data),
        "--out",
        str(run),
        "--preset",
        "tiny",
        "--device",
        "cpu",
        *flags,
    ]


def test_rounds_refine_the_labels(data, tmp_path, monkeypatch):
    monkeypatch.setattr(kingdrone, "_network", small_network)
    refined = []
    real = kingdrone.pseudo_labels
    monkeypatch.setattr(kingdrone, "pseudo_labels", lambda *a: refined.append(real(*a)) or refined[-1])
    run = tmp_path / "run"
    flags = [
        "--rounds",
        "2",
        "--selection",
        "prior",
        "--steps",
        "3",
        "--round-steps",
        "3",
        "--target",
        "test",
    ]
    assert main(command(data, run, *flags)) == 0
    stages = {path.stem for path in (run / "stages").glob("*.pt")}
    numbers = ("0", "1-test", "2-test")
    assert stages == {f"{name}-{number}" for name in ("efficientnet", "segformer") for number in numbers}
    assert len(refined) == 2
    assert not torch.equal(*refined)
    train = load(data, "train").masks
    assert float((refined[0] == 1).float().mean()) == pytest.approx(0.9 * train.mean(), rel=1e-3)
    assert main(["archive", str(run), "--split", "test"]) == 0


def test_control_trains_as_long_without_the_target(data, tmp_path, monkeypatch):
    monkeypatch.setattr(kingdrone, "_network", small_network)
    monkeypatch.setattr(kingdrone, "pseudo_labels", lambda *a: pytest.fail("the target was looked at"))
    run = tmp_path / "run"
    flags = ["--rounds", "1", "--selection", "none", "--steps", "2", "--round-steps", "3"]
    assert main(command(data, run, *flags)) == 0
    last = torch.load(run / "stages/segformer-1-test.pt", weights_only=True)
    assert last["progress"]["step"] == 3
    weights = load_file(run / "weights.safetensors")
    targets = {name: value for name, value in weights.items() if ".target." in name}
    assert targets
    for name, value in targets.items():
        torch.testing.assert_close(value, weights[name.replace(".target.", ".source.")])


def test_guard_ends_the_rounds(data, tmp_path, monkeypatch):
    monkeypatch.setattr(kingdrone, "_network", small_network)
    run = tmp_path / "run"
    assert main(command(data, run, "--landslide", "1", "--steps", "2")) == 0  # no pixel is ever sure enough
    assert {path.stem for path in (run / "stages").glob("*.pt")} == {"efficientnet-0", "segformer-0"}
