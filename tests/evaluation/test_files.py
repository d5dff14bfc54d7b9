"""Files of organisers, read in confined children: hostile examples of each kind are refused in a sentence, in flat memory."""

import io
import json
import os
import struct
import tomllib
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from evaluation.archive.problems import InvalidArchive
from evaluation.sandbox import bounds
from evaluation.sandbox.files import FileReader, FileRefused
from evaluation.scoring.labels import compress
from evaluation.task import TASK, MaskSpec
from tests.memory import memory

FLAT = 24 << 20
"""Bytes: the answer's buffers and the interpreter's own, whatever the file would have become."""


@pytest.fixture(scope="module")
def reader():
    with FileReader() as opened:
        yield opened


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made


def on_disk(tmp_path: Path, content: bytes):
    path = tmp_path / "archive.zip"
    path.write_bytes(content)
    return path.open("rb")


def unwritten(height: int, width: int, patches: int = 1, **options) -> bytes:
    """Labels that were declared and never written: as large as anyone likes in a few hundred bytes."""
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.create_dataset(TASK.mask_dataset, (height, width), "u1", **options)
    return zipped({TASK.mask_name(i): made.getvalue() for i in range(1, patches + 1)}).getvalue()


def inflating(height: int, width: int, patches: int) -> bytes:
    """Honest deflate, dishonest intentions: masks of one byte value."""
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        file.create_dataset(TASK.mask_dataset, data=np.ones((height, width), np.uint8))
    return zipped({TASK.mask_name(i): made.getvalue() for i in range(1, patches + 1)}).getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (unwritten(24_000, 24_000), "24000 x 24000 pixels, at most 16,777,216"),
        (
            unwritten(2048, 2048, 800, fillvalue=1),
            "800 masks of 2048 x 2048 pixels are more than the 268,435,456",
        ),
        (unwritten(1 << 30, 1 << 30), "1073741824 x 1073741824 pixels"),
        (unwritten(8, 8, bounds.MASKS + 1), "20,001 masks, at most 20,000 are taken"),
        (unwritten(101, 101), "expected a multiple of 8"),
        (b"", "The file is empty"),
        (b"PK", "not a ZIP archive"),
    ],
)
def test_labels_beyond_the_bounds(reader, content, sentence):
    with memory() as used, pytest.raises(InvalidArchive) as caught:
        reader.labels(content)
    assert sentence in str(caught.value)
    assert used.peak < FLAT


def test_labels_at_the_bounds_cost_their_packed_size_and_little_time(reader):
    """What 1.5 MB could become: it is read where it is bounded, and comes back packed."""
    content = inflating(4096, 4096, 16)
    with memory() as used:
        packed, spec = reader.labels(content)
    assert spec == MaskSpec(16, 4096, 4096)
    assert packed.nbytes == bounds.PIXELS // 8
    assert used.peak < 3 * packed.nbytes + FLAT


def test_a_file_that_grows_inside_the_archive(reader):
    """The first mask says how large all are; a later one may not be larger."""
    small, large = unwritten(8, 8), unwritten(4096, 4096)
    with zipfile.ZipFile(io.BytesIO(small)) as a, zipfile.ZipFile(io.BytesIO(large)) as b:
        both = zipped({"mask_1.h5": a.read("mask_1.h5"), "mask_2.h5": b.read("mask_1.h5")})
    with memory() as used, pytest.raises(InvalidArchive, match="4096x4096"):
        reader.labels(both.getvalue())
    assert used.peak < FLAT


SHAPE = (16, 16, len(TASK.bands))


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(3 << 30)


def image_file(path: Path, shape=SHAPE, **options) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset(TASK.image_dataset, shape, "f8", **options)


def bomb_chunk(path: Path) -> None:
    """A chunk of 700 MB behind the right shape, deflated to less than 1 MB."""
    shape = (16, 16, len(TASK.bands))
    with h5py.File(path, "w") as file:
        data = file.create_dataset(
            TASK.image_dataset,
            shape,
            "u1",
            chunks=(7_000, 7_000, 14),
            maxshape=(None, None, None),
            compression=9,
        )
        engine = zlib.compressobj(9)
        content = b"".join(engine.compress(bytes(1 << 20)) for _ in range(655)) + engine.flush()
        data.id.write_direct_chunk((0, 0, 0), content)


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (
            lambda path: image_file(path, (60_000, 60_000, 14)),
            r"img is \(60000, 60000, 14\), not \(16, 16, 14\)",
        ),
        (bomb_chunk, "could not be read safely|more memory|not an image"),
        (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + os.urandom(4000)), "not an image"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "not an image"),
        (lambda path: path.write_bytes(b""), "0 bytes"),
        (sparse, "3,221,225,472 bytes"),
    ],
)
def test_images_that_would_grow(reader, tmp_path, write, sentence):
    write(tmp_path / TASK.image_name(1))
    with memory() as used, pytest.raises(FileRefused, match=sentence):
        reader.images(tmp_path, MaskSpec(1, 16, 16))
    assert used.peak < FLAT


@pytest.mark.parametrize("kind", ["external link", "external storage", "virtual", "soft link"])
def test_images_that_point_outside(reader, tmp_path, kind):
    shape, secret = (16, 16, len(TASK.bands)), tmp_path / "secret.h5"
    image_file(secret, fillvalue=7.0)
    with h5py.File(tmp_path / TASK.image_name(1), "w") as file:
        if kind == "external link":
            file[TASK.image_dataset] = h5py.ExternalLink(str(secret), TASK.image_dataset)
        elif kind == "soft link":
            file[TASK.image_dataset] = h5py.SoftLink("/elsewhere")
        elif kind == "virtual":
            layout = h5py.VirtualLayout(shape, "f8")
            layout[...] = h5py.VirtualSource(str(secret), TASK.image_dataset, shape)
            file.create_virtual_dataset(TASK.image_dataset, layout)
        else:
            file.create_dataset(TASK.image_dataset, shape, "f8", external=[("/etc/hostname", 0, 99_999)])
    with pytest.raises(FileRefused, match="not an image"):
        reader.images(tmp_path, MaskSpec(1, 16, 16))


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/etc/passwd",
        "a/../../b",
        "C:\\x",
        "a\\b",
        "a:b",
        ".",
        "a/./b",
        "line\nbreak",
        "\u202etxt",
        "x" * 300,
    ],
)
def test_names_that_lead_out_are_refused(reader, tmp_path, name):
    content = zipped({"good.txt": b"1"}).getvalue()
    with on_disk(tmp_path, content) as file:
        assert [entry.name for entry in reader.directory(file)] == ["good.txt"]
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(zipfile.ZipInfo("y" * len(name.encode())), b"1")
    content = made.getvalue().replace(b"y" * len(name.encode()), name.encode())
    (tmp_path / "folder").mkdir()
    with on_disk(tmp_path, content) as file, pytest.raises(FileRefused, match="could lead out of a folder"):
        reader.unpack(file, tmp_path / "folder")
    assert not list((tmp_path / "folder").iterdir())


def with_link() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return made.getvalue()


def overlapping() -> bytes:
    """Two entries of the directory share one body."""
    content = zipped({"a.txt": bytes(1000)}).getvalue()
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    record = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 2, 2, 2 * len(entry), start, 0)
    return content[:start] + entry + entry + record


def lying(content: bytes, size: int) -> bytes:
    """The directory states another size than the member inflates to."""
    made = zipped({"a.txt": content}).getvalue()
    return made.replace(struct.pack("<LL", zlib.crc32(content), 0)[:4], b"\0\0\0\0").replace(
        struct.pack("<L", len(content)), struct.pack("<L", size)
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (zipped({f"{i}": b"" for i in range(100_000)}).getvalue(), "too many files; at most 50,000"),
        (zipped({"a.txt": b"1", "A.TXT": b"2"}).getvalue(), "holds A.TXT twice"),
        (with_link(), "symbolic link"),
        (overlapping(), "share bytes"),
        (lying(b"abc" * 100, 5), "larger than the archive states|checksum"),
        (lying(b"abc" * 100, 2 << 30), "at most 1,073,741,824"),
        (zipped({"a": b"1"}).getvalue()[:-30], "cut off|not a ZIP"),
        (b"nonsense", "not a ZIP archive"),
        (b"", "empty"),
    ],
    ids=[
        "100,000 entries",
        "names twice",
        "link",
        "overlap",
        "size too small",
        "size too large",
        "cut",
        "nonsense",
        "empty",
    ],
)
def test_archives_that_lie(reader, tmp_path, content, sentence):
    (tmp_path / "folder").mkdir()
    with on_disk(tmp_path, content) as file, memory() as used, pytest.raises(FileRefused, match=sentence):
        reader.unpack(file, tmp_path / "folder")
    assert used.peak < FLAT


def test_a_bomb_is_inflated_to_the_disk_and_no_further_than_stated(reader, tmp_path):
    content = zipped({"zeros": bytes(300 << 20)}).getvalue()
    assert len(content) < 1 << 20
    with on_disk(tmp_path, content) as file:
        [entry] = reader.directory(file)
        with memory() as used, reader.member(file, entry) as member:
            read = sum(len(chunk) for chunk in iter(lambda: member.read(1 << 20), b""))
    assert read == 300 << 20
    assert used.peak < FLAT


@pytest.mark.parametrize("size", [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, (7 << 20) + 3])
def test_members_of_any_size_come_back_whole(reader, tmp_path, size):
    """Highly compressed ones too, whose input ends long before their output."""
    for content in (b"x" * size, os.urandom(size)):
        with on_disk(tmp_path, zipped({"a": content}).getvalue()) as file:
            [entry] = reader.directory(file)
            with reader.member(file, entry) as member:
                assert member.read() == content


def test_a_good_archive_is_unpacked(reader, tmp_path):
    files = {"a.txt": b"one", "masks/mask_1.h5": os.urandom(3 << 20), "empty": b"", "ä ö.txt": b"two"}
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        folder = tmp_path / str(method)
        folder.mkdir()
        with on_disk(tmp_path, zipped(files, method).getvalue()) as file:
            paths = reader.unpack(file, folder)
        assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths} == files


def test_its_process_has_the_guards_of_submissions(reader):
    assert reader.guards["system_calls"]
    assert reader.guards["memory"]


SPEC = MaskSpec(3, 16, 16)


def deflated(content: bytes) -> io.BytesIO:
    return io.BytesIO(zlib.compress(content, 9))


def test_stored_masks_come_back(reader):
    packed = np.random.default_rng(1).integers(0, 256, SPEC.packed_shape, np.uint8)
    found = reader.stored_masks(io.BytesIO(compress(packed)), SPEC)
    assert np.array_equal(found, packed)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (deflated(bytes(95)), "masks of the size"),
        (deflated(bytes(97)), "masks of the size"),
        (deflated(bytes(200 << 20)), "masks of the size"),
        (io.BytesIO(deflated(bytes(96)).getvalue()[:-1]), "masks of the size"),
        (io.BytesIO(deflated(bytes(96)).getvalue() + b"x"), "masks of the size"),
        (io.BytesIO(b"x" * 50), "damaged"),
        (io.BytesIO(), "empty"),
    ],
    ids=["short", "long", "bomb", "cut", "more", "nonsense", "empty"],
)
def test_stored_masks_that_are_none(reader, file, sentence):
    with memory() as used, pytest.raises(FileRefused, match=sentence):
        reader.stored_masks(file, SPEC)
    assert used.peak < FLAT


def test_toml_comes_back_as_tomllib_reads_it(reader):
    text = """
        day = 2026-11-27
        at = 07:40:00.5
        moment = 2026-11-27T07:40:00+05:30
        local = 2026-11-27T07:40:00
        numbers = [1, -2.5, 1e400, 0xff, true]
        "quoted key" = 'ä\U0001f30b'
        [[phases]]
        name.de = "eins"
        [[phases]]
        labels = { path = "x.zip" }
    """
    assert reader.toml(text.encode()) == tomllib.loads(text)
    assert reader.toml(b"\xef\xbb\xbfa = 1") == {"a": 1}
    assert reader.toml(b"") == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (".".join("a" * 130_000) + "=1", "Line 1 has more than 1,000 dots"),
        ("a = 1\n[" + ".".join("a" * 130_000) + "]", "Line 2 has more than 1,000 dots"),
        ("a=" + "[" * 260_000, "nested too deeply"),
        ("a=" + "{a=" * 90_000, "nested too deeply"),
        ("a=" + "9" * 260_000, "not valid TOML"),
        ("a = ", "not valid TOML: Invalid value"),
        ('"\\u0000time" = 1', "could not be read safely"),
        ("#" * (bounds.TEXT_BYTES + 1), "at most 1,048,576"),
        (b"a = '\xff'", "not UTF-8"),
    ],
    ids=["dots", "header", "list", "tables", "number", "nothing", "mark", "large", "bytes"],
)
def test_toml_that_would_grow_or_is_none(reader, text, sentence):
    """130,000 dots in 260 kB would take tomllib to 16 GB."""
    with memory() as used, pytest.raises(FileRefused, match=sentence):
        reader.toml(text if isinstance(text, bytes) else text.encode())
    assert used.peak < FLAT


def test_json_comes_back_as_json_reads_it(reader):
    rows = [
        '{"a": [1, -2.5, 1e15, true, null]}',
        '"ä\\u2028\U0001f30b"',
        "1e400",
        "[]",
        '{"a": 1, "a": {"b": ""}}',
    ]
    content = "\r\n".join(rows).encode()
    assert list(reader.json_lines(io.BytesIO(content))) == [json.loads(row) for row in rows]
    assert reader.json(b'{\n "a":\n [1]}\n') == {"a": [1]}
    assert list(reader.json_lines(io.BytesIO())) == []


def test_json_lines_of_any_number_come_in_order(reader):
    content = b"".join(b'{"number": %d, "text": "%s"}\n' % (i, b"x" * (i % 400)) for i in range(20_000))
    assert len(content) > 3 << 20  # several children
    assert [row["number"] for row in reader.json_lines(io.BytesIO(content))] == list(range(20_000))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"[" + b"[]," * 5_000_000 + b"1]", "more than 300,000 values"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 5_000, "not JSON"),
        (b'{"a": "\\ud800"}', "not JSON"),
        (b"{}\n\n{}", "not JSON"),
        (b"\xff", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'"' + b"x" * (bounds.LINE_BYTES - 1) + b'"', "Line 1 is longer than 33,554,432 bytes"),
        (b"[%s]" % b",".join([b"1e15"] * 299_000), None),
    ],
    ids=["values", "nested", "number", "half", "empty line", "bytes", "quotes", "long", "grows"],
)
def test_json_that_would_grow_or_is_none(reader, text, sentence):
    with memory() as used:
        if sentence is None:
            assert list(reader.json_lines(io.BytesIO(text))) == [json.loads(text)]
        else:
            with pytest.raises(FileRefused, match=sentence):
                list(reader.json_lines(io.BytesIO(text)))
    assert used.peak < FLAT + 3 * min(len(text), bounds.LINE_BYTES)


def test_the_time_of_json_is_bounded(reader, monkeypatch):
    """A child that takes longer is ended, and the sentence says so."""
    monkeypatch.setattr(bounds, "CPU_S", 0.0)
    monkeypatch.setattr(bounds, "WALL_S", 0.05)
    with pytest.raises(FileRefused, match="limits on time and memory"):
        list(reader.json_lines(io.BytesIO((b"[%s]\n" % b",".join([b"1.5"] * 250_000)) * 8)))


def test_lines_are_counted(reader, monkeypatch):
    monkeypatch.setattr(bounds, "LINES", 3)
    with pytest.raises(FileRefused, match="more than 3 lines"):
        list(reader.json_lines(io.BytesIO(b"1\n" * 4)))
