"""The scorer alone: its wheel, installed where nothing but numpy and h5py is.

The virtual environment is empty; numpy and h5py (and cryptography for one test) are links to those of the environment
that runs the tests. So no package index is needed, and pip still checks that the wheel asks for nothing else.
"""

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest

from evaluation import __version__
from evaluation.archive import mask_zip
from evaluation.scoring import labels
from evaluation.trust import receipts
from evaluation.trust.audit_log import digest_of
from tests.evaluation import corpus
from tests.evaluation.zips import build

ROOT = Path(__file__).resolve().parents[2]
PACKAGED = ("evaluation", "l4s")
SOURCES = (*PACKAGED, "leaderboard", "rehearsal", "baseline", "templates", "tests/evaluation")
SALT = "5" * 64


def run(*command, **options):
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=100, **options
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing is written into the working tree and no old build slips in."""
    copy, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "runs"))
    for name in ("pyproject.toml", "LICENSE", "README.md", "manage.py"):
        shutil.copy(ROOT / name, copy)
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet")
    made = run(*pip, "--wheel-dir", target, copy)
    assert made.returncode == 0, made.stderr
    (path,) = target.iterdir()
    return path


def link(packages, environment):
    """Make installed distributions visible in another environment."""
    here = Path(sysconfig.get_path("purelib"))
    for package in packages:
        for name in {file.parts[0] for file in distribution(package).files or ()} - {"..", "__pycache__"}:
            if not (target := environment / name).exists():
                target.symlink_to(here / name)


@pytest.fixture(scope="module")
def alone(wheel, tmp_path_factory):
    """(folder of programs, site-packages) of a virtual environment that holds the wheel, numpy and h5py."""
    home = tmp_path_factory.mktemp("alone") / "venv"
    assert run(sys.executable, "-m", "venv", "--without-pip", home).returncode == 0
    packages = Path(
        run(
            home / "bin/python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"
        ).stdout.strip()
    )
    link(("numpy", "h5py"), packages)
    pip = (sys.executable, "-m", "pip", "--python", home / "bin/python", "install", "--no-index", "--quiet")
    installed = run(*pip, wheel)
    assert installed.returncode == 0, installed.stderr
    return home / "bin", packages


@pytest.fixture(scope="module")
def l4s(alone, tmp_path_factory):
    """Runs `l4s` in an empty folder, and says what came of it."""
    folder = tmp_path_factory.mktemp("work")

    def command(*arguments):
        return run(alone[0] / "l4s", *arguments, cwd=folder, env={"PATH": "/usr/bin:/bin"})

    command.folder = folder
    return command


@pytest.fixture(scope="module")
def files(l4s):
    """A good and a bad file for each command."""
    folder = l4s.folder
    mask_zip.write(folder / "good.zip", corpus.MASKS)
    (folder / "bad.zip").write_bytes(build(corpus.entries(b"no HDF5")))
    mask_zip.write(folder / "truth.zip", corpus.MASKS[::-1])
    with (folder / "counts.csv").open("w") as file:
        rows = [("a", 1, 5, 1, 2), ("a", 2, 6, 0, 1), ("b", 1, 4, 1, 3), ("b", 2, 7, 2, 0)]
        csv.writer(file).writerows([("team", "patch", "tp", "fp", "fn"), *rows])
    (folder / "bad.csv").write_text("team,patch\na,1\n")
    statement = {"format": receipts.FORMAT, "f1": 0.5}
    receipt = receipts.sign(statement, "secret")
    (folder / "receipt.json").write_text(json.dumps(receipt))
    receipt["statement"] = statement | {"f1": 0.9}
    (folder / "forged.json").write_text(json.dumps(receipt))
    (folder / "key.pem").write_text(receipts.public_key("secret"))
    packed, spec = labels.load(folder / "truth.zip")
    commitment = receipts.commitment(SALT, labels.sha256(packed, spec))
    body = {
        "previous": "",
        "at": "2026-01-01T00:00:00Z",
        "actor_name": "ada",
        "act": "opened",
        "subject": "phase",
    }
    entry = body | {"reason": "", "details": {}, "public": True}
    entry["digest"] = digest_of(entry)
    (folder / "log.json").write_text(json.dumps({"head": entry["digest"], "entries": [entry]}))
    entry["subject"] = "another"
    (folder / "bad.json").write_text(json.dumps({"head": entry["digest"], "entries": [entry]}))
    return {"commitment": commitment}


def test_the_wheel_carries_the_scorer_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (metadata,) = [opened.read(name).decode() for name in names if name.endswith(".dist-info/METADATA")]
    assert {name.split("/")[0] for name in names} == {
        *PACKAGED,
        f"landslide4sense-{__version__}.dist-info",
    }
    sources = {str(path.relative_to(ROOT)) for name in PACKAGED for path in (ROOT / name).rglob("*.py")}
    assert sources == {name for name in names if name.endswith(".py")}
    required = [
        line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra" not in line
    ]
    assert required == ["Requires-Dist: numpy", "Requires-Dist: h5py"]


def test_the_server_is_not_there(alone):
    for package in ("django", "celery", "torch", "leaderboard", "baseline", "rehearsal", "tests"):
        assert run(alone[0] / "python", "-c", f"import {package}", cwd="/").returncode == 1, package


def test_one_version(l4s, alone):
    assert l4s("--version").stdout == f"l4s {__version__}\n"
    command = "import importlib.metadata as m, evaluation; print(m.version('landslide4sense'), evaluation.__version__)"
    assert run(alone[0] / "python", "-c", command, cwd="/").stdout.split() == [__version__] * 2


def test_check(l4s, files):
    good = l4s("check", "good.zip", "--patches", 3)
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout == "good.zip: all 3 masks are valid.\n"
    bad = l4s("check", "bad.zip", "--patches", 3, "--json")
    assert bad.returncode == 1
    assert [problem["code"] for problem in json.loads(bad.stdout)["problems"]] == ["not_hdf5"]
    assert l4s("check", "nothing.zip", "--patches", 3).returncode == 2


def test_commands_that_need_a_server_name_the_package_that_is_missing(l4s, files):
    found = l4s(
        "submit", "good.zip", "--phase", "validation", "--method", "U-Net", "--server", "http://127.0.0.1:9"
    )
    assert found.returncode == 2
    assert "landslide4sense[client]" in found.stderr


def test_as_a_module(alone, l4s, files):
    command = (alone[0] / "python", "-m", "evaluation", "check", "good.zip", "--patches", 3)
    assert run(*command, cwd=l4s.folder).returncode == 0


def test_score(l4s, files):
    good = l4s("score", "good.zip", "truth.zip", "--json")
    assert good.returncode == 0, good.stderr
    truth, prediction = corpus.MASKS[::-1], corpus.MASKS
    assert json.loads(good.stdout)["tp"] == np.count_nonzero(truth & prediction)
    assert l4s("score", "bad.zip", "truth.zip").returncode == 1


def test_report(l4s, files):
    good = l4s("report", "counts.csv", "--replicates", 100, "--json")
    assert good.returncode == 0, good.stderr
    assert {row["team"] for row in json.loads(good.stdout)["board"]} == {"a", "b"}
    bad = l4s("report", "bad.csv")
    assert (bad.returncode, bad.stderr) == (1, "")
    assert "no column tp, fp, fn" in bad.stdout


def test_verify_labels(l4s, files):
    assert l4s("verify-labels", "truth.zip", files["commitment"], SALT).returncode == 0
    other = hashlib.sha256(b"").hexdigest()
    assert l4s("verify-labels", "truth.zip", other, SALT).returncode == 1
    assert l4s("verify-labels", "bad.zip", files["commitment"], SALT).returncode == 1


def test_verify_log(l4s, files):
    assert l4s("verify-log", "log.json").returncode == 0
    assert l4s("verify-log", "bad.json").returncode == 1


def test_verify_without_cryptography_does_not_say_that_a_receipt_is_forged(l4s, files):
    for receipt in ("receipt.json", "forged.json"):
        found = l4s("verify", receipt, "key.pem")
        assert (found.returncode, found.stdout) == (2, "")
        assert "pip install cryptography" in found.stderr


def test_verify_with_cryptography(l4s, alone, files):
    link(("cryptography", "cffi"), alone[1])
    good = l4s("verify", "receipt.json", "key.pem")
    assert good.returncode == 0, good.stderr
    assert '"f1": 0.5' in good.stdout
    assert l4s("verify", "forged.json", "key.pem").returncode == 1


def test_without_zlib_ng_the_counts_are_the_same(alone, l4s, files):
    command = "from evaluation.archive.layout import inflater; print(inflater.__name__)"
    assert run(alone[0] / "python", "-c", command, cwd="/").stdout.strip() == "zlib"
    made = io.BytesIO()
    mask_zip.write(made, np.random.default_rng(1).integers(0, 2, (3, 128, 128)))
    (l4s.folder / "random.zip").write_bytes(made.getvalue())
    assert json.loads(l4s("score", "random.zip", "random.zip", "--json").stdout)["f1"] == 1
