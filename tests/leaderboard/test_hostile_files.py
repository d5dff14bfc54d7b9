"""Files that organisers and other servers send: no process that holds secrets parses them, nor grows with what they claim."""

import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from evaluation.sandbox import bounds
from evaluation.sandbox.guards import SystemCallFilter
from evaluation.task import TASK
from leaderboard.actions import descriptions, organiser_files
from leaderboard.export.package import ExportInvalid
from leaderboard.export.read import import_competition
from leaderboard.models import Competition, LabelSet, MethodDescription, QuickLook, Submission
from tests.evaluation.test_files import FLAT, inflating, unwritten
from tests.leaderboard.factories import make_archive
from tests.memory import memory

pytestmark = pytest.mark.django_db


def send_labels(client, cast, content):
    client.force_login(cast.organiser)
    address = reverse("admin:leaderboard_phase_load_labels", args=[cast.phase.pk])
    return client.post(address, {"masks": SimpleUploadedFile("labels.zip", content), "note": "n"})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (unwritten(24_000, 24_000), "The masks have 24000 x 24000 pixels, at most 16,777,216 are taken."),
        (inflating(2048, 2048, 70), "are more than the 268,435,456 pixels that a label set may have"),
        (b"nonsense", "This is not a ZIP archive"),
    ],
    ids=["300 bytes for 576 million pixels", "294 million pixels", "nonsense"],
)
def test_a_label_upload_that_would_grow_is_refused_in_flat_memory(client, cast, content, sentence):
    send_labels(client, cast, b"warm up")
    with memory() as used:
        page = send_labels(client, cast, content)
    assert sentence in page.content.decode()
    assert used.peak < FLAT
    assert LabelSet.objects.count() == 1


def test_a_good_label_upload_is_taken(client, cast):
    assert send_labels(client, cast, make_archive()).status_code == 302


def test_where_files_cannot_be_read_safely_the_upload_says_so(client, cast, settings, monkeypatch):
    """A container without the filter: the fault is this machine's, and nothing is parsed unconfined."""
    settings.SCORE_WITHOUT_FILTER = False
    monkeypatch.setattr("evaluation.sandbox.files._MODULE", "tests.evaluation.unfiltered_reader")
    page = send_labels(client, cast, make_archive()).content.decode()
    assert "The server cannot read files safely at the moment, so nothing was changed" in page
    assert LabelSet.objects.count() == 1
    assert SystemCallFilter is not None


def test_load_labels_refuses_the_same(cast, tmp_path):
    for number in (1, 2):
        with h5py.File(tmp_path / TASK.mask_name(number), "w") as file:
            file.create_dataset(TASK.mask_dataset, (24_000, 24_000), "u1")
    with memory() as used, pytest.raises(CommandError, match="24000 x 24000"):
        call_command("load_labels", "landslides/validation", str(tmp_path))
    assert used.peak < FLAT


def test_images_that_would_grow_leave_those_that_are_there(cast, tmp_path):
    for number in (1, 2, 3):
        with h5py.File(tmp_path / TASK.image_name(number), "w") as file:
            file[TASK.image_dataset] = np.zeros((16, 16, len(TASK.bands)))
    call_command("load_labels", "landslides/validation", "--images", str(tmp_path))
    before = QuickLook.objects.count()
    with h5py.File(tmp_path / TASK.image_name(3), "w") as file:
        file.create_dataset(TASK.image_dataset, (90_000, 90_000, len(TASK.bands)), "f8")
    with memory() as used, pytest.raises(CommandError, match=r"image_3\.h5: img is \(90000, 90000, 14\)"):
        call_command("load_labels", "landslides/validation", "--images", str(tmp_path))
    assert used.peak < FLAT
    assert QuickLook.objects.count() == before > 0


def test_a_competition_file_names_labels_that_would_grow(cast, tmp_path):
    (tmp_path / "labels.zip").write_bytes(unwritten(24_000, 24_000))
    with memory() as used, pytest.raises(organiser_files.FileInvalid, match="24000 x 24000"):
        organiser_files.labels_of(tmp_path / "labels.zip")
    assert used.peak < FLAT


def test_a_set_up_archive_is_unpacked_within_bounds(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    good = io.BytesIO()
    with zipfile.ZipFile(good, "w") as archive:
        archive.writestr("competition.toml", "slug = 'a'")
        archive.writestr("labels/mask_1.h5", b"1")
    assert len(organiser_files.unpack(as_upload(good.getvalue()), tmp_path / "good")) == 2
    bad = io.BytesIO()
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../../competition.toml", "slug = 'a'")
    with pytest.raises(organiser_files.FileInvalid, match="could lead out of a folder"):
        organiser_files.unpack(as_upload(bad.getvalue()), tmp_path / "bad")
    assert not list((tmp_path / "bad").iterdir())


def as_upload(content):
    file = TemporaryUploadedFile("setup.zip", "application/zip", len(content), None)
    file.write(content)
    file.flush()
    return file


def test_a_pdf_is_kept_and_handed_out_and_never_opened(client, cast):
    """5 MB of nested streams: whatever a PDF parser would make of them, none is here."""
    bomb = b"%PDF-1.7\n" + b"<</Filter[/FlateDecode/FlateDecode/FlateDecode]>>stream\n" * 90_000
    content = bomb[: descriptions.LARGEST_DESCRIPTION]
    with memory() as used:
        descriptions.hand_in_description(cast.owner, cast.team, SimpleUploadedFile("d.pdf", content))
    assert used.peak < 16 * len(content)  # psycopg sends bytes as text of twice the length, in several copies
    assert bytes(MethodDescription.objects.get().pdf) == content
    import leaderboard

    rooms = Path(leaderboard.__file__).parent
    parsers = ("pypdf", "pdfminer", "fitz", "pikepdf")
    assert not [
        path for path in rooms.rglob("*.py") if any(f"import {name}" in path.read_text() for name in parsers)
    ]


def test_no_room_of_the_server_parses_hdf5_or_opens_archives():
    """h5py is for the confined processes; zipfile only writes."""
    import leaderboard

    rooms = Path(leaderboard.__file__).parent
    for path in rooms.rglob("*.py"):
        text = path.read_text()
        assert "import h5py" not in text, path
        for call in ("label_files.load(", "labels.load(", "ZipFile(path)", "mask_zip.read("):
            assert call not in text or path.name == "demo.py", (path, call)


class TestImport:
    """Exports of a server that means harm."""

    def package(self, tmp_path: Path, content: dict[str, bytes], **about) -> Path:
        sums = {name: {"sha256": hashlib.sha256(text).hexdigest()} for name, text in content.items()}
        manifest = {
            "format": "landslide4sense-leaderboard-competition",
            "version": 1,
            "competition": "harm",
            "contents_sha256": "0" * 64,
            "files": sums,
            **about,
        }
        path = tmp_path / "export.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in content.items():
                archive.writestr(name, text)
            archive.writestr("manifest.json", json.dumps(manifest))
        return path

    @pytest.mark.parametrize(
        ("files", "about", "sentence"),
        [
            ({"data/submissions.jsonl": b"[" * 400_000}, {}, "more than 300,000 values"),
            ({"data/submissions.jsonl": b"[" * 200_000}, {}, "nested too deeply"),
            ({"data/submissions.jsonl": b'{"a":"' + b"x" * (40 << 20)}, {}, "longer than 33,554,432 bytes"),
            ({"data/submissions.jsonl": b"[1]\n"}, {}, "is not a row"),
            ({"data/submissions.jsonl": b"{}\n"}, {}, "cannot be read"),
            ({"data/zeros": bytes(300 << 20)}, {}, "data/submissions.jsonl, which it does not hold"),
            ({"data/submissions.jsonl": b""}, {"competition": "../../etc"}, "slug '../../etc' cannot be used"),
            ({"data/submissions.jsonl": b""}, {"files": []}, "manifest of .* is incomplete"),
            (
                {"data/submissions.jsonl": json.dumps({"archive": "archives/../x.zip", "number": 1, "sha256": "a"}).encode()},
                {},
                "does not name its archive",
            ),
            ({"../../x": b"1"}, {}, "could lead out of a folder"),
            ({f"archives/{i}": b"" for i in range(60_000)}, {}, "too many files; at most 50,000"),
        ],
        ids=[
            "brackets", "nested", "one line", "no object", "no columns", "zeros", "slug", "manifest", "archive path",
            "name", "entries",
        ],
    )  # fmt: skip
    def test_it_is_refused_in_a_sentence_and_leaves_nothing(self, tmp_path, files, about, sentence):
        path = self.package(tmp_path, files, **about)
        with memory() as used, pytest.raises(ExportInvalid, match=sentence):
            import_competition(path)
        longest = max(map(len, files.values()), default=0)
        assert used.peak < FLAT + 3 * min(longest, bounds.LINE_BYTES)
        assert not Competition.objects.exists()
        assert not Submission.objects.exists()

    def test_labels_that_a_row_says_are_larger_than_is_taken(self):
        """What a row says of labels decides how much memory a worker will need for them."""
        from leaderboard.export import read

        huge = LabelSet(patches=800, height=24_000, width=24_000)
        with pytest.raises(ExportInvalid, match="24000 x 24000"):
            read.masks_of(None, 1, huge)


def test_uploads_are_not_copied_into_memory(client, cast):
    """A ZIP at the limit of an upload is read from the temporary file that holds it."""
    content = make_archive()[:-22] + os.urandom(60 << 20)
    with memory() as used, pytest.raises(organiser_files.FileInvalid):
        organiser_files.labels_of(as_upload(content))
    assert used.peak < FLAT
