"""A method trained, its masks submitted by REST, its entry on the board: the whole way of `make reference`, in small."""

import shutil
from pathlib import Path

import pytest
from django.utils import timezone

pytest.importorskip("torch")

from baseline import synth
from baseline.__main__ import main
from baseline.data import dataset as data
from leaderboard.actions.accounts import create_token
from leaderboard.models import Phase, Submission
from leaderboard.reporting.boards import board_of
from tests.leaderboard.factories import Cast, make_labels, make_phase

pytestmark = [pytest.mark.worker, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A competition's public images, and the folder of its hidden masks."""
    images, masks = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("masks")
    synth.generate(images, "tiny", 77, splits=("validation", "test"), mask_root=masks, processes=1)
    return images, masks


def test_from_training_to_the_board(
    cast: Cast, made, live_server, worker, tmp_path, monkeypatch, capsys
) -> None:
    images, masks = made
    make_labels(cast.phase, data.load(images, "validation", mask_root=masks).masks)
    later = make_phase(cast.competition, "test", labels=False, opens_at="2040-01-01T00:00Z")
    monkeypatch.setenv("L4S_TOKEN", create_token(cast.organiser, "trainer")[1])
    command = [
        "reference",
        "--server",
        live_server.url,
        "--images",
        str(images),
        "--out",
        str(tmp_path / "out"),
    ]
    command += ["--preset", "tiny", "--seeds", "3", "--device", "cpu", "--threads", "1"]
    command += ["--steps", "2", "--width", "4", "--batch", "4", "--evaluate-every", "0"]
    assert main(command) == 0, capsys.readouterr().err
    assert "test.zip was not submitted. Forbidden (403)\nTest has no labels yet" in capsys.readouterr().out
    make_labels(later, data.load(images, "test", mask_root=masks).masks)
    assert main(command) == 0, capsys.readouterr().err  # trains and submits nothing twice
    out = capsys.readouterr().out
    entry = Submission.objects.get(phase=cast.phase)
    assert Submission.objects.get(phase=later).evaluation.state == "scored"  # before the phase opens
    assert (entry.reference, entry.method) == (True, "U-Net baseline (preset tiny, seed 3)")
    assert "the organisers' U-Net baseline. Trained by `python -m baseline train unet`" in entry.description
    board = board_of(Phase.objects.get(pk=cast.phase.pk), cast.stranger, timezone.now())
    assert board.rows == []
    [row] = board.references
    assert (row.rank, row.submission) == (None, entry)
    line = next(line for line in out.splitlines() if line.startswith("reference "))
    assert line.split()[1:-3] == [*entry.method.split(), *3 * [row.scores.f1.percent]]
    trained_on = tmp_path / "out/data-tiny-3"
    assert len(list((trained_on / "TrainData/mask").iterdir())) == 24
    assert (trained_on / "TestData").resolve() == (images / "TestData").resolve()


def test_other_images_need_another_folder(made, tmp_path, capsys) -> None:
    from baseline.submitting import reference

    images, _ = made
    with pytest.raises(data.DataError, match="holds no ValidData/img/image_N"):
        reference.make_data(tmp_path / "out", tmp_path, "tiny", 0)
    reference.make_data(tmp_path / "out", images, "tiny", 0)
    others = Path(shutil.copytree(images, tmp_path / "others"))
    with pytest.raises(data.DataError, match="was made for the images in"):
        reference.make_data(tmp_path / "out", others, "tiny", 0)
