"""The files of a run: damaged ones are named before training, with what to do; options come from a file; TensorBoard reads the curve."""

import json
import shutil

import h5py
import pytest

torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors")

from baseline.__main__ import main  # noqa: E402
from baseline.training import run as runs  # noqa: E402
from baseline.training.run import finished_weights  # noqa: E402
from baseline.training.world import World  # noqa: E402

QUICK = ["--preset", "tiny", "--steps", "4", "--width", "4", "--log-every", "2", "--evaluate-every", "2"]
QUICK += ["--device", "cpu", "--threads", "1", "--checkpoint-seconds", "0"]


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "unet"
    assert main(["train", "unet", "--data", str(data), "--out", str(folder), *QUICK, "--tensorboard"]) == 0
    return folder


def again(folder, data, *flags):
    return main(["train", "unet", "--data", str(data), "--out", str(folder), *QUICK, *flags])


def test_weights_are_safetensors_that_name_their_method(finished):
    with safetensors.safe_open(finished / "weights.safetensors", "pt") as file:
        assert file.metadata()["method"] == "unet"
        assert len(list(file.keys())) > 50


def test_a_run_of_before_safetensors_is_still_read(finished, tmp_path, data):
    folder = tmp_path / "older"
    shutil.copytree(finished, folder)
    name, _, options = runs.saved(folder)
    run = runs.Run(folder, name, data, options, World(torch.device("cpu")))
    torch.save(run.trained().state_dict(), folder / "weights.pt")
    (folder / "weights.safetensors").unlink()
    assert finished_weights(folder) == folder / "weights.pt"
    expected = run.predicted(run.trained(), run.pool("test"))
    assert torch.equal(expected, run.predicted(run.trained(), run.pool("test")))


@pytest.mark.parametrize("keep", [0, 100, 5000])
@pytest.mark.parametrize("name", ["weights.safetensors", "stages/unet.pt", "options.json"])
def test_a_file_cut_short_is_named_with_what_to_do(name, keep, finished, tmp_path, data, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    if name.startswith("stages"):
        (folder / "weights.safetensors").unlink()
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: min(keep, len(content) - 2)])
    assert again(folder, data) == 1
    error = capsys.readouterr().err
    assert f"{path} is damaged" in error
    assert "delete it and repeat the command" in error
    path.unlink()
    assert again(folder, data) == 0


def test_a_checkpoint_of_something_else_is_named(finished, tmp_path, data, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    (folder / "weights.safetensors").unlink()
    torch.save({"objective": {}}, folder / "stages/unet.pt")
    assert again(folder, data) == 1
    assert "it lacks optimiser, progress" in capsys.readouterr().err


def test_nan_in_a_split_that_is_adapted_to_is_named_before_training(tmp_path, data, capsys):
    own = tmp_path / "data"
    shutil.copytree(data, own)
    image = next((own / "TestData" / "img").iterdir())
    with h5py.File(image, "r+") as file:
        file["img"][3, 4, 5] = float("nan")
    flags = ["--preset", "tiny", "--device", "cpu", "--bands", "all", "--network", "unet", "--width", "4"]
    out = tmp_path / "run"
    assert main(["train", "seek", "--data", str(own), "--out", str(out), *flags]) == 1
    error = capsys.readouterr().err
    assert f"{image.name} (1 values)" in error
    assert "write a finite value there" in error
    assert not (out / "stages").exists()


def test_options_come_from_a_runs_own_file_and_flags_override_them(finished, tmp_path, data):
    out = tmp_path / "run"
    asked = [
        "train",
        "unet",
        "--data",
        str(data),
        "--out",
        str(out),
        "--options",
        str(finished / "options.json"),
    ]
    assert main([*asked, "--seed", "5"]) == 0
    first, second = (
        json.loads((folder / "options.json").read_text())["options"] for folder in (finished, out)
    )
    assert {name for name in first if first[name] != second[name]} == {"seed"}


def test_options_come_from_toml(tmp_path, data):
    written = tmp_path / "mine.toml"
    written.write_text('steps = 2\nwidth = 4\ndevice = "cpu"\nlearning_rate = 1\n')
    out = tmp_path / "run"
    asked = ["train", "unet", "--data", str(data), "--out", str(out), "--preset", "tiny"]
    assert main([*asked, "--options", str(written)]) == 0
    options = json.loads((out / "options.json").read_text())["options"]
    assert (options["steps"], options["learning_rate"], options["batch"]) == (2, 1.0, 8)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "cannot be read as JSON"),
        ("[1]", "holds no names and values"),
        ('{"stepps": 3}', "Options has no option stepps"),
        ('{"steps": "3"}', "steps is '3'; a int is expected"),
        ('{"method": "seek", "data": "", "options": {}}', "is of the method seek, not unet"),
    ],
)
def test_a_wrong_file_of_options_is_explained(text, sentence, tmp_path, data, capsys):
    written = tmp_path / "mine.json"
    written.write_text(text)
    out = tmp_path / "run"
    assert main(["train", "unet", "--data", str(data), "--out", str(out), "--options", str(written)]) == 1
    assert sentence in capsys.readouterr().err
    assert not out.exists()


def test_tensorboard_reads_the_curve(finished):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(finished / "tensorboard/unet")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss", "f1", "learning_rate", "patches_per_second"}
    rows = (finished / "curve.csv").read_text().splitlines()[1:]
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert [step for step, _ in losses] == [2, 4]
    assert [value for _, value in losses] == pytest.approx([float(row.split(",")[2]) for row in rows])
