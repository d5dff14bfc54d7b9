"""Resumable uploads of the client to the real server."""

from pathlib import Path

import pytest

from l4s import Client, errors, operations, tus
from leaderboard.actions.accounts import create_token
from leaderboard.models import Submission
from tests.l4s.test_live import cutting_proxy
from tests.leaderboard.factories import Cast, make_archive

pytestmark = [pytest.mark.worker, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def archive(tmp_path: Path, monkeypatch) -> Path:
    """A small archive, which the client sends as it does large ones: in chunks."""
    monkeypatch.setattr(operations, "RESUMABLE_FROM", 1)
    monkeypatch.setattr(tus, "CHUNK", 700)
    path = tmp_path / "masks.zip"
    path.write_bytes(make_archive())
    return path


@pytest.fixture
def token(cast: Cast) -> str:
    return create_token(cast.owner, "script")[1]


def test_an_upload_in_chunks_is_one_submission(archive, token: str, live_server, worker) -> None:
    asked = {"phase": "validation", "method": "U-Net"}
    with Client(live_server.url, token) as client:
        made = client.submit(archive, **asked)
        assert client.wait(made, 60)["f1"] == 1.0
        assert client.submit(archive, **asked)["id"] == made["id"]
    with Client(live_server.url, token) as another:  # which knows of no earlier upload
        assert another.submit(archive, **asked)["id"] == made["id"]
        with pytest.raises(errors.Conflict) as same:
            another.submit(archive, phase="validation", method="Another")
        assert (same.value.code, same.value.problem["submission"]) == ("same_archive", made["id"])
        assert "send `allow_duplicate=true`; with `l4s submit`, add `--attempt 2`" in same.value.detail
        again = another.submit(archive, attempt="2", **asked)
    assert {each.pk for each in Submission.objects.all()} == {made["id"], again["id"]}


def test_a_cut_upload_goes_on(archive, token: str, live_server, worker) -> None:
    told: list[str] = []
    with (
        cutting_proxy(live_server.url, 3000) as way,
        Client(way, token, on_retry=told.append) as client,
    ):
        made = client.submit(archive, phase="validation", method="U-Net")
        assert client.wait(made, 60)["f1"] == 1.0
    assert told
    assert Submission.objects.count() == 1
