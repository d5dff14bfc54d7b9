"""What is said of an archive, and that what is accepted is what h5py and scikit-learn see."""

import io
import re
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from evaluation.archive import mask_zip
from evaluation.archive.mask_zip import MaskSpec
from evaluation.archive.problems import InvalidArchive, printable
from evaluation.scoring.counts import count, pack, unpack
from tests.evaluation import corpus, fuzz
from tests.evaluation.zips import Entry, build

SPEC = corpus.SPEC


def problems(data, spec=SPEC):
    with pytest.raises(InvalidArchive) as caught:
        mask_zip.read(data, spec)
    return caught.value.problems


def zipped(files, spec=SPEC):
    return build([Entry(spec.name(i).encode(), content) for i, content in enumerate(files)])


# --- agreement with h5py and scikit-learn ----------------------------------------------------------------------

layouts = st.fixed_dictionaries(
    {},
    optional={
        "chunks": st.tuples(st.integers(3, 16), st.integers(3, 24)),
        "compression": st.just("gzip"),
        "shuffle": st.booleans(),
        "dtype": st.sampled_from(["u1", "i2", ">u4", "i8", "?"]),
        "file": st.sampled_from([{"libver": "latest"}, {"libver": "v110"}, {}]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(layouts, min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.sampled_from([0, 8]))
def test_counts_agree_with_h5py_and_scikit_learn(options, seed, method):
    """Masks of any readable layout, each read by h5py from disk's bytes, all counted by scikit-learn."""
    rng = np.random.default_rng(seed)
    spec = MaskSpec(len(options), 16, 24)
    files = []
    for option in options:
        option = dict(option)
        if option.get("shuffle") and "chunks" not in option and "compression" not in option:
            option["shuffle"] = False
        mask = (rng.random((16, 24)) < rng.random()).astype(option.pop("dtype", "u1"))
        files.append(corpus.dataset(mask, **option))
    data = build([Entry(spec.name(i).encode(), content, method=method) for i, content in enumerate(files)])
    prediction = mask_zip.read(data, spec)
    seen = np.stack([h5py.File(io.BytesIO(content))["mask"][:] for content in files]).astype(np.uint8)
    assert (unpack(prediction, spec) == seen).all()
    assert (mask_zip.read(data, spec, learn=False) == prediction).all()
    truth = rng.integers(0, 2, seen.shape, np.uint8)
    _, fp, fn, tp = confusion_matrix(truth.ravel(), seen.ravel(), labels=[0, 1]).ravel().tolist()
    assert count(prediction, pack(truth)).total == (tp, fp, fn)


def test_mutants_crash_nothing_and_are_read_alike_by_both_paths():
    tally, found = fuzz.fuzz(seed=2022, number=2000)
    assert found == []
    assert tally["accepted"] > 200
    assert tally["refused"] > 1000


def test_what_is_written_is_read():
    masks = np.random.default_rng(0).random((20, 64, 64)) < 0.1
    made = io.BytesIO()
    assert mask_zip.write(made, masks) == 20
    assert (mask_zip.read(made.getvalue(), MaskSpec(20, 64, 64)) == pack(masks)).all()
    with zipfile.ZipFile(made) as opened:
        assert opened.namelist() == [f"mask_{i}.h5" for i in range(1, 21)]
        with h5py.File(io.BytesIO(opened.read("mask_7.h5"))) as file:
            assert list(file) == ["mask"]
            assert file["mask"].dtype == np.uint8
            assert file["mask"].chunks is None
            assert (file["mask"][:] == masks[6]).all()


def test_the_official_file_is_what_h5py_leaves_on_disk(tmp_path):
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file.create_dataset("mask", data=corpus.MASKS[1])
    assert mask_zip.mask_file(corpus.MASKS[1]) == (tmp_path / "mask.h5").read_bytes()


@pytest.mark.parametrize(
    "bad", [np.full((8, 8), 2), np.zeros((1, 8, 8)), np.full((8, 8), np.nan), np.zeros(64)]
)
def test_no_other_values_are_written(bad):
    with pytest.raises(ValueError, match="two axes and values 0 and 1"):
        mask_zip.write(io.BytesIO(), [bad])


@pytest.mark.parametrize("size", [(0, 8, 8), (1, 0, 8), (1, 3, 3), (-1, 8, 8)])
def test_impossible_specs(size):
    with pytest.raises(ValueError, match=r"not possible|cannot be packed"):
        MaskSpec(*size)


# --- the sentences ---------------------------------------------------------------------------------------------


def test_a_folder_is_named_with_the_fix_and_its_content_is_checked_too():
    entries = corpus.entries(b"no HDF5")
    for entry in entries:
        entry.name = b"my predictions/" + entry.name
    folder, content = problems(build(entries))
    assert folder.code == "folder_in_archive"
    assert folder.file == "my predictions/"
    assert "cd predictions && zip ../submission.zip mask_*.h5" in folder.message
    assert (content.code, content.file) == ("not_hdf5", "my predictions/mask_2.h5")


def test_missing_or_surplus_files_are_one_problem_that_names_them():
    (missing,) = problems(build([corpus.entries()[0]]))
    assert (missing.code, missing.count, missing.files) == ("missing_file", 2, ("mask_2.h5", "mask_3.h5"))
    (missing,) = problems(build(corpus.entries()), MaskSpec(245))
    assert (missing.file, missing.count) == ("mask_4.h5", 242)
    assert missing.where == "242 files (mask_4.h5, mask_5.h5, mask_6.h5 …)"
    assert "3 of 245 masks" in missing.message
    more = [*corpus.entries(), *(Entry(b"mask_%d.h5" % i, b"") for i in range(4, 801))]
    (surplus,) = problems(build(more))
    assert (surplus.code, surplus.count) == ("unexpected_file", 797)
    assert "not meant for another phase" in surplus.message


WRONG_NAMES = {
    "padded": "mask_{:03}.h5",
    "padded like others of the phase": "mask_{:02}.h5",
    "images": "image_{}.h5",
    "padded images": "image_{:05}.h5",
    "mixed case": "Masks_{}.H5",
    "a hyphen": "mask-{}.h5",
    "a blank": "mask {}.h5",
    "nothing between": "mask{}.h5",
    "plural": "masks_{}.h5",
    "number alone": "{}.h5",
    "another word": "pred_{}.h5",
    "a word behind": "mask_{}_pred.h5",
    "numbers behind": "mask_{}_128x128.h5",
    "numbers in front": "unet_v2_fold3_mask_{}.h5",
    "another ending": "mask_{}.hdf5",
    "ending in capitals": "mask_{}.HDF5",
    "two endings": "mask_{}.h5.h5",
    "a second ending": "mask_{}.hdf5.h5",
    "no ending": "mask_{}",
    "a download's copy": "mask_{} (1).h5",
    "full-width digits": "mask_{}.h5",
    "with ./": "./mask_{:03}.h5",
    "a blank behind": "mask_{}.h5 ",
}


GOOD = Entry(b"", corpus.mask_file(corpus.MASKS[2]))


def named(name):
    """A good mask file under a name."""
    return replace(GOOD, name=name.encode())


@pytest.mark.parametrize("number", [1, 5, 6, 245])
@pytest.mark.parametrize("pattern", WRONG_NAMES.values(), ids=WRONG_NAMES)
def test_wrong_names_get_the_right_ones_in_any_number(pattern, number):
    """The others are right; two digits are right, too, where three are not needed."""
    spec = MaskSpec(245)
    names = {n: pattern.format(n) if n <= number else spec.name(n - 1) for n in range(1, 246)}
    if pattern == WRONG_NAMES["full-width digits"]:
        wide = str.maketrans({str(digit): chr(0xFF10 + digit) for digit in range(10)})
        names |= {n: f"mask_{str(n).translate(wide)}.h5" for n in range(1, number + 1)}
    found = problems(build([named(name) for name in names.values()]), spec)
    wrong = sum(names[n].removeprefix("./") != spec.name(n - 1) for n in names)
    unexpected = [p for p in found if p.code == "unexpected_file"]
    assert sum(p.count for p in unexpected) == wrong
    (advice,) = unexpected
    assert f"Rename {printable(names[1].removeprefix('./'))} to mask_1.h5" in advice.message
    assert ("and the others likewise" in advice.message) == (wrong > 1)
    assert ("no leading zeros" in advice.message) == (
        pattern in ("mask_{:03}.h5", "mask_{:02}.h5", "./mask_{:03}.h5")
    )
    assert not re.search("leave|another phase", " ".join(p.message for p in found), re.IGNORECASE)
    assert {p.code for p in found} == {"unexpected_file", "missing_file"}


@pytest.mark.parametrize("pattern", ["MASK_{}.H5", "Mask_{}.h5", "mask_{}.H5"])
def test_capitals(pattern):
    spec = MaskSpec(9)
    found = problems(build([named(pattern.format(n)) for n in range(1, 10)]), spec)
    (advice,) = [p for p in found if p.code == "unexpected_file"]
    assert "Names are in lower case: rename it to mask_1.h5, and the others likewise" in advice.message


@pytest.mark.parametrize("pattern", ["mask_{}.h5", "mask_{:03}.h5", "mask_{:04}.h5", "image_{}.h5", "{}.h5"])
def test_numbers_from_0_are_shifted(pattern):
    spec = MaskSpec(245)
    found = problems(build([named(pattern.format(n)) for n in range(245)]), spec)
    (advice,) = [p for p in found if p.code == "unexpected_file"]
    assert "The numbers start at 1" in advice.message
    assert re.search(rf"rename {re.escape(pattern.format(0))} to mask_1\.h5", advice.message, re.IGNORECASE)
    assert "leave" not in advice.message.lower()


def test_images_beside_the_masks_are_left_out():
    images = [Entry(b"image_%d.h5" % n, b"") for n in (1, 2, 3)]
    (surplus,) = problems(build([*corpus.entries(), *images]))
    assert surplus.count == 3
    assert "leave this file out" in surplus.message


@pytest.mark.parametrize("ending", ["png", "tif", "npy", "mat", "csv"])
def test_other_kinds_of_files_are_to_be_written_as_hdf5(ending):
    (surplus, missing) = problems(build([Entry(f"mask_{n}.{ending}".encode(), b"x") for n in (1, 2, 3)]))
    assert f"instead of mask_1.{ending} write mask_1.h5 with h5py, and the others likewise" in surplus.message
    assert missing.count == 3


def test_a_file_in_a_folder_among_good_ones_is_named_with_its_folder():
    entries = corpus.entries(b"no HDF5")
    entries[1].name = b"new/mask_2.h5"
    folder, content = problems(build(entries))
    assert (folder.code, folder.file) == ("folder_in_archive", "new/mask_2.h5")
    assert "lies in the folder new/" in folder.message
    assert (content.code, content.file) == ("not_hdf5", "new/mask_2.h5")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mask_0.h5", "start at 1"),
        ("mask_01.h5", "leave this file out"),
        ("mask_4.h5", "has 3 patches"),
        ("notes.txt", "Leave it out"),
    ],
)
def test_surplus_files_get_a_hint(name, hint):
    (problem,) = problems(build([*corpus.entries(), Entry(name.encode(), b"x")]))
    assert (problem.code, problem.file) == ("unexpected_file", name)
    assert hint in problem.message


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            corpus.dataset(name="img"),
            ["no dataset named mask, only img", 'create_dataset("mask", data=mask)'],
        ),
        (corpus.dataset(np.zeros((128, 128, 1), "u1")), ["shape is 128x128x1", "expected 128x128"]),
        (corpus.dataset(np.zeros((128, 128))), ["floating-point", "(probability > 0.5)"]),
        (
            corpus.dataset(np.eye(128, dtype="u1") * 255),
            ["the value 255", "0 (no landslide) and 1 (landslide)", '(mask != 0).astype("uint8")'],
        ),
        (corpus.dataset(np.eye(128, dtype="i8") * -7), ["the value -7", "write 0 and 1 only"]),
        (
            corpus.dataset(np.diag([1] * 64 + [255] * 64).astype("u1")),
            ["the values 1 and 255", '(mask != 0).astype("uint8")'],
        ),
        (corpus.dataset(np.eye(128, dtype="u1") + 1), ["the values 1 and 2", "Write 0 and 1 only"]),
        (corpus.dataset(np.arange(128 * 128, dtype="u2").reshape(128, 128)), ["many values", "threshold"]),
        (corpus.with_user_block(1024), ["user block of 1,024 bytes", "h5create"]),
    ],
)
def test_a_message_says_what_was_found_what_was_expected_and_the_fix(content, parts):
    (problem,) = problems(
        zipped([corpus.mask_file(corpus.MASKS[0]), content, corpus.mask_file(corpus.MASKS[2])])
    )
    assert problem.file == "mask_2.h5"
    for part in parts:
        assert part in problem.message


def test_every_problem_at_once_and_one_for_all_files_that_share_it():
    spec = MaskSpec(60)
    float_file, text = corpus.dataset(np.zeros((128, 128))), b"text"
    files = [float_file] * 50 + [text] + [corpus.dataset(np.zeros((2, 2), "u1"))] * 9
    found = problems(build([*corpus_entries(files, spec), Entry(b"x.txt")]), spec)
    assert [(p.code, p.count) for p in found] == [
        ("unexpected_file", 1),
        ("wrong_type", 50),
        ("not_hdf5", 1),
        ("wrong_shape", 9),
    ]
    assert found[1].files == tuple(f"mask_{n}.h5" for n in range(1, 21))
    assert found[1].heading == "wrong_type in 50 files: mask_1.h5, mask_2.h5, mask_3.h5 …"


def test_different_problems_are_capped_with_the_number_left_out():
    spec = MaskSpec(60)
    files = [corpus.dataset(np.zeros((1, 1 + n), "u1")) for n in range(59)] + [b"text"]
    found = problems(build(corpus_entries(files, spec)), spec)
    assert len(found) == 25
    assert found[-1].message == "36 more problems are not shown: wrong_shape 36."
    assert {p.code for p in found[:-1]} == {"not_hdf5", "wrong_shape"}


def corpus_entries(files, spec):
    return [Entry(spec.name(i).encode(), content) for i, content in enumerate(files)]


def test_copies_of_a_bad_file_are_all_named():
    """Equal files are read once, but each has its own problem; also where the first is damaged in the ZIP."""
    bad = corpus.dataset(np.full((128, 128), 3, "u1"))
    found = problems(zipped([bad, corpus.mask_file(corpus.MASKS[1]), bad]))
    assert [(p.code, p.files) for p in found] == [("wrong_values", ("mask_1.h5", "mask_3.h5"))]
    zero = corpus.mask_file(corpus.MASKS[2])
    entries = corpus_entries([zero] * 3, SPEC)
    entries[0].crc = 1
    found = problems(build(entries))
    assert [(p.code, p.file) for p in found] == [("file_damaged", "mask_1.h5")]


def test_names_from_an_archive_are_shown_as_plain_text():
    (problem,) = problems(build([*corpus.entries(), Entry("<b>\u202e{{x}}%s\x1b[31m\u00e9".encode(), b"")]))
    assert problem.code in ("unsafe_name", "unexpected_file")
    assert problem.file.isascii()
    assert problem.file.isprintable()
    assert not set(problem.file) & set("<>&\"'{}%")
