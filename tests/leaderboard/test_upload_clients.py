"""Resumable uploads by a client that is not ours: tuspy, the protocol's own Python client, on a real server."""

import hashlib
import io
import os

import pytest
from tusclient import client as tus

from leaderboard.actions.accounts import create_token
from leaderboard.models import Submission, Upload
from tests.leaderboard.api import API, client_of
from tests.leaderboard.factories import make_cast

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("checksum", [False, True])
def test_tuspy_uploads_and_continues(live_server, checksum):
    cast = make_cast()
    content = os.urandom(300_000)
    headers = {"Authorization": f"Bearer {create_token(cast.owner, 'tuspy')[1]}"}
    client = tus.TusClient(f"{live_server.url}{API}/uploads/", headers=headers)
    facts = {
        "chunk_size": 100_000,
        "metadata": {"phase": str(cast.phase.pk), "filename": "masks.zip"},
        "upload_checksum": checksum,
    }
    first = client.uploader(file_stream=io.BytesIO(content), **facts)
    first.upload_chunk()
    assert Upload.objects.get().offset == 100_000
    second = client.uploader(file_stream=io.BytesIO(content), url=first.url, **facts)
    assert second.offset == 100_000
    second.upload()
    sent = {"phase": cast.phase.pk, "method": "U-Net", "upload": first.url}
    assert client_of(cast.owner).post(f"{API}/submissions/", sent, format="json").status_code == 202
    assert Submission.objects.get().sha256 == hashlib.sha256(content).hexdigest()
