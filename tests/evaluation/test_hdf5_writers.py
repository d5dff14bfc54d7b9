"""Masks written by programs of other languages are read, or get advice that names what is in the way."""

import zipfile

import numpy as np
import pytest

from evaluation.archive import mask_zip
from evaluation.archive.problems import InvalidArchive
from evaluation.scoring.counts import pack
from tests.evaluation.corpus import MASKS, SPEC
from tests.evaluation.hdf5_writers import WRITERS

PACKED = pack(MASKS)


def test_the_names_are_unique():
    assert len({writer.name for writer in WRITERS}) == len(WRITERS)


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name)
def test_its_files_are_read(writer, tmp_path):
    if reason := writer.missing():
        pytest.skip(f"{writer.name}: {reason}")
    folder = tmp_path / "masks"
    folder.mkdir()
    for number, mask in enumerate(MASKS, start=1):
        (folder / f"mask_{number}.raw").write_bytes(mask.tobytes())
    target = tmp_path / "masks.zip"
    writer.write(folder, target)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(len(MASKS)):
            archive.write(folder / SPEC.name(index), SPEC.name(index))
    if not writer.problem:
        assert np.array_equal(mask_zip.read(target.read_bytes(), SPEC), PACKED)
        return
    with pytest.raises(InvalidArchive) as refused:
        mask_zip.read(target.read_bytes(), SPEC)
    assert {problem.code for problem in refused.value.problems} == {writer.problem}
