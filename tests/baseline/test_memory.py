"""What fits a training into less memory: parts of a batch, activations computed again, images in the host's memory."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from baseline.data import normalise  # noqa: E402
from baseline.data.dice import Dice  # noqa: E402
from baseline.data.pool import Pool, joined  # noqa: E402
from baseline.networks import encoders  # noqa: E402
from baseline.networks.cross_sensor import with_cross_sensor_norm  # noqa: E402
from baseline.networks.multispectral import MultispectralUNet  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training import losses  # noqa: E402
from baseline.training.loop import Stage  # noqa: E402
from baseline.training.options import OptionError, Options  # noqa: E402
from baseline.training.recompute import blocks, recomputed  # noqa: E402
from baseline.training.supervised import Supervised  # noqa: E402
from baseline.training.world import World  # noqa: E402

HERE = World(torch.device("cpu"))
OPTIONS = Options(steps=3, batch=4, log_every=3, width=4, learning_rate=1e-2, precision="float32")


def pool(size=32):
    images = torch.randn(8, size, size, 14, generator=torch.Generator().manual_seed(1)).half()
    return Pool(images, (images[..., 3] > 1).to(torch.uint8), "train")


def trained(tmp_path, network, options=OPTIONS):
    torch.manual_seed(0)
    objective = Supervised(network(), pool(), losses.cross_entropy)
    Stage(
        "stage", objective, options, HERE, tmp_path / f"{options.activations}-{options.accumulate}.pt"
    ).fit()
    return objective.network


def without_normalisation():
    network = UNet(width=4)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(parent, name, torch.nn.Identity())
    return network


def dropping():
    return torch.nn.Sequential(torch.nn.Sequential(UNet(width=4), torch.nn.Dropout2d(0.5)))


def timm_and_smp(name, architecture="Unet"):
    return lambda: encoders.network(architecture, name)


NETWORKS = {
    "unet": lambda: UNet(width=4),
    "dropout": dropping,
    "cross-sensor": lambda: with_cross_sensor_norm(UNet(width=4)),
    "multispectral": lambda: MultispectralUNet(width=4),
    "resnet18": timm_and_smp("resnet18", "DeepLabV3Plus"),
    "efficientnet": timm_and_smp("tu-tf_efficientnet_lite0"),
    "mit": timm_and_smp("mit_b0", "Segformer"),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_activations_computed_again_give_the_same_weights_and_statistics(name, tmp_path):
    kept = trained(tmp_path, NETWORKS[name])
    again = trained(tmp_path, NETWORKS[name], replace(OPTIONS, activations="recompute"))
    assert type(again) is type(kept)
    for (key, one), (_, other) in zip(kept.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(one, other), key


def saved_bytes(network):
    """Bytes that autograd keeps for the backward pass of one batch."""
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        network.train()(torch.randn(2, 14, 64, 64))
    return total


def test_activations_computed_again_are_not_kept():
    network = UNet(width=8)
    before = saved_bytes(network)
    with recomputed(network):
        inside = saved_bytes(network)
        network.eval()
        with torch.no_grad():
            network(torch.randn(1, 14, 32, 32))
    assert inside < before / 2
    assert saved_bytes(network) == before
    assert len(blocks(network)) == len(network.encoder) + len(network.decoder)


def test_parts_of_a_batch_add_up_to_its_gradient(tmp_path):
    whole = trained(tmp_path, without_normalisation)
    parts = trained(tmp_path, without_normalisation, replace(OPTIONS, accumulate=4))
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_parts_are_the_rows_that_as_many_processes_would_have():
    device = torch.device("cpu")
    assert World(device).rows(8, 2) == [slice(0, 4), slice(4, 8)]
    assert World(device, rank=1, size=2).rows(8, 2) == [slice(4, 6), slice(6, 8)]
    with pytest.raises(OptionError, match="batch is 8, which 1 processes in 3 parts"):
        World(device).rows(8, 3)


def test_images_stay_in_the_hosts_memory_and_batches_go_to_the_device():
    meta = torch.device("meta")  # a device that holds no values
    here = replace(pool(), device=meta)
    images, labels = here.batch(Dice(0, 0, 4))
    assert (images.device, labels.device) == (meta, meta)
    images, labels = replace(here, crop=16).batch(Dice(0, 0, 4))
    assert (images.device, labels.device, images.shape[-1]) == (meta, meta, 16)
    assert {chunk.device for chunk in here.chunks(3)} == {meta}
    assert joined(here, here).device == meta
    assert here.images.device.type == "cpu"


def test_images_that_fill_more_than_half_of_a_gpu_stay_on_the_host(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    cuda = torch.device("cuda", 0)
    assert normalise.on_host(501, cuda, "auto")
    assert not normalise.on_host(500, cuda, "auto")
    assert not normalise.on_host(501, cuda, "device")
    assert normalise.on_host(1, cuda, "host")
    assert not normalise.on_host(10**12, torch.device("cpu"), "auto")
