"""The training loop: resuming, processes, schedules, what is kept."""

import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from baseline.data.pool import Pool  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training import augment, losses  # noqa: E402
from baseline.training.loop import Stage, TrainingDiverged, learning_rate  # noqa: E402
from baseline.training.options import Options  # noqa: E402
from baseline.training.supervised import Supervised  # noqa: E402
from baseline.training.world import World  # noqa: E402

HERE = World(torch.device("cpu"))
OPTIONS = Options(steps=12, batch=4, log_every=4, width=4, learning_rate=1e-2, checkpoint_seconds=0)


def pool(count=10, size=16):
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, size, size, 14, generator=generator).half()
    return Pool(images, (images[..., 3] > 1).to(torch.uint8), "train")


def objective(network=None):
    """Supervised training with everything random that the methods use."""

    def change(images, labels, dice):
        images, labels = augment.flips_and_turns(augment.perturb_colours(images, dice), labels, dice)
        return torch.nn.functional.dropout(images, 0.1), labels

    return Supervised(network or UNet(width=4), pool(), losses.cross_entropy, change)


def fitted(tmp_path, name="stage", options=OPTIONS, evaluate=None):
    torch.manual_seed(0)
    trained = objective()
    progress = Stage(name, trained, options, HERE, tmp_path / f"{name}.pt").fit(evaluate)
    return trained, progress


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.values(), b.values(), strict=True))


def train_with_everything(path, pause=0.0):
    """Dropout, augmentation, bfloat16, a schedule, keeping the best; `pause` seconds after each of 40 steps."""
    torch.manual_seed(0)
    trained = objective()
    trained.after_step = lambda step: time.sleep(pause)
    options = replace(
        OPTIONS,
        steps=40,
        log_every=1,
        schedule="cosine",
        warmup=5,
        clip=1.0,
        evaluate_every=7,
        precision="bf16",
    )
    stage = Stage("stage", trained, options, HERE, path)
    stage.fit(lambda: float(trained.network.classify.weight.detach().abs().sum()))


def train_and_kill(path, after):
    """Train in another process; SIGKILL it so many seconds after its first checkpoint."""
    code = "import sys, pathlib, torch; from tests.baseline import test_loop; torch.set_num_threads(1);"
    code += "test_loop.train_with_everything(pathlib.Path(sys.argv[1]), pause=0.05)"
    before = path.stat().st_mtime_ns if path.exists() else 0
    process = subprocess.Popen([sys.executable, "-c", code, str(path)], stderr=subprocess.PIPE)
    while process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
        time.sleep(0.005)
    time.sleep(after)
    process.kill()
    error = process.communicate()[1]
    assert process.returncode == -signal.SIGKILL, error.decode()
    return torch.load(path, weights_only=True)["progress"]["step"]


def test_killed_runs_end_bit_equal(tmp_path):
    """SIGKILL twice, at steps nobody chose, possibly within a checkpoint's writing."""
    whole, killed = tmp_path / "whole.pt", tmp_path / "killed.pt"
    train_with_everything(whole)
    assert 0 < train_and_kill(killed, after=0) < train_and_kill(killed, after=0.3) < 40
    train_with_everything(killed)
    expected, resumed = (torch.load(path, weights_only=True) for path in (whole, killed))
    assert same(expected["objective"], resumed["objective"])
    for row in expected["progress"]["rows"] + resumed["progress"]["rows"]:
        del row["patches_per_second"]
    assert expected["progress"] == resumed["progress"]


def test_finished_stage_is_not_trained_again(tmp_path):
    first, _ = fitted(tmp_path)
    again = objective()
    again.after_step = lambda step: pytest.fail("a finished stage took a step")
    progress = Stage("stage", again, OPTIONS, HERE, tmp_path / "stage.pt").fit()
    assert same(first.state_dict(), again.state_dict())
    assert [row["step"] for row in progress.rows] == [4, 8, 12]


def test_seed_and_stage_decide_everything(tmp_path):
    first, _ = fitted(tmp_path)
    (tmp_path / "stage.pt").unlink()
    torch.rand(3)  # the state of torch's generator does not matter
    repeated, _ = fitted(tmp_path)
    other_stage, _ = fitted(tmp_path, "another")
    other_seed, _ = fitted(tmp_path, "seed", replace(OPTIONS, seed=1))
    assert same(first.state_dict(), repeated.state_dict())
    assert not same(first.state_dict(), other_stage.state_dict())
    assert not same(first.state_dict(), other_seed.state_dict())


def test_best_weights_are_kept(tmp_path):
    scores = iter([0.1, 0.7, 0.3])
    seen = []
    torch.manual_seed(0)
    trained = objective()

    def evaluate():
        seen.append({k: v.clone() for k, v in trained.state_dict().items()})
        return next(scores)

    options = replace(OPTIONS, evaluate_every=5)
    progress = Stage("best", trained, options, HERE, tmp_path / "best.pt").fit(evaluate)
    assert progress.best_f1 == 0.7
    assert [row["f1"] for row in progress.rows if row["f1"] is not None] == [0.1, 0.7, 0.3]
    assert [row["step"] for row in progress.rows] == [4, 5, 8, 10, 12]
    assert same(trained.state_dict(), seen[1])
    assert not same(trained.state_dict(), seen[2])


def test_frozen_parameters_stay(tmp_path):
    torch.manual_seed(0)
    trained = objective()
    trained.network.encoder.requires_grad_(False)
    before = {k: v.clone() for k, v in trained.network.named_parameters()}
    Stage("frozen", trained, OPTIONS, HERE, tmp_path / "frozen.pt").fit()
    for name, parameter in trained.network.named_parameters():
        assert torch.equal(parameter, before[name]) == name.startswith("encoder")


def test_clipping_does_not_count_what_an_earlier_stage_left(tmp_path):
    """A stage with fixed parameters ends alike in the process that trained them and in one that goes on from its checkpoint."""
    options = replace(OPTIONS, clip=0.1)
    before, _ = fitted(tmp_path, "before", options)
    fresh = objective()
    fresh.load_state_dict(before.state_dict())
    for name, trained in (("straight", before), ("fresh", fresh)):
        trained.network.encoder.requires_grad_(False)
        stage = Stage("after", trained, options, HERE, tmp_path / f"{name}.pt")
        stage.fit()
    assert same(before.state_dict(), fresh.state_dict())


def test_learns_a_tiny_set_by_heart(tmp_path):
    torch.manual_seed(0)
    trained = Supervised(UNet(width=8), pool(4), losses.cross_entropy)
    options = replace(OPTIONS, steps=80, log_every=20)
    progress = Stage("overfit", trained, options, HERE, tmp_path / "overfit.pt").fit()
    assert progress.rows[-1]["loss"] < 0.02 < progress.rows[0]["loss"]


def test_divergence_is_said(tmp_path):
    with pytest.raises(TrainingDiverged, match=r"stage stage is (nan|inf) at step 4.*--learning-rate"):
        fitted(tmp_path, options=replace(OPTIONS, learning_rate=1e30, optimiser="sgd"))


def test_schedules():
    constant = replace(OPTIONS, steps=100, warmup=10, learning_rate=1.0)
    assert [learning_rate(s, constant) for s in (0, 4, 9, 10, 99)] == [0.1, 0.5, 1, 1, 1]
    cosine = replace(constant, schedule="cosine")
    assert learning_rate(10, cosine) == 1
    assert learning_rate(55, cosine) == pytest.approx(0.5)
    assert learning_rate(99, cosine) == pytest.approx((1 + math.cos(math.pi * 89 / 90)) / 2)
    restarts = replace(constant, schedule="restarts", cycle=20)
    assert [learning_rate(s, restarts) for s in (10, 30, 70)] == [
        1,
        1,
        1,
    ]  # cycles of 20, 40, ... after the warm-up
    assert learning_rate(20, restarts) == pytest.approx(0.5)
    assert learning_rate(50, restarts) == pytest.approx(0.5)
    assert learning_rate(69, restarts) < 0.002


def train_in_world(path, here):
    """In double precision and without batch normalisation, whose statistics are each process's own on a CPU."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(14, 8, 3, padding=1), torch.nn.GELU(), torch.nn.Conv2d(8, 2, 1)
    ).double()

    def change(images, labels, dice):
        images, labels = augment.flips_and_turns(images, labels, dice)
        return images.double(), labels

    trained = Supervised(network, pool(), losses.cross_entropy, change)
    Stage("stage", trained, replace(OPTIONS, channels_last=False), here, path).fit()


def test_two_processes_train_as_one_does(tmp_path):
    one, two, program = tmp_path / "one.pt", tmp_path / "two.pt", tmp_path / "program.py"
    train_in_world(one, HERE)
    program.write_text(
        "import sys, pathlib; from baseline.training.world import world; from tests.baseline import test_loop\n"
        "with world('cpu', 1) as here: assert here.size == 2; test_loop.train_in_world(pathlib.Path(sys.argv[1]), here)\n"
    )
    command = [
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--rdzv-backend=c10d",
        "--rdzv-endpoint=127.0.0.1:0",
    ]
    done = subprocess.run(
        [sys.executable, "-m", *command, str(program), str(two)],
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    expected, shared = (torch.load(path, weights_only=True)["objective"] for path in (one, two))
    for name, weights in expected.items():
        torch.testing.assert_close(shared[name], weights, rtol=1e-9, atol=1e-12)
