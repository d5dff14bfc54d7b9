"""A large upload through one web process needs no memory of its size."""

import base64
import os
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from leaderboard.actions.accounts import create_token
from leaderboard.models import Submission
from tests.conftest import web_process
from tests.leaderboard.factories import make_cast

SIZE, PART = 500 << 20, 8 << 20
pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


def test_500_mb_at_flat_memory(tmp_path: Path) -> None:
    with web_process(tmp_path, MAX_UPLOAD_MB="600") as (process, url):
        upload_and_submit(process, url)


def upload_and_submit(process: Any, url: str) -> None:
    cast = make_cast()
    headers = {"Authorization": f"Bearer {create_token(cast.owner, 'x')[1]}", "Tus-Resumable": "1.0.0"}
    client = httpx.Client(base_url=url, headers=headers, timeout=120)
    names = {"filename": "masks.zip", "phase": str(cast.phase.pk)}
    metadata = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in names.items()
    )
    part, memory = os.urandom(PART), psutil.Process(process.pid).memory_info
    made = client.post("/api/v1/uploads/", headers={"Upload-Length": str(SIZE), "Upload-Metadata": metadata})
    assert made.status_code == 201, made.text
    place, sizes = made.headers["location"], []
    for offset in range(0, SIZE, PART):
        sent = part[: SIZE - offset]
        answer = client.patch(
            place,
            content=sent,
            headers={"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"},
        )
        assert answer.status_code == 204, answer.text
        sizes.append(memory().rss)
    body = {"phase": cast.phase.pk, "method": "U-Net", "upload": place}
    answer = client.post("/api/v1/submissions/", json=body)
    assert answer.status_code == 202, answer.text
    assert Submission.objects.get().size == SIZE
    assert max(*sizes, memory().rss) - sizes[1] < 32 << 20
