"""Runs of several stages, killed with SIGKILL in each of them, end on a CPU with bit for bit the weights of runs that were not."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file
pytestmark = pytest.mark.timeout(400)

from baseline import methods  # noqa: E402
from baseline.__main__ import main  # noqa: E402
from baseline.networks.cross_sensor import with_cross_sensor_norm  # noqa: E402
from baseline.networks.unet import UNet  # noqa: E402
from baseline.training import loop  # noqa: E402

STEPS = 6
COMMON = ["--preset", "tiny", "--device", "cpu", "--threads", "1", "--batch", "4", "--log-every", "2"]
COMMON += ["--steps", str(STEPS), "--checkpoint-seconds", "0"]
RUNS = {
    "kingdrone": ["--networks", "resunet,segformer", "--round-steps", str(STEPS), "--no-guard"],
    "seek": ["--network", "unet", "--bands", "all", "--width", "4"],
    "tanmlh": ["--runs", "3", "--no-crf"],
}
STAGES = {
    "kingdrone": ["resunet-0", "segformer-0", "resunet-1-validation", "segformer-1-test"],
    "seek": ["stage-1", "stage-2", "self-training-validation", "self-training-test"],
    "tanmlh": ["teacher", "student-validation", "student-test"],
}


def train(name: str, data: Path, folder: Path) -> int:
    """The method with networks small enough for a test, all random parts of its training in them."""
    methods.method("kingdrone")._network = lambda name, options: with_cross_sensor_norm(UNet(width=4))
    tanmlh = methods.method("tanmlh")
    tanmlh._network = lambda options: tanmlh.with_monte_carlo_dropout(UNet(width=4), options.dropout)
    return main(["train", name, "--data", str(data), "--out", str(folder), *COMMON, *RUNS[name]])


def die_at(stage: str, step: int, while_saving: bool) -> None:
    """From now on this process ends by SIGKILL in that stage: before the update `step`, or halfway through writing the first
    checkpoint from that step on."""
    update, save = loop.Stage._update, loop.save_atomically
    here: list[bool] = []

    def updating(self, *arguments):
        here[:] = [self.name == stage and self.progress.step >= step]
        if here[0] and not while_saving:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(self, *arguments)

    def saving(state, path):
        if here and here[0] and while_saving:
            save(state, path.with_name("whole"))
            content = path.with_name("whole").read_bytes()
            path.with_name(path.name + ".partial").write_bytes(content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        save(state, path)

    loop.Stage._update, loop.save_atomically = updating, saving


def kill_in_every_stage(name: str, data: Path, folder: Path, seed: int) -> None:
    """Train in child after child, each of which is killed a stage further on."""
    dice = random.Random(seed)
    for number, stage in enumerate(STAGES[name]):
        child = os.fork()
        if not child:
            steps = STEPS if name != "seek" or stage == "stage-1" else STEPS // 4
            die_at(stage, dice.randrange(steps), while_saving=(seed + number) % 2 == 1)
            train(name, data, folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"{name} was not killed in {stage}: status {status}"
        dice.random()


@pytest.fixture(scope="module")
def killed(data, tmp_path_factory):
    """The folders of runs that were killed; made by one process, in which torch has not computed before it forks."""
    folder, seed = tmp_path_factory.mktemp("killed"), random.randrange(1000)
    code = "import pathlib, sys, torch, torch._dynamo, matplotlib.figure; torch.set_num_threads(1); from tests.baseline import test_resume as t\n"
    code += f"for name in t.RUNS: t.kill_in_every_stage(name, pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / name, {seed})"
    done = subprocess.run([sys.executable, "-c", code, data, folder], capture_output=True, text=True)
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    return folder, seed


@pytest.mark.parametrize("name", list(RUNS))
def test_a_run_killed_in_every_stage_ends_bit_equal(name, killed, data, tmp_path, monkeypatch):
    for module in (methods.method("kingdrone"), methods.method("tanmlh")):
        monkeypatch.setattr(module, "_network", module._network)  # given back after the test
    folder, seed = killed[0] / name, killed[1]
    reached = {path.stem for path in (folder / "stages").glob("*.pt")}
    assert reached >= set(STAGES[name][:-1])
    assert not (folder / "weights.safetensors").exists()
    assert train(name, data, folder) == 0
    assert train(name, data, tmp_path / "whole") == 0
    expected, seen = (load_file(f / "weights.safetensors") for f in (tmp_path / "whole", folder))
    assert list(expected) == list(seen)
    differing = [key for key, value in expected.items() if not torch.equal(value, seen[key])]
    assert not differing, f"seed {seed}: {differing}"
