import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")

from baseline.networks.unet import UNet  # noqa: E402


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def convolutions(network, kinds=(torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
    return sum(isinstance(module, kinds) for module in network.modules())


def test_unet_is_the_papers():
    network = UNet()
    assert convolutions(network) == 23
    assert convolutions(network, torch.nn.ConvTranspose2d) == 4
    assert parameters(network) == 31_049_922  # 31.05 million


def test_unet_is_the_repositorys():
    network = UNet(bilinear=True)
    assert convolutions(network, torch.nn.ConvTranspose2d) == 0
    assert parameters(network) == 17_273_794  # 17.27 million


@pytest.mark.parametrize("bilinear", [False, True])
def test_unet_uses_every_parameter(bilinear):
    network = UNet(bands=14, width=4, bilinear=bilinear)
    logits = network(torch.randn(2, 14, 32, 32))
    assert logits.shape == (2, 2, 32, 32)
    logits.square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def python(code, **environment):
    """Run code in a fresh process: imports of torchvision cannot be undone."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.skipif(
    find_spec("segmentation_models_pytorch") is None, reason="the model libraries are an extra"
)
def test_library_networks_run_beside_this_torch():
    done = python(
        """
import torch
from baseline.networks import encoders
images = torch.randn(1, 14, 128, 128)
for network in (
    encoders.swin("swin_tiny_patch4_window7_224", 128),
    encoders.network("Unet", "tu-tf_efficientnetv2_b0"),
    encoders.network("Segformer", "mit_b0"),
    encoders.network("DeepLabV3Plus", "resnet18"),
):
    print(round(sum(p.numel() for p in network.parameters()) / 1e6, 2), *network.eval()(images).shape)
try:
    encoders.network("Unet", "resnet34", weights="imagenet")
except encoders.PretrainedWeightsMissing as error:
    print(error)
""",
        HF_HUB_OFFLINE="1",
        HF_HOME="/nonexistent",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:4] == ["31.64 1 2 128 128", "7.57 1 2 128 128", "3.73 1 2 128 128", "12.36 1 2 128 128"]
    assert "No pretrained weights for resnet34" in lines[4]
    assert "choose other --weights" in done.stdout


def test_the_core_needs_neither_model_libraries_nor_django():
    done = python(
        """
import sys
import baseline.cli.train, baseline.training.run, baseline.submitting.archives, baseline.submitting.entries, baseline.methods.unet
print(sorted({"django", "timm", "torchvision", "segmentation_models_pytorch", "matplotlib"} & set(sys.modules)))
"""
    )
    assert done.stdout.strip() == "[]", done.stderr
