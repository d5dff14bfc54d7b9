"""Every archiver that is installed writes the official masks, and they are read; those that are not are skipped by name."""

import numpy as np
import pytest

from evaluation.archive import mask_zip
from evaluation.archive.mask_zip import mask_file
from evaluation.scoring.counts import pack
from tests.evaluation.archivers import ARCHIVERS
from tests.evaluation.corpus import MASKS, SPEC

PACKED = pack(MASKS)


def test_the_names_are_unique():
    assert len({archiver.name for archiver in ARCHIVERS}) == len(ARCHIVERS)


@pytest.mark.parametrize("archiver", ARCHIVERS, ids=lambda archiver: archiver.name)
def test_its_archives_are_read(archiver, tmp_path):
    if reason := archiver.missing():
        pytest.skip(f"{archiver.name}: {reason}")
    folder = tmp_path / "masks"
    folder.mkdir()
    for index, mask in enumerate(MASKS):
        (folder / SPEC.name(index)).write_bytes(mask_file(mask))
    target = tmp_path / "masks.zip"
    archiver.write(folder, target)
    assert np.array_equal(mask_zip.read(target.read_bytes(), SPEC), PACKED)
