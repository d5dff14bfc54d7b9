"""The variants of a study share trained stages, with results identical to training each alone."""

from importlib.util import find_spec

import pytest

torch = pytest.importorskip("torch")
load_file = pytest.importorskip("safetensors.torch").load_file

from baseline.__main__ import main  # noqa: E402
from baseline.experiments.study import Study, table  # noqa: E402
from baseline.methods import METHODS, method  # noqa: E402

needs_libraries = pytest.mark.skipif(
    find_spec("segmentation_models_pytorch") is None, reason="the model libraries are an extra"
)
QUICK = ["--preset", "tiny", "--steps", "2", "--log-every", "1", "--device", "cpu", "--threads", "1"]
TEST = ["--target", "test"]


@pytest.mark.parametrize(
    ("name", "flags", "earlier", "later", "shared", "own"),
    [
        pytest.param(
            "kingdrone",
            ["--networks", "segformer", "--round-steps", "2", "--selection", "prior", "--no-guard", *TEST],
            {"rounds": 1},
            {"rounds": 2},
            {"segformer-0", "segformer-1-test"},
            {"segformer-2-test"},
            marks=needs_libraries,
        ),
        (
            "seek",
            ["--network", "unet", "--width", "4", *TEST],
            {"confident": 0.0},
            {"confident": 0.5},
            {"stage-1", "stage-2"},
            {"self-training-test"},
        ),
        pytest.param(
            "tanmlh",
            ["--mix-up", "0", "--no-crf", "--runs", "1", *TEST],
            {"self_training": False},
            {"self_training": True},
            {"teacher"},
            {"student-test"},
            marks=needs_libraries,
        ),
        ("consensus", ["--width", "4"], {"views": 2}, {"measured": False, "views": 1}, {"network"}, set()),
    ],
)
def test_a_stage_taken_over_is_the_one_that_would_be_trained(
    data, tmp_path, monkeypatch, name, flags, earlier, later, shared, own
):
    variants = {"earlier": earlier, "later": later}
    monkeypatch.setattr(method(name), "STUDIES", {"pair": Study("a test", "later", variants)}, raising=False)
    command = ["study", name, "pair", "--data", str(data), "--out", str(tmp_path / "study"), *QUICK, *flags]
    assert main(command) == 0
    stages = list((tmp_path / "study/later-0/stages").iterdir())
    assert {path.stem for path in stages if path.is_symlink()} == shared
    assert {path.stem for path in stages if not path.is_symlink()} == own

    monkeypatch.delattr(method(name), "UNSEEN")
    alone = ["study", name, "pair", "--data", str(data), "--out", str(tmp_path / "alone"), *QUICK, *flags]
    monkeypatch.setattr(method(name), "STUDIES", {"pair": Study("a test", "later", {"later": later})})
    assert main(alone) == 0
    assert not [path for path in (tmp_path / "alone/later-0/stages").iterdir() if path.is_symlink()]
    weights = [load_file(tmp_path / f"{folder}/later-0/weights.safetensors") for folder in ("study", "alone")]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_unseen_options_exist():
    for name in METHODS:
        for options in getattr(method(name), "UNSEEN", {}).values():
            assert options <= set(method(name).Options().to_dict())


def test_the_team_s_own_row_is_one_of_the_study():
    for name in METHODS:
        for study in getattr(method(name), "STUDIES", {}).values():
            assert study.own in study.rows


def test_a_table_has_precision_and_recall_where_the_study_asks_for_them():
    row = {"split": "test", "f1": 0.5, "best_f1": 0.6, "precision": 0.7, "recall": 0.4, "seed": 0}
    content = {
        "method": "seek",
        "study": "confidence",
        "preset": "tiny",
        "runs": [row | {"variant": "before"}],
    }
    header, _, line = table(content).splitlines()
    assert header == "| tiny, seed 0 | test F1 (best threshold) | test precision | test recall |"
    assert line == "| before | 50.0 (60.0) | 70.0 | 40.0 |"
    content["study"] = "bands"
    assert "precision" not in table(content)
