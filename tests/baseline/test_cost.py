"""Counted multiply-accumulates against hand counts, and what the table is made of."""

import json

import pytest

torch = pytest.importorskip("torch")

from baseline.__main__ import main  # noqa: E402
from baseline.experiments import cost  # noqa: E402
from baseline.training.world import World  # noqa: E402

HERE = World(torch.device("cpu"))
QUICK = {"batch": 2, "predict_batch": 2, "width": 4, "device": "cpu"}


def test_multiply_accumulates_of_a_convolution_by_hand():
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1)
    images = torch.randn(2, 3, 8, 8)
    forward = 2 * 8 * 8 * 5 * 3 * 3 * 3
    assert cost.multiply_accumulates(lambda: convolution(images)) == forward
    # The images need no gradient: the backward pass counts that of the weights alone.
    assert cost.multiply_accumulates(lambda: convolution(images).sum().backward()) == 2 * forward


@pytest.mark.parametrize("kind", [torch.nn.Conv2d, torch.nn.ConvTranspose2d])
def test_gradients_of_grouped_convolutions_cost_what_the_forward_pass_does(kind):
    convolution = kind(6, 12, 2, stride=2, groups=3)
    images = torch.randn(2, 6, 8, 8, requires_grad=True)
    pixels = 4 * 4 if kind is torch.nn.Conv2d else 8 * 8
    forward = 2 * pixels * (6 * 12 // 3) * 2 * 2
    assert cost.multiply_accumulates(lambda: convolution(images)) == forward
    assert cost.multiply_accumulates(lambda: convolution(images).sum().backward()) == 3 * forward


def test_every_stage_of_a_method_is_measured_and_weighted_by_its_steps():
    seen = cost.measure("seek", "tiny", QUICK | {"network": "unet", "bands": "all"}, HERE, steps=1)
    assert [(stage.name, stage.steps) for stage in seen.stages] == [
        ("stage-1", 2 * 20),  # half of the preset's batch: twice the steps
        ("stage-2", 2 * 5),
        ("self-training-validation", 2 * 5),
        ("self-training-test", 2 * 5),
    ]
    whole, frozen, *_ = seen.stages
    assert frozen.macs < whole.macs  # no gradients in the encoder
    assert seen.trained_patches == 2 * 2 * (20 + 5 + 2 * 5)
    assert seen.training_macs == 40 * whole.macs + 10 * (frozen.macs + 2 * seen.stages[2].macs)
    assert 2 * seen.macs * 2 < whole.macs < 2 * seen.macs * 3.2  # a step is about three predictions per patch
    assert min(stage.seconds for stage in seen.stages) > 0
    assert seen.bytes > 50e6


def test_the_command_measures_each_method_in_a_separate_process(capfd):
    command = ["cost", "--preset", "tiny", "--methods", "unet", "--measured-steps", "1"]
    command += ["--batch", "2", "--device", "cpu", "--threads", "1"]
    assert main(command) == 0
    out = capfd.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("| unet |")]
    assert len(rows) == 1
    assert f"torch {torch.__version__}" in out
    assert main([*command, "--as-json"]) == 0
    [content] = json.loads(capfd.readouterr().out)
    assert cost.from_json(content).to_dict()["parameters"] == content["parameters"]
    assert rows[0].split(" | ")[1] == f"{content['parameters'] / 1e6:.2f}"
    assert main(["cost", "--methods", "unett", "--device", "cpu"]) == 1
    assert "no method 'unett'" in capfd.readouterr().err
    assert main([*command, "--steps", "0"]) == 1
    assert "cost of unet could not be measured" in capfd.readouterr().err
