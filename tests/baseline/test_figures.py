"""Figures 9 and 10: what they show is what the runs compute."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from baseline.__main__ import main  # noqa: E402
from baseline.cli.train import opened  # noqa: E402
from baseline.experiments import figures  # noqa: E402
from baseline.training.pseudo import most_confident  # noqa: E402

QUICK = ["--preset", "tiny", "--steps", "2", "--device", "cpu", "--threads", "1", "--confident", "0"]


@pytest.fixture(scope="module")
def swin(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "rgb"
    assert main(["train", "seek", "--data", str(data), "--out", str(folder), *QUICK]) == 0
    return folder


def test_activations_follow_what_the_encoder_responds_to(swin):
    with opened(swin) as run:
        network, pool = run.trained().networks[0], run.pool("test")
        maps = figures.activations(network, pool, [0, 2])
        assert maps.shape == (2, 128, 128)
        assert (maps.amin((1, 2)) == 0).all()
        assert (maps.amax((1, 2)) == 1).all()
        pool.images[2] = pool.images[0]
        same = figures.activations(network, pool, [0, 2])
        assert torch.equal(same[0], same[1])
        assert not torch.equal(maps[0], maps[1])


def test_figure_9_is_drawn_of_several_runs(swin, tmp_path, capsys):
    out = tmp_path / "figures/9.png"
    assert (
        main(["figures", "activations", f"RGB={swin}", f"again={swin}", "--out", str(out), "--patches", "2"])
        == 0
    )
    assert out.read_bytes().startswith(b"\x89PNG")


def test_figure_10_shows_what_each_share_selects(swin, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "_draw", lambda pictures, titles, path: drawn.extend([pictures, titles]))
    assert (
        main(["figures", "pseudo-labels", str(swin), "--out", str(tmp_path / "10.png"), "--patches", "3"])
        == 0
    )
    pictures, titles = drawn
    assert titles == ["image", "λ = 50 %", "λ = 70 %", "λ = 90 %", "λ = 100 %"]
    with opened(swin) as run:
        rows = figures.richest(run, "test", 3)
        labels = most_confident(run.predicted(run.trained(), run.pool("test")), 0.7)[rows].numpy()
        counts = (run.pool("test").labels == 1).sum((1, 2))
        assert counts[rows[0]] == counts.max()
    for place in range(3):
        for value, colour in figures._CLASSES.items():
            shown = np.all(np.isclose(pictures[place][2], colour), axis=-1)
            assert (shown == (labels[place] == value)).all()


def test_a_network_without_a_library_encoder_is_explained(data, tmp_path, capsys):
    folder = tmp_path / "unet"
    flags = ["--preset", "tiny", "--steps", "2", "--width", "4", "--device", "cpu", "--threads", "1"]
    assert main(["train", "unet", "--data", str(data), "--out", str(folder), *flags]) == 0
    assert main(["figures", "activations", str(folder), "--out", str(tmp_path / "9.png")]) == 1
    assert "train seek with --network swin" in capsys.readouterr().err
