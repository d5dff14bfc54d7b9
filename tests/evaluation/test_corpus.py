"""Hostile and unusual archives: the same right verdict by every path, and nothing outside is touched."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluation.archive import mask_zip
from evaluation.archive.problems import MOST, InvalidArchive
from evaluation.sandbox.reader import Reader
from evaluation.scoring.counts import unpack
from tests.evaluation import corpus


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    label = folder / "label.h5"
    label.write_bytes(corpus.mask_file(corpus.MASKS[0]))
    os.mkfifo(folder / "pipe")
    return [*corpus.valid(), *corpus.hostile(label)]


def verdict(read, case):
    """None for the right one, else what was said instead."""
    started = time.monotonic()
    try:
        masks = unpack(read(case.data, corpus.SPEC), corpus.SPEC)
    except InvalidArchive as invalid:
        problems = invalid.problems
        assert 0 < len(problems) <= MOST
        for p in problems:
            assert p.message.isascii(), (case.name, p)
            assert p.message.isprintable(), (case.name, p)
            assert not set(p.file) & set("<>&\"'{}%"), (case.name, p)
            assert len(p.file) <= 80, (case.name, p)
            assert not any(word in p.message for word in ("Errno", "H5", "synchronously", "/etc", "/proc")), (
                case.name,
                p,
            )
        codes = {problem.code for problem in problems}
        return (
            None
            if case.masks is None and codes == case.codes
            else f"{case.name}: {codes}, expected {set(case.codes)}"
        )
    assert time.monotonic() - started < 10, case.name
    if case.masks is None:
        return f"{case.name}: accepted, expected {set(case.codes)}"
    return None if (masks == case.masks).all() else f"{case.name}: other masks"


def test_the_numbers_in_the_readme_are_those_of_the_corpus(cases):
    refused = sum(case.masks is None for case in cases)
    numbers = f"{len(cases)} archives ({refused} that must be refused, {len(cases) - refused} unusual ones"
    assert numbers in (Path(__file__).parents[2] / "evaluation/README.md").read_text()
    assert len({case.name for case in cases}) == len(cases)


@pytest.mark.parametrize("learn", [True, False])
def test_the_guards_alone_give_the_right_verdict(cases, learn):
    wrong = [verdict(lambda data, spec: mask_zip.read(data, spec, learn=learn), case) for case in cases]
    assert [text for text in wrong if text] == []


def test_the_reader_gives_the_right_verdict(cases):
    with Reader() as reader:
        wrong = [verdict(reader.read, case) for case in cases]
        assert len(reader.pids) == 2
    assert [text for text in wrong if text] == []


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed (Debian: apt install strace)")
def test_the_guards_alone_open_nothing(tmp_path):
    """Traced: from the first archive to the last, no file is opened, looked at or listed; nothing is started.

    Only libhdf5's own names for files in memory turn up, which no archive chooses and no file has.
    """
    trace = tmp_path / "trace"
    calls = "trace=%file,%network,execve,fork,vfork,clone,clone3,write"
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        calls,
        sys.executable,
        "-m",
        "tests.evaluation.corpus",
    ]
    subprocess.run(
        command, check=True, timeout=110, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}, capture_output=True
    )
    lines = trace.read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if "BEGIN" in line)
    end = next(i for i, line in enumerate(lines) if "END" in line)
    assert any("openat(" in line for line in lines[:begin]), "the trace shows nothing at all"
    own = re.compile(
        r'getcwd\(|openat\(AT_FDCWD, "file_image_\d+", O_RDONLY\) += -1 ENOENT|write\(1, "\\n", 1\)'
    )
    assert [line for line in lines[begin + 1 : end] if not own.search(line)] == []
