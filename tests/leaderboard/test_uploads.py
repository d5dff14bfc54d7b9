"""Resumable uploads, checked against the text of the protocol (tus 1.0: core, creation, checksum, expiration, termination)."""

import base64
import hashlib
import io
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.test import Client
from django.utils import timezone

from leaderboard.actions import uploads
from leaderboard.models import Phase, Submission, Upload, UploadPart, User
from tests.leaderboard.api import API, assert_problem, client_of
from tests.leaderboard.factories import Cast, make_archive, make_competition, make_phase, make_submission

pytestmark = pytest.mark.django_db
BODY = "application/offset+octet-stream"
CONTENT = make_archive()


class Tus:
    """Speaks the protocol with a token."""

    def __init__(self, user: User | None) -> None:
        self.client = client_of(user)

    def __call__(self, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
        given = {
            "Tus-Resumable": "1.0.0",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        kind = given.pop("Content-Type", BODY)
        return self.client.generic(method, path, body, content_type=kind, headers=given)

    def begin(self, phase: Any, length: int = len(CONTENT), **metadata: str) -> Any:
        metadata = {"phase": str(getattr(phase, "pk", phase)), "filename": "masks.zip", **metadata}
        return self("POST", f"{API}/uploads/", Upload_Length=str(length), Upload_Metadata=encoded(metadata))

    def patch(self, path: str, offset: int, body: bytes, **headers: str) -> Any:
        return self("PATCH", path, body, Upload_Offset=str(offset), **headers)

    def submit(self, upload: str, phase: Any, **fields: Any) -> Any:
        sent = {"phase": phase.pk, "method": "U-Net", "upload": upload, **fields}
        return self.client.post(f"{API}/submissions/", sent, format="json")


def encoded(metadata: dict[str, str]) -> str:
    return ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in metadata.items())


@pytest.fixture
def tus(cast: Cast) -> Tus:
    return Tus(cast.owner)


def kept(storage: Any, path: str) -> list[str]:
    try:
        folders, files = storage.listdir(f"incoming/{path.rstrip('/').rpartition('/')[2]}")
    except FileNotFoundError:
        return []
    return [*folders, *files]


def test_a_cut_upload_continues_and_becomes_a_submission(cast: Cast, tus: Tus, storage: Any) -> None:
    begun = tus.begin(cast.phase, sha256=hashlib.sha256(CONTENT).hexdigest())
    assert begun.status_code == 201
    path = begun["Location"]
    assert path.startswith("http://testserver/api/v1/uploads/")
    assert tus.patch(path, 0, CONTENT[:400]).status_code == 204
    head = tus("HEAD", path)
    assert (head.status_code, head["Upload-Offset"], head["Upload-Length"]) == (200, "400", str(len(CONTENT)))
    assert head["Cache-Control"] == "no-store"
    assert_problem(tus.submit(path, cast.phase), 409, "upload_incomplete")
    assert tus.patch(path, 400, CONTENT[400:])["Upload-Offset"] == str(len(CONTENT))
    answer = tus.submit(path, cast.phase)
    assert answer.status_code == 202, answer.content
    submission = Submission.objects.get()
    upload = Upload.objects.get()
    assert submission.received_at == upload.created_at < submission.completed_at
    assert submission.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert submission.original_name == "masks.zip"
    assert submission.archive.open("rb").read() == CONTENT
    assert kept(storage, path) == []
    again = tus.submit(path, cast.phase)
    assert (again.status_code, again.json()["id"]) == (200, submission.pk)
    assert Submission.objects.count() == 1


def test_every_answer_names_the_version_and_every_request_must(cast: Cast, tus: Tus) -> None:
    nobody = Tus(None)
    options = nobody("OPTIONS", f"{API}/uploads/")
    assert options.status_code == 204
    assert options["Tus-Extension"] == "creation,checksum,expiration,termination"
    assert options["Tus-Checksum-Algorithm"] == "sha1,sha256"
    assert options["Tus-Max-Size"].isdecimal()
    path = tus.begin(cast.phase)["Location"]
    answers = [
        options,
        tus("HEAD", path),
        tus("HEAD", path, Tus_Resumable="0.2.2"),
        nobody("HEAD", path),
        tus("POST", f"{API}/uploads/"),
        tus("GET", path),
    ]
    assert [answer.status_code for answer in answers] == [204, 200, 412, 401, 400, 405]
    assert {answer["Tus-Resumable"] for answer in answers} == {"1.0.0"}
    assert answers[2]["Tus-Version"] == "1.0.0"
    without = tus.client.generic("PATCH", path, b"x", content_type=BODY, headers={"Upload-Offset": "0"})
    assert without.status_code == 412
    assert tus("HEAD", path)["Upload-Offset"] == "0"  # nothing was processed


def test_only_the_next_bytes_are_accepted(cast: Cast, tus: Tus) -> None:
    path = tus.begin(cast.phase)["Location"]
    tus.patch(path, 0, CONTENT[:10])
    assert_problem(tus.patch(path, 9, b"x"), 409, "wrong_offset")
    assert_problem(tus.patch(path, 11, b"x"), 409, "wrong_offset")
    assert_problem(tus.patch(path, 10, b"x", Content_Type="application/zip"), 415, "unsupported_media_type")
    assert_problem(tus.patch(path, 10, bytes(len(CONTENT))), 400, "invalid")
    for offset in ("", "-1", "ten", "٣"):
        assert_problem(tus("PATCH", path, b"x", Upload_Offset=offset), 400, "invalid")
    assert tus.patch(path, 10, b"")["Upload-Offset"] == "10"
    assert tus("HEAD", path)["Upload-Offset"] == "10"


def test_creation_checks_what_it_can(cast: Cast, tus: Tus, settings: Any) -> None:
    hidden = make_phase(make_competition("hidden", is_published=False))
    for phase in ("", "x", "999999", hidden.pk, "9" * 30):
        assert_problem(tus.begin(phase), 400, "invalid")
    assert_problem(tus.begin(cast.phase, length=0), 400, "empty_file")
    settings.MAX_UPLOAD_BYTES = 1000
    assert_problem(tus.begin(cast.phase, length=1001), 413, "too_large")
    assert_problem(tus.begin(cast.phase, sha256="x"), 400, "invalid")
    deferred = tus("POST", f"{API}/uploads/", Upload_Defer_Length="1", Upload_Metadata="")
    assert_problem(deferred, 400, "invalid")
    broken = tus("POST", f"{API}/uploads/", Upload_Length="5", Upload_Metadata="phase ***")
    assert_problem(broken, 400, "invalid")
    assert_problem(Tus(cast.stranger).begin(cast.phase), 403, "no_team")
    Phase.objects.filter(pk=cast.phase.pk).update(quota_total=1)
    make_submission(cast.team, cast.phase)
    assert_problem(tus.begin(cast.phase), 403, "total_used_up")
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=timezone.now())
    assert_problem(tus.begin(cast.phase), 403, "phase_ended")
    assert not Upload.objects.exists()


def test_metadata_comes_back_as_it_was_sent(cast: Cast, tus: Tus) -> None:
    path = tus.begin(cast.phase, filename="Masken größer.zip", note="")["Location"]
    sent = encoded({"phase": str(cast.phase.pk), "filename": "Masken größer.zip", "note": ""})
    assert tus("HEAD", path)["Upload-Metadata"] == sent
    assert Upload.objects.get().name == "Masken größer.zip"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_checksums(cast: Cast, tus: Tus, algorithm: str) -> None:
    path = tus.begin(cast.phase)["Location"]
    right = base64.b64encode(hashlib.new(algorithm, CONTENT[:50]).digest()).decode()
    wrong = tus.patch(path, 0, CONTENT[1:51], Upload_Checksum=f"{algorithm} {right}")
    assert_problem(wrong, 460, "checksum_mismatch")
    assert tus("HEAD", path)["Upload-Offset"] == "0"
    assert_problem(tus.patch(path, 0, b"x", Upload_Checksum="crc32 AAAA"), 400, "invalid")
    assert_problem(tus.patch(path, 0, b"x", Upload_Checksum=f"{algorithm} ***"), 400, "invalid")
    assert tus.patch(path, 0, CONTENT[:50], Upload_Checksum=f"{algorithm} {right}").status_code == 204


def test_bytes_other_than_announced_are_not_submitted(cast: Cast, tus: Tus) -> None:
    path = tus.begin(cast.phase, sha256="0" * 64)["Location"]
    tus.patch(path, 0, CONTENT)
    assert_problem(tus.submit(path, cast.phase), 400, "invalid")
    assert_problem(tus.submit(path, cast.phase), 410, "upload_gone")
    assert not Submission.objects.exists()


def test_an_upload_expires_and_is_swept(cast: Cast, tus: Tus, storage: Any) -> None:
    uploads.sweep()  # what other tests left
    begun = tus.begin(cast.phase)
    path = begun["Location"]
    patched = tus.patch(path, 0, b"PK")
    for answer in (begun, patched):
        left = parsedate_to_datetime(answer["Upload-Expires"]) - timezone.now()
        assert timedelta(hours=23) < left <= timedelta(hours=24)
    other = tus.begin(cast.phase)["Location"]
    tus.patch(other, 0, b"PK")
    assert uploads.sweep() == "0 expired uploads, 0 left folders and 0 archives without a submission removed"
    Upload.objects.filter(pk=path.rstrip("/").rpartition("/")[2]).update(expires_at=timezone.now())
    head = tus("HEAD", path)
    assert head.status_code == 410
    assert "Upload-Offset" not in head
    assert uploads.sweep() == "1 expired uploads, 0 left folders and 0 archives without a submission removed"
    assert kept(storage, path) == []
    assert len(kept(storage, other)) == 1
    cast.owner.uploads.all().delete()  # a deleted account takes its rows along, not the files
    assert uploads.sweep() == "0 expired uploads, 1 left folders and 0 archives without a submission removed"
    assert kept(storage, other) == []


def test_terminated_uploads_are_gone(cast: Cast, tus: Tus, storage: Any) -> None:
    path = tus.begin(cast.phase)["Location"]
    tus.patch(path, 0, b"PK")
    assert tus("DELETE", path).status_code == 204
    assert kept(storage, path) == []
    for method in ("HEAD", "PATCH", "DELETE"):
        assert tus(method, path, Upload_Offset="0").status_code == 410
    assert_problem(tus.submit(path, cast.phase), 410, "upload_gone")


def test_others_do_not_see_it(cast: Cast, tus: Tus) -> None:
    path = tus.begin(cast.phase)["Location"]
    for user in (cast.teammate, cast.rival, cast.organiser):
        assert Tus(user)("HEAD", path).status_code == 410
        assert Tus(user).patch(path, 0, b"PK").status_code == 410
        assert Tus(user)("DELETE", path).status_code == 410
    tus.patch(path, 0, CONTENT)
    assert_problem(Tus(cast.teammate).submit(path, cast.phase), 410, "upload_gone")
    for reference in ("", "x", "0" * 36, f"{path}x", "http://elsewhere/"):
        answer = tus.submit(reference, cast.phase)
        assert answer.status_code == (400 if reference == "" else 410), reference


def test_the_method_can_be_overridden(cast: Cast, tus: Tus) -> None:
    path = tus.begin(cast.phase)["Location"]
    answer = tus("POST", path, b"PK", X_HTTP_Method_Override="PATCH", Upload_Offset="0")
    assert (answer.status_code, answer["Upload-Offset"]) == (204, "2")


def test_the_page_uploads_with_its_session_and_its_csrf_token(cast: Cast) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(cast.owner)
    browser.get(f"/c/{cast.competition.slug}/submit/")
    token = browser.cookies["csrftoken"].value
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "5",
        "Upload-Metadata": encoded({"phase": str(cast.phase.pk)}),
    }
    refused = browser.generic("POST", f"{API}/uploads/", headers=headers)
    assert refused.status_code == 403
    begun = browser.generic("POST", f"{API}/uploads/", headers={**headers, "X-CSRFToken": token})
    assert begun.status_code == 201
    part = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
    path = begun["Location"]
    assert browser.generic("PATCH", path, b"PK", content_type=BODY, headers=part).status_code == 403
    part["X-CSRFToken"] = token
    assert browser.generic("PATCH", path, b"PK", content_type=BODY, headers=part).status_code == 204


def test_a_person_has_few_unfinished_uploads(cast: Cast, tus: Tus) -> None:
    paths = [tus.begin(cast.phase)["Location"] for _ in range(uploads.MOST_UNFINISHED + 2)]
    found = [tus("HEAD", path).status_code for path in paths]
    assert found == [410, 410] + [200] * uploads.MOST_UNFINISHED


class Cut(io.BytesIO):
    """A body whose connection breaks after some bytes, as gunicorn reports it."""

    def read(self, size: int | None = -1) -> bytes:
        if data := super().read(size):
            return data
        raise OSError("the client is gone")


@pytest.mark.parametrize("checksum", [False, True])
def test_what_arrived_before_a_cut_is_kept(cast: Cast, tus: Tus, checksum: bool) -> None:
    path = tus.begin(cast.phase)["Location"]
    digest = base64.b64encode(hashlib.sha1(CONTENT).digest()).decode()
    headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
    headers |= {"Upload-Checksum": f"sha1 {digest}"} if checksum else {}
    extra: Any = {"wsgi.input": Cut(CONTENT[:300]), "CONTENT_LENGTH": str(len(CONTENT))}
    tus.client.generic("PATCH", path, content_type=BODY, headers=headers, **extra)
    assert tus("HEAD", path)["Upload-Offset"] == ("0" if checksum else "300")
    assert UploadPart.objects.count() == (0 if checksum else 1)


def test_after_a_refusal_the_upload_can_be_submitted_again(cast: Cast, tus: Tus) -> None:
    first = tus.begin(cast.phase)["Location"]
    tus.patch(first, 0, CONTENT)
    assert_problem(tus.submit(first, cast.phase, method=""), 400, "invalid")
    earlier = tus.submit(first, cast.phase).json()["id"]
    second = tus.begin(cast.phase)["Location"]
    tus.patch(second, 0, CONTENT)
    other = make_phase(cast.competition, "test")
    assert list(assert_problem(tus.submit(second, other), 400, "invalid")["errors"]) == ["phase"]
    body = assert_problem(tus.submit(second, cast.phase), 409, "same_archive")
    assert body["submission"] == earlier
    assert f"the same bytes as submission {earlier} (waiting)" in body["detail"]
    assert tus.submit(second, cast.phase, allow_duplicate=True).status_code == 202


def test_organisers_upload_reference_entries(cast: Cast) -> None:
    tus = Tus(cast.organiser)
    path = tus.begin(cast.phase)["Location"]
    tus.patch(path, 0, CONTENT)
    assert tus.submit(path, cast.phase, reference=True).status_code == 202
    assert Submission.objects.get().reference


@pytest.mark.parametrize(("grace", "status"), [(15, 202), (5, 403), (0, 403)])
def test_an_upload_that_began_in_time_may_finish_within_the_grace(
    cast: Cast, tus: Tus, grace: int, status: int
) -> None:
    path = tus.begin(cast.phase)["Location"]
    tus.patch(path, 0, CONTENT[:100])
    now = timezone.now()
    Upload.objects.update(created_at=now - timedelta(minutes=11))
    Phase.objects.filter(pk=cast.phase.pk).update(closes_at=now - timedelta(minutes=10), grace_minutes=grace)
    assert_problem(tus.begin(cast.phase), 403, "phase_ended")
    assert tus.patch(path, 100, CONTENT[100:]).status_code == (204 if status == 202 else 403)
    if status == 202:
        assert tus.submit(path, cast.phase).status_code == 202
        submission = Submission.objects.get()
        assert submission.received_at == now - timedelta(minutes=11)
        assert submission.attempt.reserved_at == submission.received_at
    else:
        assert not Submission.objects.exists()


def test_a_complete_upload_is_too_late_once_the_grace_is_over(cast: Cast, tus: Tus) -> None:
    path = tus.begin(cast.phase)["Location"]
    tus.patch(path, 0, CONTENT)
    Phase.objects.filter(pk=cast.phase.pk).update(
        closes_at=timezone.now() - timedelta(minutes=15), grace_minutes=15
    )
    Upload.objects.update(created_at=timezone.now() - timedelta(minutes=20))
    answer = tus.submit(path, cast.phase)
    assert "could finish until" in assert_problem(answer, 403, "phase_ended")["detail"]


@pytest.mark.django_db(transaction=True)
def test_the_same_bytes_at_once_are_taken_once(cast: Cast) -> None:
    path = Tus(cast.owner).begin(cast.phase)["Location"]
    token = [Tus(cast.owner) for _ in range(6)]

    def send(tus: Tus) -> int:
        try:
            return int(tus.patch(path, 0, CONTENT[:200]).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        statuses = sorted(threads.map(send, token))
    assert statuses == [204] + [409] * 5
    assert Tus(cast.owner)("HEAD", path)["Upload-Offset"] == "200"
    assert len(kept(storages["uploads"], path)) == 1


@pytest.mark.django_db(transaction=True)
def test_an_upload_submitted_at_once_makes_one_submission(cast: Cast) -> None:
    callers = [Tus(cast.owner) for _ in range(4)]
    path = callers[0].begin(cast.phase)["Location"]
    callers[0].patch(path, 0, CONTENT)

    def send(tus: Tus) -> tuple[int, int]:
        try:
            answer = tus.submit(path, cast.phase)
            return answer.status_code, answer.json()["id"]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(send, callers))
    assert {number for _, number in answers} == {Submission.objects.get().pk}
    assert sorted(status for status, _ in answers) == [200, 200, 200, 202]
