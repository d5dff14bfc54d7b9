"""The client on the real server, over HTTP, with a real worker: what it does, and what people read when it cannot."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from l4s import AsyncClient, Client, errors
from l4s.text import describe
from leaderboard.actions.accounts import create_token
from leaderboard.models import Phase, Submission, User
from tests.l4s.servers import run
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

    def connect(user: User, server: str = live_server.url) -> Client:
        opened.append(Client(server, create_token(user, "script")[1]))
        return opened[-1]

    yield connect
    for each in opened:
        each.close()


def submit(client: Client, phase: Phase, archive: Path, **more) -> dict:
    return client.submit(archive, phase=phase.pk, method="U-Net", description="14 bands", **more)


def test_a_slow_score_is_reported_and_waited_for_later(cast: Cast, connected, archive) -> None:
    """No worker runs yet: the queue is long, as far as anyone can see."""
    client = connected(cast.owner)
    made = submit(client, cast.phase, archive)
    assert describe(made).startswith(f"Submission {made['id']}: queued, place 1 of the queue, about")
    with pytest.raises(errors.StillWaiting) as slow:
        client.wait(made, timeout=0.6)
    assert str(slow.value) == (
        f"Submission {made['id']} is still queued after 1 s. The server keeps it: the same command waits on, and uploads nothing twice."
    )
    assert submit(client, cast.phase, archive)["id"] == made["id"]
    assert submit(client, cast.phase, archive, attempt="2")["id"] != made["id"]


def test_coroutines_do_the_same(cast: Cast, live_server, archive, worker, tmp_path) -> None:
    token = create_token(cast.owner, "script")[1]

    async def evening() -> tuple[dict, list, Path, dict, dict]:
        async with AsyncClient(live_server.url, token) as client:
            made = await client.submit(archive, phase="validation", method="U-Net")
            done, listed = await asyncio.gather(client.wait(made, PATIENCE), client.submissions())
            path = await client.download(made["id"], tmp_path / "copy.zip")
            return done, listed, path, await client.board("validation"), await client.verify(made["id"])

    done, listed, path, board, receipt = run(evening())
    assert (done["state"], done["f1"]) == ("scored", 1.0)
    assert [each["id"] for each in listed] == [done["id"]]
    assert path.read_bytes() == archive.read_bytes()
    assert [row["team"] for row in board["rows"]] == ["Alpine"]
    assert receipt["statement"]["archive_sha256"] == done["sha256"]


def test_a_reference_entry_stands_on_the_board_without_a_rank(
    cast: Cast, connected, archive, worker, tmp_path
) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=1)
    team, organiser = connected(cast.owner), connected(cast.organiser)
    worse = tmp_path / "worse.zip"
    masks = make_masks()
    masks[0, 0, 0] = 0
    worse.write_bytes(make_archive(masks))
    assert team.wait(submit(team, cast.phase, worse), PATIENCE)["state"] == "scored"
    for path in (archive, worse):  # the quota is the teams'
        done = organiser.wait(submit(organiser, cast.phase, path, reference=True), PATIENCE)
        assert (done["state"], done["reference"], done["attempt"]) == ("scored", True, None)
    assert describe(done).startswith(f"Submission {done['id']}: scored, precision 100.00 %, recall ")
    board = team.board(cast.phase.pk)
    assert [(row["rank"], row["team"]) for row in board["rows"]] == [(1, "Alpine")]
    assert [(row["rank"], row["method"], row["f1"] == 1) for row in board["reference"]] == [
        (None, "U-Net", True),
        (None, "U-Net", False),
    ]


def test_only_organisers_submit_reference_entries(cast: Cast, connected, archive) -> None:
    with pytest.raises(errors.Refused) as refused:
        submit(connected(cast.owner), cast.phase, archive, reference=True)
    assert str(refused.value).splitlines()[0] == "Forbidden (403)"
    assert refused.value.code == "not_allowed"
    assert not Submission.objects.exists()


def test_a_used_up_quota_is_a_refusal_not_a_reason_to_try_again(
    cast: Cast, connected, archive, monkeypatch
) -> None:
    monkeypatch.setattr("l4s.client.sleep", lambda seconds: pytest.fail("waited for tomorrow"))
    client = connected(cast.owner)
    for limit in ({"quota_per_day": 1}, {"quota_total": 1}):
        Submission.objects.all().delete()
        Phase.objects.filter(pk=cast.phase.pk).update(**{"quota_per_day": None} | limit)
        submit(client, cast.phase, archive)
        with pytest.raises(errors.QuotaUsedUp) as refused:
            client.submit(archive, phase=cast.phase.pk, method="Another")
        assert refused.value.detail.startswith("Your team has used its only submission ")
        assert (refused.value.next_at is None) == ("quota_total" in limit)


def test_a_closed_phase_and_no_team(cast: Cast, connected, archive) -> None:
    with pytest.raises(errors.Refused) as refused:
        submit(connected(cast.stranger), cast.phase, archive)
    assert refused.value.code == "no_team"
    later = make_phase(cast.competition, "test", opens_at="2040-01-01T00:00Z")
    with pytest.raises(errors.Refused, match="Test opens on 1 January 2040, 00:00 UTC") as refused:
        submit(connected(cast.owner), later, archive)
    assert refused.value.code == "phase_not_open"


def test_phases_of_several_competitions(cast: Cast, connected) -> None:
    client = connected(cast.owner)
    for name in ("validation", "landslides/validation", str(cast.phase.pk), None):
        assert client.phase(name)["id"] == cast.phase.pk
    make_phase(make_competition("floods"))
    with pytest.raises(errors.WrongUse, match="'validation' is the name of several phases"):
        client.phase("validation")


def test_a_wrong_token_is_said_before_anything_is_uploaded(cast: Cast, live_server, archive) -> None:
    with (
        Client(live_server.url, "l4s_" + 64 * "0") as client,
        pytest.raises(
            errors.Unauthorized, match=r"Unauthorized \(401\)\nThis token is unknown, expired or revoked"
        ),
    ):
        client.submit(archive, phase="validation", method="U-Net")


def test_an_unreachable_server_and_a_wrong_address(monkeypatch) -> None:
    monkeypatch.setattr("l4s.client.sleep", lambda seconds: None)
    with (
        Client(f"http://127.0.0.1:{free_port()}", "secret") as nobody,
        pytest.raises(
            errors.Unreachable, match=r"127\.0\.0\.1:\d+ cannot be reached \(ConnectError: .*refused"
        ),
    ):
        nobody.phases()
    with pytest.raises(errors.WrongUse, match="must begin with http:// or https://"):
        Client("127.0.0.1:8000", "secret")


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
