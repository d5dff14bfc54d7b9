"""Reading a data set: layouts, order, statistics, and what is said about broken files."""

import os
import shutil

import h5py
import numpy as np
import pytest

from baseline import synth
from baseline.data.dataset import DataError, find_split, hold_out, load, read_image, read_mask

COUNT = synth.PRESETS["tiny"]["test"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("official")
    synth.generate(root, "tiny", seed=4, splits=["test"], processes=1)
    return root


@pytest.fixture
def official(made, tmp_path):
    return shutil.copytree(made, tmp_path / "official")


@pytest.fixture
def mirror(made, tmp_path):
    root = tmp_path / "mirror"
    shutil.copytree(made / "TestData/img", root / "images/test")
    shutil.copytree(made / "TestData/mask", root / "annotations/test")
    return root


def rewrite(path, name, values):
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values)


def pixels(path):
    with h5py.File(path) as file:
        return file["img"][()]


def test_numeric_order(official):
    split = find_split(official, "test")
    assert split.numbers == tuple(range(1, COUNT + 1))
    assert [path.name for path in split.images] == [f"image_{n}.h5" for n in split.numbers]
    assert [path.name for path in split.masks] == [f"mask_{n}.h5" for n in split.numbers]


def test_pixels_and_masks_are_those_of_the_files(official):
    patches = load(official, "test")
    assert patches.images.dtype == np.float32
    for i, path in enumerate(patches.split.images):
        np.testing.assert_array_equal(patches.images[i], pixels(path).transpose(2, 0, 1))
        np.testing.assert_array_equal(patches.masks[i], read_mask(patches.split.masks[i]))


def test_several_processes_read_the_same(tmp_path):
    synth.generate(tmp_path, "tiny", seed=4, splits=["train"], processes=1)
    one, two = load(tmp_path, "train"), load(tmp_path, "train", processes=2)
    np.testing.assert_array_equal(one.images, two.images)


def test_both_layouts_give_the_same(official, mirror):
    one, two = load(official, "test"), load(mirror, "test")
    np.testing.assert_array_equal(one.images, two.images)
    np.testing.assert_array_equal(one.masks, two.masks)
    assert one.sha256 == two.sha256


def test_float32_files_are_read_alike(official):
    path = official / "TestData/img/image_3.h5"
    values = pixels(path)
    before = read_image(path)
    rewrite(path, "img", values.astype(np.float32))
    np.testing.assert_array_equal(read_image(path), before)


def test_float16_in_memory(official):
    full, half = load(official, "test"), load(official, "test", dtype=np.float16)
    assert half.images.nbytes * 2 == full.images.nbytes
    np.testing.assert_allclose(half.images, full.images, rtol=1e-3, atol=1e-4)


def test_statistics_equal_numpy(official):
    patches = load(official, "test")
    values = patches.images.astype(np.float64)
    mine = patches.moments.statistics()
    np.testing.assert_allclose(mine.mean, values.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(mine.std, values.std((0, 2, 3)), rtol=1e-6)
    some = patches.moments.statistics(np.array([2, 5]))
    np.testing.assert_allclose(some.mean, values[[2, 5]].mean((0, 2, 3)), rtol=1e-9)


def test_sites_unknown_in_the_mirror(mirror):
    assert find_split(mirror, "test").sites is None


def test_statistics_are_cached_until_a_file_changes(official):
    first = load(official, "test")
    cache = official / ".statistics/test.npz"
    written = cache.stat().st_mtime_ns
    again = load(official, "test")
    assert cache.stat().st_mtime_ns == written
    assert again.sha256 == first.sha256
    np.testing.assert_array_equal(again.moments.total, first.moments.total)

    path = official / "TestData/img/image_1.h5"
    rewrite(path, "img", pixels(path) + 1)
    os.utime(path, ns=(1, 1))
    changed = load(official, "test")
    assert changed.sha256 != first.sha256
    np.testing.assert_allclose(changed.moments.total[0] - first.moments.total[0], 128 * 128)


def test_a_broken_cache_is_rebuilt(official):
    first = load(official, "test")
    (official / ".statistics/test.npz").write_bytes(b"not a cache")
    assert load(official, "test").sha256 == first.sha256


def test_nan_is_reported_by_file_name(official):
    for number in (2, 11):
        path = official / f"TestData/img/image_{number}.h5"
        values = pixels(path)
        values[:3, 0, 5] = np.nan
        rewrite(path, "img", values)
    with pytest.raises(
        DataError, match=r"2 test images: image_2\.h5 \(3 values\), image_11\.h5 \(3 values\)"
    ):
        load(official, "test")


def test_nan_can_be_filled_with_the_mean(official):
    path = official / "TestData/img/image_2.h5"
    values = pixels(path)
    values[:3, 0, 5] = np.nan
    values[0, 1, 5] = np.inf
    rewrite(path, "img", values)
    patches = load(official, "test", fill_nan=True)
    assert np.isfinite(patches.images).all()
    known = np.delete(
        patches.images[:, 5].astype(np.float64).ravel(), [128 * 128 + k for k in (0, 128, 256, 1)]
    )
    np.testing.assert_allclose(patches.images[1, 5, 0, 0], known.mean(), rtol=1e-5)
    np.testing.assert_allclose(patches.moments.statistics().mean[5], known.mean(), rtol=1e-5)


def test_masks_only_where_wanted(official):
    assert find_split(official, "test", masks=False).masks is None
    shutil.rmtree(official / "TestData/mask")
    assert load(official, "test").masks is None
    with pytest.raises(DataError, match="no masks in"):
        load(official, "test", masks=True)


def test_masks_in_another_folder(official, tmp_path):
    shutil.move(official / "TestData/mask", tmp_path / "hidden/TestData/mask")
    assert load(official, "test", mask_root=tmp_path / "hidden", masks=True).masks.shape == (COUNT, 128, 128)


def test_a_missing_mask_is_named(official):
    (official / "TestData/mask/mask_7.h5").unlink()
    with pytest.raises(DataError, match=r"lacks the masks of 1 images; the first is mask_7\.h5"):
        load(official, "test")


def test_where_nothing_is_found_both_layouts_are_named(tmp_path):
    with pytest.raises(DataError, match=r"TrainData/img/image_N\.h5 or images/train/image_N\.h5"):
        load(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("image", np.zeros((128, 128, 14)), "no dataset 'img', but 'image'"),
        ("img", np.zeros((14, 128, 128)), r"shape \(14, 128, 128\), not \(128, 128, 14\)"),
        ("img", np.zeros((128, 128, 14), int), "not float64 or float32"),
    ],
)
def test_a_wrong_image_is_named(official, name, values, message):
    rewrite(official / "TestData/img/image_5.h5", name, values)
    with pytest.raises(DataError, match=rf"image_5\.h5.*{message}"):
        load(official, "test")


def test_a_file_that_is_not_hdf5_is_named(official):
    (official / "TestData/img/image_5.h5").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"image_5\.h5 cannot be read as HDF5"):
        load(official, "test")


def test_mask_values_other_than_0_and_1(official):
    rewrite(official / "TestData/mask/mask_5.h5", "mask", np.full((128, 128), 255, np.uint8))
    with pytest.raises(DataError, match=r"mask_5\.h5.*other than 0 and 1"):
        load(official, "test")


def test_hold_out_a_site():
    rest, held = hold_out(("a", "b", "a", "c"), "a")
    assert rest.tolist() == [1, 3]
    assert held.tolist() == [0, 2]
    with pytest.raises(DataError, match="the sites are a, b, c"):
        hold_out(("a", "b", "c"), "d")
