"""The command line from the synthetic data to the archive, and what a run keeps."""

import csv
import json
import shutil
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from baseline.__main__ import main  # noqa: E402
from baseline.data.dataset import DataError, hold_out  # noqa: E402
from baseline.methods import METHODS, method  # noqa: E402
from baseline.training.options import Options  # noqa: E402
from baseline.training.run import Run  # noqa: E402
from baseline.training.world import World  # noqa: E402
from evaluation.archive import mask_zip  # noqa: E402
from evaluation.scoring import counts  # noqa: E402
from evaluation.task import MaskSpec  # noqa: E402

QUICK = [
    "--preset",
    "tiny",
    "--steps",
    "4",
    "--width",
    "4",
    "--log-every",
    "2",
    "--evaluate-every",
    "2",
    "--device",
    "cpu",
]


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "unet"
    assert main(["train", "unet", "--data", str(data), "--out", str(folder), *QUICK]) == 0
    return folder


def test_a_run_keeps_everything_about_it(run, data):
    options = json.loads((run / "options.json").read_text())
    assert options["method"] == "unet"
    assert options["data"] == str(data.resolve())
    assert (options["options"]["steps"], options["options"]["learning_rate"]) == (4, 1e-3)
    made = json.loads((run / "provenance.json").read_text())
    assert made["versions"]["torch"] == torch.__version__
    assert len(made["data_sha256"]["train"]) == 64
    with (run / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["stage"], row["step"]) for row in rows] == [("unet", "2"), ("unet", "4")]
    assert all(0 <= float(row["f1"]) <= 1 and float(row["loss"]) > 0 for row in rows)
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert set(json.loads((run / "metrics.json").read_text())) == {"validation", "test"}
    assert not list(run.rglob("*.partial"))


def test_the_same_command_resumes_and_another_is_refused(run, data, capsys):
    weights = (run / "weights.safetensors").stat().st_mtime_ns
    assert main(["train", "unet", "--data", str(data), "--out", str(run), *QUICK]) == 0
    assert (run / "weights.safetensors").stat().st_mtime_ns == weights
    assert main(["train", "unet", "--data", str(data), "--out", str(run), *QUICK, "--seed", "5"]) == 1
    assert "seed is 0 there and 5 here" in capsys.readouterr().err


def test_archive_is_valid_and_equals_prediction_and_score(run, data, capsys):
    assert main(["archive", str(run), "--split", "test"]) == 0
    assert main(["predict", str(run), "--split", "test"]) == 0
    assert main(["evaluate", str(run), "--split", "test"]) == 0
    spec = MaskSpec(12)
    packed = mask_zip.read((run / "archives" / "test.zip").read_bytes(), spec)
    probabilities = np.load(run / "probabilities" / "test.npy")
    assert probabilities.shape == (12, 128, 128)
    assert 0 <= probabilities.min() <= probabilities.max() <= 1
    certain = np.abs(probabilities.astype(float) - 0.5) > 1e-3  # stored as float16
    assert (counts.unpack(packed, spec) == (probabilities > 0.5))[certain].all()
    from baseline.data.dataset import load

    expected = counts.count(packed, counts.pack(load(data, "test").masks)).total
    written = json.loads((run / "metrics.json").read_text())
    assert set(written) == {"validation", "test"}  # what was not evaluated now is kept
    metrics = written["test"]
    assert (metrics["tp"], metrics["fp"], metrics["fn"]) == expected
    assert f"F1 {100 * metrics['f1']:.2f} %" in capsys.readouterr().out


def test_training_hands_on_the_weights_as_they_are_loaded_later(run):
    """In another memory layout, bfloat16 rounds differently, and an archive differs from the score."""
    from baseline.training import run as runs
    from baseline.training.world import world

    name, where, options = runs.saved(run)
    with world("cpu", 1) as here:
        opened = runs.start(run, name, where, options, here)
        for predictor in (runs.train(opened), opened.trained()):
            convolutions = [p for p in predictor.parameters() if p.dim() == 4 and p.shape[-1] > 1]
            assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)


def test_predicting_needs_no_training_images(run, data, tmp_path):
    (tmp_path / "ValidData").symlink_to(data / "ValidData")
    assert main(["archive", str(run), "--split", "validation", "--data", str(tmp_path)]) == 0


def test_an_archive_of_images_with_a_gap_is_refused(run, data, tmp_path, capsys):
    shutil.copytree(data / "TestData", tmp_path / "TestData")
    (tmp_path / "TestData" / "img" / "image_5.h5").unlink()
    assert main(["archive", str(run), "--split", "test", "--data", str(tmp_path)]) == 1
    assert "TestData/img lacks image_5.h5" in capsys.readouterr().err


def test_a_missing_split_is_reported_before_training_and_leaves_no_folder(data, tmp_path, capsys):
    for name in ("TrainData", "ValidData"):
        (tmp_path / name).symlink_to(data / name)
    out = tmp_path / "run"
    command = ["train", "consensus", "--data", str(tmp_path), "--out", str(out), *QUICK]
    assert main([*command, "--evaluate-every", "0"]) == 1
    assert "no test images under" in capsys.readouterr().err
    assert main(["train", "unet", "--data", str(tmp_path / "mistyped"), "--out", str(out), *QUICK]) == 1
    assert "no train images under" in capsys.readouterr().err
    assert not out.exists()


def test_a_method_that_adapts_to_nothing_needs_the_training_split_alone(data, tmp_path, capsys):
    (tmp_path / "TrainData").symlink_to(data / "TrainData")
    out = tmp_path / "run"
    assert main(["train", "unet", "--data", str(tmp_path), "--out", str(out), *QUICK]) == 0
    assert (out / "weights.safetensors").exists()


def test_how_often_the_curve_has_a_row_does_not_make_another_run(data, tmp_path, monkeypatch):
    monkeypatch.setattr("baseline.training.run.train", lambda run: sys.exit(run.options.log_every))
    for rows in (1, 3):
        command = ["train", "unet", "--data", str(data), "--out", str(tmp_path / "run"), *QUICK]
        with pytest.raises(SystemExit, match=str(rows)):
            main([*command, "--log-every", str(rows)])


@pytest.mark.parametrize("normalise", ["official", "separated"])
def test_normalisations_train(normalise, data, tmp_path):
    arguments = [
        "train",
        "unet",
        "--data",
        str(data),
        "--out",
        str(tmp_path / "run"),
        *QUICK,
        "--normalise",
        normalise,
    ]
    assert main([*arguments, "--holdout", "0.25", "--precision", "bf16"]) == 0


def test_hold_out_by_site(data, tmp_path, capsys):
    with (data / "TrainData" / "sites.csv").open() as file:
        site = next(csv.DictReader(file))["site"]
    common = ["train", "unet", "--data", str(data), *QUICK, "--holdout-site"]
    assert main([*common, site, "--out", str(tmp_path / "a")]) == 0
    assert main([*common, "atlantis", "--out", str(tmp_path / "b")]) == 1
    assert "atlantis" in capsys.readouterr().err


def test_a_share_however_small_keeps_a_patch_out(data, tmp_path):
    """None would be scored as held out what was trained on."""
    options = Options(holdout=1e-4, normalise="official")
    run = Run(tmp_path, "unet", data, options, World(torch.device("cpu")))
    assert (len(run.held_out), len(run.labelled)) == (1, len(run.pool("train")) - 1)
    assert hold_out(("a", "b"), "b")[0].tolist() == [0]
    with pytest.raises(DataError, match="all patches are of the site 'a'"):
        hold_out(("a", "a"), "a")


def test_list_shows_methods_and_runs(run, capsys):
    assert main(["list", str(run.parent)]) == 0
    shown = capsys.readouterr().out
    assert "the organisers' U-Net baseline" in shown
    assert f"{run}: unet, seed 0, finished" in shown
    assert main(["list", "/nowhere"]) == 0
    assert "No runs in /nowhere." in capsys.readouterr().out


def test_evaluate_says_where_it_looked_for_labels(run, tmp_path, capsys):
    assert main(["evaluate", str(run), "--split", "test", "--labels", str(tmp_path)]) == 1
    assert f"no labels in {tmp_path} (TestData/mask or" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "vnet", "--data", "x"], "no method 'vnet'. The methods are: unet"),
        (["train", "unet", "--data", "/nowhere", "--device", "cpu"], "no train images under /nowhere"),
        (["train", "unet", "--data", "x", "--steps", "0"], "steps is 0; it must be at least 1"),
        (["train", "unet", "--data", "x", "--holdout", "0.9"], "holdout is 0.9"),
        (["train", "unet", "--data", "x", "--device", "tpu9"], "device is 'tpu9'; it can be"),
        (["train", "unet", "--data", "x", "--learning-rate", "-1"], "learning_rate is -1.0; it must be more"),
        (["train", "unet", "--data", "x", "--warmup", "-1"], "warmup is -1; it must be at least 0"),
        (["train", "unet", "--data", "x", "--cycle", "9"], "cycle is 9, but the schedule constant has none"),
        (
            ["train", "consensus", "--data", "x", "--evaluate-every", "9"],
            "evaluate_every is 9, but no patches are held out to evaluate on: add --holdout 0.05.",
        ),
        (["train", "consensus", "--data", "x", "--target", "test"], "each split, validation and test alike."),
        (["study", "tanmlh", "parts", "--data", "x", "--width", "8"], "--width does nothing here. tanmlh:"),
        (
            ["compare", "--out", "x", "--methods", "unet", "consensus", "--weights", "imagenet"],
            "--weights does nothing here. unet: its",
        ),
        (["compare", "--out", "x", "--no-train", "--steps", "5"], "as they are: leave out --steps 5."),
        (["compare", "--out", "x", "--no-train", "--archives"], "as they are: leave out --archives."),
        (["archive", "/nowhere"], "/nowhere is not a run's folder"),
        (["fill", __file__, __file__], "test_commands.py is not a table.json of `compare` or `study`"),
    ],
)
def test_errors_name_the_thing_and_the_fix(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert said in capsys.readouterr().err


def test_an_interruption_shows_no_trace(data, tmp_path, monkeypatch, capsys):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("baseline.training.run.train", interrupted)
    assert main(["train", "unet", "--data", str(data), "--out", str(tmp_path), *QUICK]) == 130
    assert capsys.readouterr().err == "Stopped. The same command goes on.\n"


def test_a_full_disk_is_named_and_what_was_there_is_kept(tmp_path):
    from baseline.training.loop import save_atomically

    class Full:
        def __reduce__(self):
            raise OSError(28, "No space left on device")

    path = tmp_path / "unet.pt"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=r"unet\.pt could not be written: is the disk full"):
        save_atomically(Full(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["unet.pt"]
    assert path.read_bytes() == b"old"


def test_help_of_a_method_names_no_option_that_does_nothing_in_it(capsys):
    shown = {}
    for name in ("unet", "consensus"):
        with pytest.raises(SystemExit):
            main(["train", name, "--help"])
        shown[name] = capsys.readouterr().out
    assert "--target" not in shown["unet"]
    assert "--weights" not in shown["consensus"]
    assert "--steps" in shown["consensus"]


def test_idle_options_exist():
    for name in METHODS:
        assert set(getattr(method(name), "IDLE", {})) <= set(Options().to_dict())


def test_train_without_a_method_lists_them(capsys):
    assert main(["train", "--help"]) == 0
    assert "unet" in capsys.readouterr().out


class Leaderboard(BaseHTTPRequestHandler):
    """Takes a submission and has scored it at the second look."""

    archive = b""
    patches = 8

    def do_POST(self):
        Leaderboard.archive = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(201, {"id": 3, "state": "queued"})

    def do_GET(self):
        if self.path.endswith("/phases/"):
            self.answer(200, [{"id": 9, "competition": "l4s", "slug": "validation", "patches": self.patches}])
        else:
            self.answer(200, {"id": 3, "state": "scored", "f1": 0.125})

    def answer(self, status, content):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def address(monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), Leaderboard)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("L4S_TOKEN", "secret")
    monkeypatch.setattr(Leaderboard, "archive", b"")
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_submit_makes_the_archive_and_waits_for_the_score(run, address, capsys):
    assert main(["submit", str(run), "--split", "validation", "--server", address]) == 0
    assert (run / "archives" / "validation.zip").read_bytes() in Leaderboard.archive
    assert b"the organisers' U-Net baseline. Trained by" in Leaderboard.archive
    assert b'name="phase"\r\n\r\n9\r\n' in Leaderboard.archive
    assert "Submission 3: scored, F1 12.50 %" in capsys.readouterr().out


def test_submit_rewrites_an_archive_that_was_made_differently(run, data, address, tmp_path):
    (tmp_path / "ValidData").symlink_to(data / "ValidData")
    path = run / "archives" / "validation.zip"
    submit = ["submit", str(run), "--split", "validation", "--server", address]
    assert main(["archive", str(run), "--split", "validation", "--data", str(tmp_path)]) == 0
    first = path.stat().st_mtime_ns
    assert main([*submit, "--data", str(tmp_path)]) == main(submit) == 0
    assert path.stat().st_mtime_ns == first
    assert main([*submit, "--threshold", "0"]) == 0
    packed = mask_zip.read(path.read_bytes(), MaskSpec(8))
    assert counts.unpack(packed, MaskSpec(8)).all()
    assert path.read_bytes() in Leaderboard.archive
    assert main([*submit, "--data", str(data), "--threshold", "0.5"]) == 0
    assert path.stat().st_mtime_ns != first


def test_submit_without_a_token_says_where_it_goes(run, address, monkeypatch, capsys):
    monkeypatch.delenv("L4S_TOKEN")
    assert main(["submit", str(run), "--server", address]) == 1
    assert "L4S_TOKEN" in capsys.readouterr().err


def test_submit_refuses_an_archive_of_other_patches(run, address, monkeypatch, capsys):
    monkeypatch.setattr(Leaderboard, "patches", 245)
    assert main(["submit", str(run), "--split", "validation", "--server", address]) == 1
    assert "holds 8 masks, but l4s/validation takes 245. Name the folder" in capsys.readouterr().err
    assert not Leaderboard.archive
