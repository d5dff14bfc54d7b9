"""One thread for torch in these tests: two spin against each other on a busy machine and cost four times as much."""

import os

os.environ["OMP_NUM_THREADS"] = (
    "1"  # of the processes that tests start; read by torch when it is first imported
)

try:
    import torch
except ModuleNotFoundError:
    pass
else:
    torch.set_num_threads(1)
