"""`manage.py demo`: what a newcomer finds after `make demo`, and what nobody may find."""

import json
import logging
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from baseline import synth
from baseline.data.dataset import load
from leaderboard.models import DataFile, Phase, Submission, User
from leaderboard.reporting.boards import board_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def demo(settings, folder: Path, *flags: str) -> dict:
    settings.DATA_DIR = folder
    settings.MEDIA_ROOT = folder / "media"
    call_command("demo", "--preset", "tiny", *flags)
    return json.loads((folder / "demo.json").read_text())


def test_a_newcomer_finds_a_board_two_accounts_and_an_archive(settings, tmp_path, capsys) -> None:
    notes = demo(settings, tmp_path / "data")
    told = capsys.readouterr().out
    for account in (notes["team"], notes["organiser"]):
        assert User.objects.get(username=account["username"]).check_password(account["password"])
        assert re.search(rf"{account['username']} +{re.escape(account['password'])}", told)
    phase = Phase.objects.get(pk=notes["phase"])
    assert phase.is_open(timezone.now())
    board = board_of(phase, User.objects.get(username="team"), timezone.now())
    scores = [row.scores.f1.value for row in board.rows]
    assert [row.rank for row in board.rows] == [1 + sum(other > own for other in scores) for own in scores]
    assert len(scores) == 4
    assert all(0 < row.scores.f1.value < 1 for row in board.rows)
    assert {s.state for s in Submission.objects.all()} == {"scored"}
    assert all(Path(archive).stat().st_size for archive in notes["archives"])
    assert len(load(Path(notes["images"]), "validation", masks=False).images) == 8


def test_labels_are_hidden_and_their_seed_forgotten(settings, tmp_path) -> None:
    demo(settings, tmp_path / "data")
    assert not list((tmp_path / "data/public").glob("*/mask"))
    assert "seed" not in json.loads((tmp_path / "data/public/synthl4s.json").read_text())
    assert not (tmp_path / "data/hidden/synthl4s.json").exists()
    assert (tmp_path / "data/hidden").stat().st_mode & 0o077 == 0
    assert (tmp_path / "data/demo.json").stat().st_mode & 0o077 == 0


def test_a_known_seed_makes_the_same_again(settings, tmp_path, capsys) -> None:
    image = "public/TestData/img/image_3.h5"
    demo(settings, tmp_path / "data", "--seed", "5")
    first, users = (tmp_path / "data" / image).read_bytes(), User.objects.count()
    capsys.readouterr()
    demo(settings, tmp_path / "data", "--seed", "6")
    assert "already exists and is kept" in capsys.readouterr().out
    assert (User.objects.count(), (tmp_path / "data" / image).read_bytes()) == (users, first)
    synth.generate(tmp_path / "again", "tiny", 5, splits=["test"], processes=1)
    assert (tmp_path / "again/TestData/img/image_3.h5").read_bytes() == first


def test_the_demo_offers_its_images(settings, tmp_path) -> None:
    demo(settings, tmp_path / "data")
    files = {row.name: row for row in DataFile.objects.select_related("phase")}
    assert list(files) == ["TrainData.zip", "ValidData.zip", "TestData.zip"]
    assert files["TestData.zip"].phase.slug == "test"
    with files["ValidData.zip"].file.open() as stored, zipfile.ZipFile(stored) as archive:
        assert len(archive.namelist()) == 8
        assert archive.namelist()[0].startswith("ValidData/img/image_")
    with files["TrainData.zip"].file.open() as stored, zipfile.ZipFile(stored) as archive:
        assert any("/mask/" in name for name in archive.namelist())
    assert Phase.objects.get(slug="validation").quick_looks.count() == 8 * 3
