"""The examples of docs/scripting.md, run as they stand against a real server with a real worker."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.archive import mask_zip
from leaderboard.actions.accounts import create_token
from leaderboard.models import Submission
from tests.leaderboard.factories import TINY, Cast, make_archive

pytestmark = [pytest.mark.worker, pytest.mark.django_db(transaction=True)]
ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/scripting.md").read_text()
RUNNERS = {"sh": ["bash", "-euo", "pipefail"], "python": [sys.executable], "r": ["Rscript", "--vanilla"]}
EXAMPLES = re.findall(r"^```(sh|python|r)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def run(cast: Cast, live_server, tmp_path):
    """Runs an example in a folder with submission.zip, with `l4s` on the path; returns what it printed."""
    (tmp_path / "submission.zip").write_bytes(make_archive())
    command = tmp_path / "bin/l4s"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m l4s "$@"\n')
    command.chmod(0o755)
    token = create_token(cast.owner, "script")[1]
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "PHASE": str(cast.phase.pk)}
    environment |= {"L4S_SERVER": live_server.url, "L4S_TOKEN": token}

    def run(language: str, text: str) -> str:
        script = tmp_path / "example"
        script.write_text(text)
        command = [*RUNNERS[language], str(script)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=90
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    return run


def has_r() -> bool:
    command = ["Rscript", "--vanilla", "-e", "library(httr2)", "-e", "library(jsonlite)"]
    return shutil.which("Rscript") is not None and not subprocess.run(command, capture_output=True).returncode


def test_the_page_has_an_example_of_each_kind() -> None:
    assert {language for language, _ in EXAMPLES} == set(RUNNERS)


@pytest.mark.parametrize(
    ("language", "text"), EXAMPLES, ids=[f"{kind}-{n}" for n, (kind, _) in enumerate(EXAMPLES)]
)
def test_an_example_works(language: str, text: str, run, worker, tmp_path) -> None:
    if language == "r" and not has_r():
        pytest.skip("NO R with the packages httr2 and jsonlite: its example was not run")
    out = run(language, text)
    if "webhook-id" in text:
        return  # tests/leaderboard/test_webhooks.py calls its function
    if "board.csv" in text and "l4s" not in text:
        assert (tmp_path / "board.csv").read_text().startswith("rank,kind,team,")
        return
    if "submission-empty.zip" in text:
        masks = mask_zip.read((tmp_path / "submission-empty.zip").read_bytes(), TINY)
        assert not masks.any()
        return
    if "submi" not in text:
        assert '"rows":' in (tmp_path / "board.json").read_text()
        return
    [submission] = Submission.objects.all()
    assert submission.evaluation.state == "scored"
    shown = {
        "library(": "scored 1",
        "l4s submit": "F1 100.00 %",
        "AsyncClient": str(submission.pk),
        "F1 {": "F1 100.00 %",
    }
    shown |= {"curl": '"state":"scored"'}
    expected = next(expected for word, expected in shown.items() if word in text)
    assert expected in out
    run(language, text)  # once more: no second submission
    assert Submission.objects.count() == 1
