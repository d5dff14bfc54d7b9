"""One thread for torch in these tests: two spin against each other on a busy machine and cost four times as much."""

import os
from pathlib import Path

import pytest

from baseline.__main__ import main

os.environ["OMP_NUM_THREADS"] = (
    "1"  # of the processes that tests start; read by torch when it is first imported
)

try:
    import torch
except ModuleNotFoundError:
    pass
else:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of preset tiny, to read only."""
    folder = tmp_path_factory.mktemp("data")
    assert main(["synth", str(folder), "--preset", "tiny", "--processes", "1"]) == 0
    return folder
