from concurrent.futures import ThreadPoolExecutor

import numpy as np

from evaluation.archive.hdf5 import mask_file


def test_threads_write_masks_at_the_same_time():
    """HDF5 refuses to open one name twice, also for files that are in memory only."""
    masks = [np.eye(16, dtype=np.uint8) * (number % 2) for number in range(400)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(mask_file, masks)) == [mask_file(mask) for mask in masks]
