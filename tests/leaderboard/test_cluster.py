"""Many hosts in network namespaces, in the short form of `make cluster`."""

import re
import subprocess
import sys

import pytest

from benchmarks.hosts import possible
from tests.conftest import ROOT


@pytest.mark.worker
@pytest.mark.timeout(600)
def test_nothing_is_lost_while_hosts_are_cut_off_killed_and_upgraded() -> None:
    if reason := possible():
        pytest.skip(f"NO CLUSTER: {reason}")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", "--short"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-3000:]
    acts = re.findall(r"^\| (.+?) \| (\d+) \| (.+?) \|", done.stdout, re.MULTILINE)
    assert len(acts) == 5
    assert all(int(accepted) > 0 for _, accepted, _ in acts), done.stdout
    (figures,) = re.findall(
        r"accepted: (\d+), scored: (\d+), lost: 0, doubled: 0, attempts wrong: 0", done.stdout
    )
    assert figures[0] == figures[1]
