"""python -m evaluation check and score."""

import json
import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from evaluation.__main__ import main
from evaluation.archive import mask_zip
from tests.evaluation import corpus
from tests.evaluation.test_labels import folder_of
from tests.evaluation.zips import build


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(1)
    truth = rng.random((5, 128, 128)) < 0.1
    prediction = truth ^ (rng.random(truth.shape) < 0.05)
    mask_zip.write(tmp_path / "submission.zip", prediction)
    mask_zip.write(tmp_path / "truth.zip", truth)
    folder_of(tmp_path / "truth", truth)
    (tmp_path / "bad.zip").write_bytes(build(corpus.entries(b"no HDF5")))
    return tmp_path, truth, prediction


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    return code, capsys.readouterr().out


def test_check(files, capsys):
    folder, _, _ = files
    assert run(capsys, "check", folder / "submission.zip", "--patches", 5)[0] == 0
    code, out = run(capsys, "check", folder / "submission.zip", "--patches", 5, "--json")
    assert (code, json.loads(out)) == (0, {"valid": True, "problems": []})
    code, out = run(capsys, "check", folder / "bad.zip", "--patches", 3)
    assert code == 1
    assert out.startswith("not_hdf5: mask_2.h5\n    The file does not begin as an HDF5 file does.")
    code, out = run(capsys, "check", folder / "bad.zip", "--patches", 4, "--json")
    told = json.loads(out)
    assert (code, told["valid"]) == (1, False)
    assert {(p["code"], p["file"]) for p in told["problems"]} == {
        ("missing_file", "mask_4.h5"),
        ("not_hdf5", "mask_2.h5"),
    }
    assert all(p["message"] for p in told["problems"])


@pytest.mark.parametrize("truth_name", ["truth", "truth.zip"])
def test_score(files, capsys, truth_name):
    folder, truth, prediction = files
    code, out = run(capsys, "score", folder / "submission.zip", folder / truth_name, "--json")
    told = json.loads(out)
    p, r, f, _ = precision_recall_fscore_support(truth.ravel(), prediction.ravel(), average="binary")
    assert code == 0
    assert (told["precision"], told["recall"], told["f1"]) == pytest.approx((p, r, f), abs=1e-15)
    assert told["tp"] == (truth & prediction).sum()
    assert told["fp"] == (~truth & prediction).sum()
    assert told["fn"] == (truth & ~prediction).sum()
    code, out = run(capsys, "score", folder / "submission.zip", folder / truth_name)
    assert code == 0
    assert f"f1        {100 * f:.2f} %" in out


def test_score_of_a_bad_archive(files, capsys):
    folder, _, _ = files
    code, out = run(capsys, "score", folder / "bad.zip", folder / "truth", "--json")
    assert code == 1
    assert {p["code"] for p in json.loads(out)["problems"]} == {"not_hdf5", "missing_file"}
    assert run(capsys, "score", folder / "submission.zip", folder / "bad.zip")[0] == 1


def test_wrong_use(files, capsys):
    folder, _, _ = files
    assert main(["check", str(folder / "nothing.zip"), "--patches", "5"]) == 2
    assert "nothing.zip" in capsys.readouterr().err
    assert main(["check", str(folder / "bad.zip"), "--patches", "0"]) == 2
    with pytest.raises(SystemExit):
        main(["check", str(folder / "bad.zip"), "--patches", "5", "--size", "big"])


def test_as_a_program(files):
    folder, _, _ = files
    command = [sys.executable, "-m", "evaluation", "check", str(folder / "bad.zip"), "--patches", "3"]
    assert subprocess.run(command, capture_output=True).returncode == 1
