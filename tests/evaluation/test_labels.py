"""Label sets from folders and archives."""

import numpy as np
import pytest

from evaluation.archive import mask_zip
from evaluation.archive.mask_zip import MaskSpec
from evaluation.archive.problems import InvalidArchive
from evaluation.scoring import labels
from evaluation.scoring.counts import pack
from tests.evaluation import corpus


def folder_of(path, masks):
    path.mkdir()
    for i, mask in enumerate(masks, 1):
        (path / f"mask_{i}.h5").write_bytes(mask_zip.mask_file(mask))
    return path


@pytest.mark.parametrize("given", [True, False])
def test_a_folder_an_archive_and_bytes_give_the_same(tmp_path, given):
    masks = np.random.default_rng(0).integers(0, 2, (12, 64, 32))
    spec = MaskSpec(12, 64, 32)
    folder = folder_of(tmp_path / "mask", masks)
    (folder / ".DS_Store").touch()
    mask_zip.write(tmp_path / "labels.zip", masks)
    for source in (folder, str(tmp_path / "labels.zip"), (tmp_path / "labels.zip").read_bytes()):
        packed, found = labels.load(source, spec if given else None)
        assert found == spec
        assert (packed == pack(masks)).all()
        assert not packed.flags.writeable


def test_labels_go_through_the_same_checks(tmp_path):
    folder = folder_of(tmp_path / "mask", corpus.MASKS)
    (folder / "mask_2.h5").write_bytes(corpus.dataset(corpus.MASKS[1] * 2))
    with pytest.raises(InvalidArchive) as caught:
        labels.load(folder)
    assert [(p.code, p.file) for p in caught.value.problems] == [("wrong_values", "mask_2.h5")]
    with pytest.raises(InvalidArchive) as caught:
        labels.load(folder, MaskSpec(4))
    assert {p.code for p in caught.value.problems} == {"wrong_values", "missing_file"}


def test_a_set_without_a_positive_pixel_is_refused(tmp_path):
    folder = folder_of(tmp_path / "mask", np.zeros((3, 128, 128)))
    with pytest.raises(InvalidArchive) as caught:
        labels.load(folder)
    assert [p.code for p in caught.value.problems] == ["no_positive_pixel"]


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_a_file_that_is_not_an_archive_is_reported(content):
    with pytest.raises(InvalidArchive):
        labels.load(content)


def test_an_empty_folder_and_a_missing_one(tmp_path):
    with pytest.raises(InvalidArchive):
        labels.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        labels.load(tmp_path / "nothing")


def test_stored_masks_are_small_and_read_only():
    masks = np.zeros((100, 128, 128), np.uint8)
    masks[::2, 30:60, 40:50] = 1
    stored = labels.compress(pack(masks))
    assert len(stored) < 5000
    assert not labels.decompress(stored, MaskSpec(100)).flags.writeable
