"""The trainers' client on the real server, over HTTP, with a real worker: what it does, and what people read when it cannot."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest

from baseline.submitting import client
from leaderboard.actions.accounts import create_token
from leaderboard.models import Phase, Submission, User
from tests.leaderboard.factories import Cast, make_archive, make_competition, make_masks, make_phase
from tests.services import free_port

pytestmark = [pytest.mark.worker, pytest.mark.django_db(transaction=True)]
PATIENCE = 60


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "validation.zip"
    path.write_bytes(make_archive())
    return path


@pytest.fixture
def connected(live_server):
    """Clients of the live server, by their person."""
    opened = []

    def connect(user: User, server: str = live_server.url) -> httpx.Client:
        opened.append(client.connect(server, create_token(user, "trainer")[1]))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def submit(connection: httpx.Client, phase: Phase, archive: Path, **more) -> dict:
    return client.submit(connection, phase.pk, archive, "U-Net", "14 bands", **more)


def test_a_slow_score_is_reported_and_waited_for_later(cast: Cast, connected, archive) -> None:
    """No worker runs yet: the queue is long, as far as anyone can see."""
    connection = connected(cast.owner)
    made = submit(connection, cast.phase, archive)
    assert client.describe(made).startswith(f"Submission {made['id']}: queued, place 1 of the queue, about")
    with pytest.raises(client.ServerUnreachable) as slow:
        client.wait(connection, made, timeout=0.6)
    assert str(slow.value) == (
        f"Submission {made['id']} is still queued after 1 s. The server keeps it: the same command waits on, and uploads nothing twice."
    )
    assert submit(connection, cast.phase, archive)["id"] == made["id"]


def test_reference_entry_stands_on_the_board_without_a_rank(
    cast: Cast, connected, archive, worker, tmp_path
) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=1)
    team, organiser = connected(cast.owner), connected(cast.organiser)
    worse = tmp_path / "worse.zip"
    masks = make_masks()
    masks[0, 0, 0] = 0
    worse.write_bytes(make_archive(masks))
    assert client.wait(team, submit(team, cast.phase, worse), PATIENCE)["state"] == "scored"
    for path in (archive, worse):  # the quota is the teams'
        told: list[dict] = []
        made = submit(organiser, cast.phase, path, reference=True)
        done = client.wait(organiser, made, PATIENCE, told.append)
        assert (done["state"], done["reference"], done["attempt"]) == ("scored", True, None)
    assert client.describe(done).startswith(f"Submission {done['id']}: scored, precision 100.00 %, recall ")
    board = team.get(f"phases/{cast.phase.pk}/leaderboard/").json()
    assert [(row["rank"], row["team"]) for row in board["rows"]] == [(1, "Alpine")]
    assert [(row["rank"], row["method"], row["f1"] == 1) for row in board["reference"]] == [
        (None, "U-Net", True),
        (None, "U-Net", False),
    ]


def test_only_organisers_submit_reference_entries(cast: Cast, connected, archive) -> None:
    with pytest.raises(client.SubmissionRefused) as refused:
        submit(connected(cast.owner), cast.phase, archive, reference=True)
    assert str(refused.value).splitlines() == [
        "Forbidden (403)",
        "Only organisers of the competition can submit a reference entry.",
    ]
    assert not Submission.objects.exists()


def test_what_is_wrong_with_an_archive_is_read_file_by_file(cast: Cast, connected, worker, tmp_path) -> None:
    connection, path = connected(cast.owner), tmp_path / "short.zip"
    path.write_bytes(make_archive(np.zeros((2, 16, 16), np.uint8)))
    done = client.wait(connection, submit(connection, cast.phase, path), PATIENCE)
    first, second = client.describe(done).splitlines()
    assert first == f"Submission {done['id']}: invalid"
    assert second.startswith("  mask_3.h5: ")
    path.write_bytes(b"")
    with pytest.raises(client.SubmissionRefused, match=r"Bad Request \(400\)\n.*empty"):
        submit(connection, cast.phase, path)


def test_a_used_up_quota_is_a_refusal_not_a_reason_to_try_again(
    cast: Cast, connected, archive, monkeypatch
) -> None:
    monkeypatch.setattr(client, "sleep", lambda seconds: pytest.fail("waited for tomorrow"))
    connection = connected(cast.owner)
    for limit, sentence in (
        ({"quota_per_day": 1}, "Your team has used its only submission of today (UTC) in Validation."),
        ({"quota_total": 1}, "Your team has used its only submission of Validation."),
    ):
        Submission.objects.all().delete()
        Phase.objects.filter(pk=cast.phase.pk).update(**{"quota_per_day": None} | limit)
        submit(connection, cast.phase, archive)
        with pytest.raises(client.SubmissionRefused) as refused:
            client.submit(connection, cast.phase.pk, archive, "Another", "")
        assert str(refused.value).startswith(f"Too Many Requests (429)\n{sentence}")


def test_a_closed_phase_and_no_team(cast: Cast, connected, archive) -> None:
    with pytest.raises(client.SubmissionRefused, match="You are in no team of"):
        submit(connected(cast.stranger), cast.phase, archive)
    later = make_phase(cast.competition, "test", opens_at="2040-01-01T00:00Z")
    with pytest.raises(client.SubmissionRefused, match="Test opens on 1 January 2040, 00:00 UTC"):
        submit(connected(cast.owner), later, archive)


def test_phases_are_found_by_name(cast: Cast, connected) -> None:
    connection = connected(cast.owner)
    for name in ("validation", "landslides/validation", str(cast.phase.pk)):
        assert client.find_phase(connection, name)["id"] == cast.phase.pk
    with pytest.raises(client.SubmissionRefused) as unknown:
        client.find_phase(connection, "final")
    assert str(unknown.value) == (
        "'final' is no phase of this server. Its phases are: landslides/validation. Name one with --phase."
    )
    make_phase(make_competition("floods"))
    with pytest.raises(client.SubmissionRefused, match="'validation' is the name of several phases"):
        client.find_phase(connection, "validation")


def test_a_wrong_token_is_said_before_anything_is_uploaded(cast: Cast, live_server) -> None:
    with (
        client.connect(live_server.url, "l4s_" + 64 * "0") as connection,
        pytest.raises(client.SubmissionRefused) as refused,
    ):
        client.find_phase(connection, "validation")
    assert str(refused.value).splitlines() == [
        "Unauthorized (401)",
        "This token is unknown, expired or revoked. Check it, or create a new one on the site, under your account.",
    ]


def test_an_unreachable_server_and_a_wrong_address(live_server, monkeypatch) -> None:
    monkeypatch.setattr(client, "sleep", lambda seconds: None)
    with (
        client.connect(f"http://127.0.0.1:{free_port()}", "secret") as nobody,
        pytest.raises(
            client.ServerUnreachable, match=r"127\.0\.0\.1 cannot be reached \(ConnectError: .*refused"
        ),
    ):
        client.find_phase(nobody, "validation")
    with pytest.raises(ValueError, match="must begin with http:// or https://"):
        client.connect("127.0.0.1:8000", "secret")


@contextmanager
def cutting_proxy(server: str, request_bytes: int | None) -> Iterator[str]:
    """A way to the server that cuts the first connection that uploads: after so many bytes of the request, or, with None, when the
    answer is to come. Later connections pass whole."""
    target = urlsplit(server)
    cut = threading.Event()

    def pump(source: socket.socket, sink: socket.socket, limit: int | None, is_answer: bool) -> None:
        passed = 0
        while data := receive(source):
            passed += len(data)
            over = limit is not None and passed > limit
            if not cut.is_set() and (over or (is_answer and limit is None)):
                cut.set()
                break
            sink.sendall(data)
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def receive(source: socket.socket) -> bytes:
        try:
            return source.recv(65536)
        except OSError:
            return b""

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection((target.hostname, target.port))
            ways = ((near, far, request_bytes if request_bytes is not None else 1 << 40, False),)
            ways += ((far, near, None if request_bytes is None else 1 << 40, True),)
            for way in ways:
                threading.Thread(target=pump, args=way, daemon=True).start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    assert cut.is_set(), "nothing was cut"


@pytest.mark.parametrize("request_bytes", [1500, None], ids=["within the upload", "before the answer"])
def test_a_connection_that_dies_leaves_one_submission(
    cast: Cast, connected, live_server, archive, request_bytes
) -> None:
    with cutting_proxy(live_server.url, request_bytes) as way:
        made = submit(connected(cast.owner, way), cast.phase, archive)
    assert [s.pk for s in Submission.objects.all()] == [made["id"]]
