"""Pictures of patches: the PNG that other programs read, and the right colour in the right place."""

import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from evaluation.report.pictures import (
    FOUND,
    INVENTED,
    MISSED,
    OUTLINE,
    OVERLAY,
    PAPER,
    mask_overlay,
    pair_overlay,
    patch_pictures,
)
from evaluation.report.png import overlay_png, png, read_png
from evaluation.sandbox.files import FileReader, FileRefused
from evaluation.scoring.counts import pack
from evaluation.task import MaskSpec
from tests.memory import memory

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


def test_grey_and_overlays_are_read_by_other_programs() -> None:
    pillow = pytest.importorskip("PIL.Image")
    import io

    grey = np.random.default_rng(1).integers(0, 256, (5, 7), np.uint8)
    assert np.array_equal(read_png(png(grey)), grey)
    assert np.array_equal(np.asarray(pillow.open(io.BytesIO(png(grey)))), grey)
    shown = pillow.open(io.BytesIO(overlay_png(np.array([[0, 1], [2, 3]], np.uint8), OVERLAY))).convert(
        "RGBA"
    )
    assert np.asarray(shown)[0, 0, 3] == 0
    assert [tuple(map(int, pixel)) for pixel in np.asarray(shown).reshape(4, 4)[1:]] == [
        (*colour, 255) for colour in OVERLAY
    ]


def test_two_masks_over_a_patch_show_what_is_in_both_and_in_one_alone() -> None:
    first, second = np.zeros((2, 2, 8, 8), np.uint8)
    first[1, 0, :2] = 1
    second[1, 0, 1:3] = 1
    drawn = read_png(pair_overlay(1, pack(first), pack(second), SPEC))
    assert drawn[0, :4].tolist() == [2, 1, 3, 0]
    alone = read_png(mask_overlay(1, pack(first), SPEC))
    assert alone[0, :4].tolist() == [2, 2, 0, 0]
    assert not drawn[1:].any()


def test_images_are_read_in_true_and_false_colour_and_as_slope(tmp_path: Path) -> None:
    for number in (1, 2):
        write_image(tmp_path, number)
    with FileReader() as reader:
        made = reader.images(tmp_path, SPEC)
    assert {key: len(pictures) for key, pictures in made.items()} == {"true": 2, "false": 2, "slope": 2}
    true, false, slope = (read_png(made[key][0]) for key in ("true", "false", "slope"))
    assert true[0, 0].tolist() == [0, 0, 0]
    assert true[7, 0].tolist() == [255, 0, 0]  # red
    assert false[7, 0].tolist() == [0, 255, 0]  # red shows as green
    assert slope.shape == (8, 8)
    assert not slope.any()
    assert (np.diff(true[:, 0, 0].astype(int)) >= 0).all()


def test_wrong_images_are_named(tmp_path: Path) -> None:
    with FileReader() as reader:
        write_image(tmp_path, 1)
        with pytest.raises(FileRefused, match=r"image_2\.h5 is missing"):
            reader.images(tmp_path, SPEC)
        write_image(tmp_path, 2, (8, 8, 4))
        with pytest.raises(FileRefused, match=r"image_2\.h5: img is \(8, 8, 4\)"):
            reader.images(tmp_path, SPEC)
        (tmp_path / "image_1.h5").write_bytes(b"no HDF5")
        with pytest.raises(FileRefused, match=r"image_1\.h5: This is not an image"):
            reader.images(tmp_path, SPEC)


def test_a_png_that_would_grow_is_cut() -> None:
    content = png(np.zeros((8, 8), np.uint8))
    bomb = zlib.compress(bytes(200 << 20), 9)
    start = content.index(b"IDAT")
    grown = content[: start - 4] + struct.pack(">I", len(bomb)) + b"IDAT" + bomb + bytes(16)
    with memory() as used, pytest.raises(ValueError, match="reshape"):
        read_png(grown)
    assert used.peak < 5 << 20
    with pytest.raises(ValueError, match="at most 4096 a side"):
        read_png(content[:16] + struct.pack(">II", 1 << 30, 1 << 30) + content[24:])
