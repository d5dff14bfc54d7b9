"""SynthL4S: layout, format, determinism."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from baseline import synth
from baseline.__main__ import main
from baseline.synth.files import write_image
from baseline.synth.generate import places
from baseline.synth.sites import SITES
from baseline.synth.tiles import CELLS, cell, make_tile

TINY = synth.PRESETS["tiny"]


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*.h5"))
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    synth.generate(root, "tiny", seed=1, processes=1)
    return root


def test_official_layout(tiny):
    for folder, split in (("TrainData", "train"), ("ValidData", "validation"), ("TestData", "test")):
        for kind, stem in (("img", "image"), ("mask", "mask")):
            names = {path.name for path in (tiny / folder / kind).iterdir()}
            assert names == {f"{stem}_{n}.h5" for n in range(1, TINY[split] + 1)}


def test_format_of_an_image(tiny):
    with h5py.File(tiny / "TrainData/img/image_1.h5") as file:
        assert list(file) == ["img"]
        assert file["img"].shape == (128, 128, 14)
        assert file["img"].dtype == np.float64
        assert np.isfinite(file["img"][:]).all()


def test_format_of_a_mask(tiny):
    with h5py.File(tiny / "TestData/mask/mask_1.h5") as file:
        assert list(file) == ["mask"]
        assert file["mask"].shape == (128, 128)
        assert file["mask"].dtype == np.uint8
        assert set(np.unique(file["mask"][:])) <= {0, 1}


def test_same_seed_same_files_whatever_the_processes_and_splits(tiny, tmp_path):
    synth.generate(tmp_path, "tiny", seed=1, splits=["test", "validation"], processes=2)
    here = digests(tmp_path)
    assert here == {name: value for name, value in digests(tiny).items() if not name.startswith("Train")}


def test_other_seed_other_patches(tiny, tmp_path):
    synth.generate(tmp_path, "tiny", seed=2, splits=["validation"], processes=1)
    images = [set(digests(root / "ValidData/img").values()) for root in (tiny, tmp_path)]
    assert not images[0] & images[1]


def test_hidden_masks_and_seed_go_to_their_own_folder(tiny, tmp_path):
    public, hidden = tmp_path / "public", tmp_path / "hidden"
    synth.generate(public, "tiny", seed=1, splits=["test"], mask_root=hidden, processes=1)
    assert not list(public.rglob("mask*"))
    assert not list(public.rglob("sites.csv"))
    assert "seed" not in json.loads((public / "synthl4s.json").read_text())
    assert json.loads((hidden / "synthl4s.json").read_text())["seed"] == 1
    assert digests(hidden).items() <= digests(tiny).items()


def test_masks_alone_equal_those_made_with_images(tiny, tmp_path):
    synth.generate(tmp_path, "tiny", seed=1, splits=["validation"], images=False, processes=1)
    assert digests(tmp_path).items() <= digests(tiny).items()
    assert len(digests(tmp_path)) == TINY["validation"]


def test_a_folder_with_patches_is_refused(tiny):
    with pytest.raises(FileExistsError, match="already holds patches"):
        synth.generate(tiny, "tiny", seed=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preset": "huge"}, "tiny, small"),
        ({"splits": ["dev"]}, "train, validation"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_wrong_options_are_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        synth.generate(**({"out": tmp_path, "preset": "tiny", "seed": 0} | change))


def test_written_image_reads_back_exactly(tmp_path):
    values = np.random.default_rng(0).integers(-2048, 3840, (14, 128, 128)) / 256
    write_image(tmp_path / "image_1.h5", values.astype(np.float32))
    with h5py.File(tmp_path / "image_1.h5") as file:
        np.testing.assert_array_equal(file["img"][:], values.transpose(1, 2, 0))


def test_values_off_the_grid_are_refused(tmp_path):
    with pytest.raises(ValueError, match="1/256"):
        write_image(tmp_path / "image_1.h5", np.full((14, 128, 128), 0.1, np.float32))


def test_progress_counts_every_patch(tmp_path):
    seen = []
    synth.generate(tmp_path, "tiny", 0, splits=["test"], processes=1, progress=lambda *at: seen.append(at))
    assert seen[-1] == (12, 12)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_command_line(tmp_path, capsys):
    assert main(["synth", str(tmp_path / "a"), "--preset", "tiny", "--seed", "1", "--splits", "test"]) == 0
    assert "12 test patches" in capsys.readouterr().out
    assert main(["synth", str(tmp_path / "a"), "--preset", "tiny", "--splits", "test"]) == 1
    assert "already holds patches" in capsys.readouterr().err


@pytest.fixture(scope="module")
def drawn():
    """Three tiles of every site: split -> image (tiles, 14, rows, columns), mask (tiles, rows, columns)."""
    parts = {
        split: [make_tile(11, split, site, tile) for site in range(len(SITES[split])) for tile in range(3)]
        for split in synth.SPLITS
    }
    return {split: tuple(map(np.stack, zip(*tiles, strict=True))) for split, tiles in parts.items()}


def test_about_two_percent_of_the_pixels_are_landslides(drawn):
    for _, masks in drawn.values():
        assert 0.012 < masks.mean() < 0.032


def test_some_patches_have_no_landslide(drawn):
    masks = np.concatenate([masks for _, masks in drawn.values()])
    with_landslide = np.mean([cell(mask, number).any() for mask in masks for number in range(CELLS)])
    assert 0.5 < with_landslide < 0.9


def test_bands_have_means_about_one_and_a_natural_spread(drawn):
    images, _ = drawn["train"]
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    assert (mean > 0.7).all()
    assert (mean < 2.2).all()
    assert (std > 0.12).all()
    assert (std < 1.3).all()


def test_splits_differ_in_their_band_statistics(drawn):
    mean, std = drawn["train"][0].mean((0, 2, 3)), drawn["train"][0].std((0, 2, 3))
    for split in ("validation", "test"):
        shift = np.abs(drawn[split][0].mean((0, 2, 3)) - mean) / std
        assert shift[:12].max() > 0.2


def test_landslides_lie_on_steep_ground_and_are_barer_than_their_surroundings(drawn):
    for images, masks in drawn.values():
        scar, slope = masks == 1, images[:, 12]
        greenness = images[:, 7] - images[:, 3]
        assert slope[scar].mean() > 1.1 * slope.mean()
        assert greenness[scar].mean() < greenness.mean() - 0.2


def test_equal_on_a_machine_without_wide_instructions():
    """The last bits of vectorised functions differ between processors; files must not."""
    core = pytest.importorskip("numpy._core._multiarray_umath")
    wide = [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]
    if not wide:
        pytest.skip("this processor has no features to switch off")
    program = (
        "import hashlib; from baseline.synth.tiles import make_tile; image, mask = make_tile(7, 'test', 1, 2);"
        "print(hashlib.sha256(image.tobytes() + mask.tobytes()).hexdigest())"
    )
    plain = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(wide)}
    results = {
        subprocess.run(
            [sys.executable, "-c", program], env=environment, check=True, capture_output=True
        ).stdout
        for environment in (dict(os.environ), plain)
    }
    assert len(results) == 1


def test_no_site_is_in_two_splits():
    names = [site.name for sites in SITES.values() for site in sites]
    assert len(set(names)) == len(names) == 9


def test_sites_share_a_split_and_no_ground_is_used_twice():
    here = places(3, "test", 100)
    assert [place.number for place in here] == list(range(1, 101))
    assert len({place[1:] for place in here}) == 100
    counts = np.bincount([place.site for place in here])
    assert counts.max() - counts.min() <= 1
    assert here != sorted(here, key=lambda place: place[1:])


def test_version_1_never_changes():
    """A change of any pixel is a new version: raise VERSION, then put the new digest here."""
    whole = hashlib.sha256()
    for split in synth.SPLITS:
        for array in make_tile(1, split, 1, 0):
            whole.update(array.tobytes())
    assert (synth.VERSION, whole.hexdigest()[:16]) == (1, "329991f7928ea37b")
