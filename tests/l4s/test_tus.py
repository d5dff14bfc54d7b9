"""Resumable uploads against a tus 1.0 server of a few lines: whole uploads, cut ones, and those of a process that died."""

from base64 import b64decode

import httpx
import pytest

from l4s import errors, tus
from l4s.credentials import Uploads
from tests.l4s.servers import SERVER, Both

SIZE = 3 * 2**20 + 17


class TusServer:
    """Takes uploads as tus 1.0 says; `cut_at`: the connection breaks once there, after so many bytes are stored."""

    def __init__(self, cut_at: int | None = None, dead: bool = False) -> None:
        self.cut_at, self.dead = cut_at, dead
        self.uploads: dict[str, bytearray] = {}
        self.lengths: dict[str, int] = {}
        self.seen: list[str] = []
        self.submitted: list[httpx.Request] = []
        self.metadata = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        path = request.url.path.removeprefix("/api/v1/")
        self.seen.append(f"{request.method} {path}")
        if path == "submissions/":
            self.submitted.append(request)
            return httpx.Response(202, json={"id": 7, "state": "queued"})
        assert request.headers["Tus-Resumable"] == "1.0.0"
        if request.method == "OPTIONS":
            return self.answer(204, {"Tus-Version": "1.0.0", "Tus-Extension": "creation,termination"})
        if request.method == "POST":
            return self.create(request)
        if path not in self.uploads:
            return self.answer(404)
        if request.method == "HEAD":
            return self.answer(200, {"Upload-Offset": str(len(self.uploads[path]))})
        return self.take(path, request)

    def answer(self, status: int, headers: dict[str, str] | None = None) -> httpx.Response:
        return httpx.Response(status, headers={"Tus-Resumable": "1.0.0", **(headers or {})})

    def create(self, request: httpx.Request) -> httpx.Response:
        name = f"uploads/{len(self.uploads) + 1}"
        self.uploads[name], self.lengths[name] = bytearray(), int(request.headers["Upload-Length"])
        self.metadata = request.headers["Upload-Metadata"]
        return self.answer(201, {"Location": f"{SERVER}/api/v1/{name}"})

    def take(self, name: str, request: httpx.Request) -> httpx.Response:
        stored = self.uploads[name]
        assert request.headers["Content-Type"] == "application/offset+octet-stream"
        if int(request.headers["Upload-Offset"]) != len(stored):
            return self.answer(409)
        room = len(request.content) if self.cut_at is None else self.cut_at - len(stored)
        stored += request.content[: max(0, room)]
        if room < len(request.content):
            self.cut_at = self.cut_at if self.dead else None
            raise httpx.WriteError("cut")
        assert len(stored) <= self.lengths[name]
        return self.answer(204, {"Upload-Offset": str(len(stored))})


@pytest.fixture(params=["sync", "async"])
def both(request):
    return Both(request.param)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    async def nothing(seconds):
        pass

    monkeypatch.setattr("l4s.client.sleep", lambda seconds: None)
    monkeypatch.setattr("l4s.client.sleep_async", nothing)
    monkeypatch.setattr(tus, "CHUNK", 2**20)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "big.zip"
    path.write_bytes(bytes(range(256)) * (SIZE // 256 + 1))
    with path.open("r+b") as file:
        file.truncate(SIZE)
    return path


def submit(both, archive):
    seen = []
    made = both.call("submit", archive, phase=4, method="U-Net", progress=lambda *step: seen.append(step))
    assert made["id"] == 7
    return seen


def test_a_large_archive_goes_chunk_by_chunk(both, archive):
    server = TusServer()
    seen = submit(both.connect(server), archive)
    assert server.uploads["uploads/1"] == archive.read_bytes()
    assert [offset for offset, _ in seen] == [0, 2**20, 2 * 2**20, 3 * 2**20, SIZE]
    described = dict(part.split(" ") for part in server.metadata.split(","))
    assert b64decode(described["filename"]) == b"big.zip"
    assert b64decode(described["phase"]) == b"4"
    [request] = server.submitted
    assert request.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert b'name="upload"\r\n\r\nhttp://leaderboard.example/api/v1/uploads/1\r\n' in request.content
    assert b'name="method"\r\n\r\nU-Net\r\n' in request.content
    assert b'name="archive"' not in request.content
    assert len(request.headers["Idempotency-Key"]) == 64


def test_after_a_cut_it_goes_on_where_the_server_is(both, archive):
    server = TusServer(cut_at=2**20 + 5)
    submit(both.connect(server), archive)
    assert server.uploads["uploads/1"] == archive.read_bytes()
    assert server.seen.count("POST uploads/") == 1
    assert server.seen.count("HEAD uploads/1") == 1


def test_the_next_process_goes_on(both, archive):
    server = TusServer(cut_at=2**21, dead=True)
    both.connect(server, uploads=Uploads())
    with pytest.raises(errors.ConnectionBroken):
        submit(both, archive)
    assert server.submitted == []
    server.cut_at = None
    server.seen.clear()
    submit(both.connect(server, uploads=Uploads()), archive)
    assert server.seen == [
        "OPTIONS uploads/",
        "HEAD uploads/1",
        "PATCH uploads/1",
        "PATCH uploads/1",
        "POST submissions/",
    ]
    assert server.uploads["uploads/1"] == archive.read_bytes()
    server.seen.clear()
    submit(both.connect(server, uploads=Uploads()), archive)  # nothing is sent twice
    assert server.seen == ["OPTIONS uploads/", "HEAD uploads/1", "POST submissions/"]


def test_an_upload_that_is_gone_begins_again(both, archive):
    server = TusServer(cut_at=2**21, dead=True)
    both.connect(server, uploads=Uploads())
    with pytest.raises(errors.ConnectionBroken):
        submit(both, archive)
    gone = TusServer()
    submit(both.connect(gone, uploads=Uploads()), archive)
    assert gone.uploads["uploads/1"] == archive.read_bytes()


def test_small_archives_and_servers_without_tus_get_a_form(both, archive, tmp_path):
    small = tmp_path / "small.zip"
    small.write_bytes(b"PK")
    server = TusServer()
    submit(both.connect(server), small)
    assert server.seen == ["POST submissions/"]
    seen = []

    def without(request):
        seen.append((request.method, request.url.path))
        if request.url.path.endswith("/submissions/"):
            return httpx.Response(202, json={"id": 7, "state": "queued"})
        return httpx.Response(404, json={"status": 404, "code": "not_found"})

    both.connect(without)
    for _ in range(2):
        submit(both, archive)
    assert [path for method, path in seen if method == "OPTIONS"] == ["/api/v1/uploads/"]
    assert len(seen) == 3
