"""Public data: from the competition file to the data page; ranges, checksums, release with the phase."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from leaderboard.actions.competition_checks import CompetitionFileInvalid
from leaderboard.actions.competition_files import apply, plan, read_file
from leaderboard.models import Competition, DataFile, Page, Phase

CONTENT = bytes(range(256)) * 40
HEAD = """
[competition]
slug = "small"
name = "Small"
[[pages]]
slug = "data"
title = "Data"
body = "About."
[[phases]]
slug = "first"
name = "First"
opens_at = 2022-01-01T00:00:00Z
[[phases]]
slug = "later"
name = "Later"
opens_at = 2999-01-01T00:00:00Z
"""
DATA = """
[[data]]
name = "Train.zip"
path = "train.zip"
note = "Images and masks."
[[data]]
name = "Test.zip"
path = "test.zip"
phase = "later"
[[data]]
name = "elsewhere"
url = "https://example.org/data"
"""

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.zip").write_bytes(CONTENT)
    (tmp_path / "test.zip").write_bytes(b"test images")
    (tmp_path / "small.toml").write_text(HEAD + DATA)
    return tmp_path


@pytest.fixture
def competition(folder: Path) -> Competition:
    made = apply(plan(read_file(folder / "small.toml")))
    made.is_published = True
    made.save(update_fields=["is_published"])
    return made


def get(client: Client, name: str, **headers: str) -> Any:
    return client.get(reverse("pages:data-file", args=["small", name]), headers=headers)


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def test_the_page_lists_released_files(competition: Competition, client: Client) -> None:
    page = client.get("/c/small/data/").content.decode()
    for text in (
        "Train.zip",
        "Images and masks.",
        hashlib.sha256(CONTENT).hexdigest(),
        "https://example.org/data",
    ):
        assert text in page
    assert "Test.zip" not in page
    sums = client.get(reverse("pages:data-checksums", args=["small"])).content.decode()
    assert sums == f"{hashlib.sha256(CONTENT).hexdigest()}  Train.zip\n"


def test_a_file_comes_out_with_its_phase(competition: Competition, client: Client, admin_user: Any) -> None:
    assert get(client, "Test.zip").status_code == 404
    organiser = Client()
    organiser.force_login(admin_user)
    assert body(get(organiser, "Test.zip")) == b"test images"
    assert "Test.zip" in organiser.get("/c/small/data/").content.decode()
    Phase.objects.filter(slug="later").update(opens_at=timezone.now() - timedelta(minutes=1))
    assert body(get(client, "Test.zip")) == b"test images"


def test_whole_files_and_ranges(competition: Competition, client: Client) -> None:
    whole = get(client, "Train.zip")
    assert body(whole) == CONTENT
    assert whole["Content-Disposition"] == 'attachment; filename="Train.zip"'
    assert (whole["Accept-Ranges"], whole["Content-Length"]) == ("bytes", str(len(CONTENT)))
    last = len(CONTENT) - 1
    for asked, start, end in (
        ("bytes=100-199", 100, 199),
        ("bytes=0-0", 0, 0),
        (f"bytes={last}-", last, last),
        ("bytes=-10", last - 9, last),
        ("bytes=10000-99999999", 10000, last),
    ):
        part = get(client, "Train.zip", range=asked)
        assert part.status_code == 206, asked
        assert body(part) == CONTENT[start : end + 1]
        assert part["Content-Range"] == f"bytes {start}-{end}/{len(CONTENT)}"
        assert part["Content-Length"] == str(end - start + 1)
    beyond = get(client, "Train.zip", range=f"bytes={len(CONTENT)}-")
    assert (beyond.status_code, beyond["Content-Range"]) == (416, f"bytes */{len(CONTENT)}")
    assert get(client, "Train.zip", range="lines=1-2").status_code == 200


def test_a_range_of_another_version_is_the_whole_file(competition: Competition, client: Client) -> None:
    etag = get(client, "Train.zip")["ETag"]
    same = get(client, "Train.zip", range="bytes=5-", if_range=etag)
    assert same.status_code == 206
    other = get(client, "Train.zip", range="bytes=5-", if_range='"another"')
    assert (other.status_code, body(other)) == (200, CONTENT)
    assert get(client, "Train.zip", if_none_match=etag).status_code == 304


def test_links_lead_elsewhere_and_unknown_names_are_404(competition: Competition, client: Client) -> None:
    answer = get(client, "elsewhere")
    assert (answer.status_code, answer["Location"]) == (302, "https://example.org/data")
    assert get(client, "nothing.zip").status_code == 404
    assert client.post(reverse("pages:data-file", args=["small", "Train.zip"])).status_code == 405
    DataFile.objects.get(name="Train.zip").file.storage.delete(
        DataFile.objects.get(name="Train.zip").file.name
    )
    assert get(client, "Train.zip").status_code == 404
    Competition.objects.update(is_published=False)
    assert get(client, "elsewhere").status_code == 404


def test_applied_twice_nothing_changes_and_a_new_file_replaces_the_old(
    folder: Path, competition: Competition, client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    assert plan(read_file(folder / "small.toml")).lines == []
    (folder / "train.zip").write_bytes(b"corrected")
    planned = plan(read_file(folder / "small.toml"))
    assert len(planned.lines) == 1
    assert "data file Train.zip: 9 bytes" in planned.lines[0]
    apply(planned)
    assert body(get(client, "Train.zip")) == b"corrected"
    (folder / "small.toml").write_text(HEAD)
    row = DataFile.objects.get(name="Train.zip")
    with django_capture_on_commit_callbacks(execute=True):
        apply(plan(read_file(folder / "small.toml")))
    assert not DataFile.objects.exists()
    assert not row.file.storage.exists(row.file.name)
    assert "Downloads" not in client.get("/c/small/data/").content.decode()
    assert Page.objects.filter(slug="data").exists()


def test_what_is_wrong_is_named(folder: Path) -> None:
    (folder / "small.toml").write_text(
        HEAD
        + """
[[data]]
name = "a b.zip"
path = "train.zip"
[[data]]
name = "gone.zip"
path = "gone.zip"
[[data]]
name = "both.zip"
path = "train.zip"
url = "https://example.org/"
[[data]]
name = "link"
url = "https://example.org/"
phase = "nowhere"
"""
    )
    with pytest.raises(CompetitionFileInvalid) as refused:
        plan(read_file(folder / "small.toml"))
    problems = "\n".join(refused.value.problems)
    for sentence in (
        "data[1]: name: A file name has letters, digits, dots, dashes and underscores only.",
        "gone.zip cannot be read",
        "data[3]: name either a path or a url.",
        "data[4]: phase: 'nowhere' is not a phase of this file.",
    ):
        assert sentence in problems
