"""What a participant's script does, over HTTP, with a real worker: submit, wait, read the score and the board."""

import time

import httpx
import numpy as np
import pytest

from leaderboard.actions.accounts import create_token
from leaderboard.models import Phase
from tests.leaderboard.api import API
from tests.leaderboard.factories import Cast, make_archive, make_masks

pytestmark = [pytest.mark.worker, pytest.mark.django_db(transaction=True)]
PATIENCE = 30  # seconds; scoring takes a fraction of one


@pytest.fixture
def script(cast: Cast, live_server, worker):
    headers = {"Authorization": f"Bearer {create_token(cast.owner, 'script')[1]}"}
    with httpx.Client(base_url=f"{live_server.url}{API}/", headers=headers, timeout=PATIENCE) as client:
        yield client


def submit(client: httpx.Client, phase: Phase, archive: bytes, **headers: str) -> httpx.Response:
    return client.post(
        "submissions/",
        data={"phase": phase.pk, "method": "U-Net"},
        files={"archive": ("masks.zip", archive)},
        headers=headers,
    )


def final(client: httpx.Client, address: str) -> dict:
    end = time.monotonic() + PATIENCE
    while (body := client.get(address).json())["state"] in ("queued", "scoring"):
        assert time.monotonic() < end, body
        time.sleep(0.05)
    return body


def test_from_upload_to_the_board(cast: Cast, script: httpx.Client) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=2)
    [phase] = script.get("phases/").json()
    assert phase["quotas"]["total"] == 2
    board = script.get(phase["links"]["leaderboard"])
    assert board.json()["rows"] == []

    predicted = make_masks()
    predicted[0, 0, 0] = 0
    accepted = submit(script, cast.phase, make_archive(predicted), **{"Idempotency-Key": "first"})
    assert accepted.status_code == 202, accepted.text
    assert (
        submit(script, cast.phase, make_archive(predicted), **{"Idempotency-Key": "first"}).status_code == 200
    )
    body = final(script, accepted.headers["Location"])
    positive = int(make_masks().sum())
    assert body["state"] == "scored", body
    assert body["precision"] == 1.0
    assert body["recall"] == (positive - 1) / positive
    assert body["f1"] == 2 * (positive - 1) / (2 * positive - 1)

    etag = {"If-None-Match": board.headers["ETag"]}
    board = script.get(phase["links"]["leaderboard"], headers=etag)
    assert board.status_code == 200
    [row] = board.json()["rows"]
    assert (row["rank"], row["team"], row["f1"], row["entries"]) == (1, "Alpine", body["f1"], 1)
    etag = {"If-None-Match": board.headers["ETag"]}
    assert script.get(phase["links"]["leaderboard"], headers=etag).status_code == 304

    damaged = submit(script, cast.phase, make_archive(np.zeros((2, 16, 16), np.uint8)))
    body = final(script, damaged.headers["Location"])
    assert (body["state"], body["f1"]) == ("invalid", None)
    assert [(problem["code"], problem["file"]) for problem in body["problems"]] == [
        ("missing_file", "mask_3.h5")
    ]
    assert body["attempt"]["state"] == "given_back"

    assert submit(script, cast.phase, make_archive()).status_code == 202
    refused = submit(script, cast.phase, make_archive())
    assert (refused.status_code, refused.json()["code"]) == (403, "total_used_up")
    [team] = script.get("teams/mine/").json()
    assert team["quotas"][0]["total"] == 2
    ledger = script.get("attempts/").json()["results"]
    assert [row["holds_total"] for row in ledger] == [True, False, True]
