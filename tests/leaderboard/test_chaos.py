"""The short form of the chaos run, on the back end of this test run. The whole: `make chaos`."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.worker
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("transactional_db")  # so that it runs on both back ends
def test_nothing_is_lost_doubled_or_charged(request: pytest.FixtureRequest) -> None:
    backend = request.config.getoption("backend")
    command = [sys.executable, "-m", "benchmarks.chaos", "--short", "--backend", backend]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=390, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    for fault in ("kill -9 every worker", "archives swapped, cut, changed, emptied, deleted"):
        assert f"| {fault} |" in done.stdout
