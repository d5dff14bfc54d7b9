"""Pictures of patches: the PNG that other programs read, and the right colour in the right place."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from evaluation.report.pictures import (
    FOUND,
    INVENTED,
    MISSED,
    OUTLINE,
    PAPER,
    ImageError,
    patch_pictures,
    png,
    read_images,
    read_png,
)
from evaluation.scoring.counts import pack
from evaluation.task import MaskSpec

SPEC = MaskSpec(2, 8, 8)
SCALE = 384 // 8


def pixel(picture: np.ndarray, row: int, column: int) -> tuple[int, ...]:
    """The colour in the middle of an enlarged pixel."""
    return tuple(picture[row * SCALE + SCALE // 2, column * SCALE + SCALE // 2].tolist())


def test_a_png_is_read_back_and_by_other_programs() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    assert np.array_equal(read_png(png(picture)), picture)
    pillow = pytest.importorskip("PIL.Image")
    import io

    assert np.array_equal(np.asarray(pillow.open(io.BytesIO(png(picture)))), picture)


def test_found_missed_and_invented_pixels_have_their_colours() -> None:
    label = np.zeros((2, 8, 8), np.uint8)
    label[1, 2:4, 2:4] = 1
    team = np.zeros((3, 2, 8, 8), np.uint8)
    team[:2, 1, 2, 2] = 1  # found by two of three
    team[0, 1, 3, 3] = 1  # found by one of three
    team[1:, 1, 6, 6] = 1  # invented by two of three
    team[:, 0] = 1  # another patch
    image = np.full((8, 8, 3), 90, np.uint8)
    made = {
        kind: read_png(content)
        for kind, content in patch_pictures(
            1, [pack(masks) for masks in team], pack(label), SPEC, image
        ).items()
    }
    assert list(made) == ["image", "vote", "share"]
    assert all(picture.shape == (384, 384, 3) for picture in made.values())
    assert [pixel(made["vote"], *at) for at in ((2, 2), (3, 3), (6, 6), (0, 0))] == [
        FOUND, MISSED, INVENTED, PAPER,
    ]  # fmt: skip
    third = tuple(round(m + (f - m) / 3) for m, f in zip(MISSED, FOUND, strict=True))
    assert pixel(made["share"], 3, 3) == third
    assert pixel(made["share"], 2, 3) == MISSED
    assert pixel(made["share"], 0, 0) == PAPER
    assert pixel(made["image"], 2, 2) == (90, 90, 90)
    outlined = (made["image"] == OUTLINE).all(2)
    assert outlined.sum() == 4 * 2 * SCALE  # one line along each side of the label
    assert outlined[2 * SCALE - 1, 2 * SCALE]
    assert not outlined[2 * SCALE : 4 * SCALE, 2 * SCALE : 4 * SCALE].any()


def test_without_an_image_there_are_two_pictures() -> None:
    empty = pack(np.zeros((2, 8, 8), np.uint8))
    assert list(patch_pictures(0, [empty], empty, SPEC)) == ["vote", "share"]


def write_image(folder: Path, number: int, shape: tuple[int, ...] = (8, 8, 14)) -> None:
    with h5py.File(folder / f"image_{number}.h5", "w") as file:
        values = np.zeros(shape)
        values[..., 3] = np.arange(8)[:, None]  # red grows downwards
        file["img"] = values


def test_images_are_read_in_true_colour(tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(tmp_path, number)
    first, _ = map(read_png, read_images(tmp_path, SPEC))
    assert first[0, 0].tolist() == [0, 0, 0]
    assert first[7, 0].tolist() == [255, 0, 0]
    assert (np.diff(first[:, 0, 0].astype(int)) >= 0).all()


def test_wrong_images_are_named(tmp_path: Path) -> None:
    write_image(tmp_path, 1)
    with pytest.raises(ImageError, match=r"image_2\.h5 is missing"):
        read_images(tmp_path, SPEC)
    write_image(tmp_path, 2, (8, 8, 4))
    with pytest.raises(ImageError, match=r"image_2\.h5: img is \(8, 8, 4\)"):
        read_images(tmp_path, SPEC)
    (tmp_path / "image_1.h5").write_bytes(b"no HDF5")
    with pytest.raises(ImageError, match=r"image_1\.h5 holds no image"):
        read_images(tmp_path, SPEC)
