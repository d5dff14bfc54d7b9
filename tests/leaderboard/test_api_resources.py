"""Resources beside submissions and boards: CSV, counts per patch, notes, histories, formats, announcements, data files."""

import csv
import io
import zipfile
from datetime import timedelta
from typing import Any

import h5py
import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.utils import timezone

from evaluation.archive import mask_zip
from evaluation.scoring.counts import unpack
from leaderboard.actions import rosters
from leaderboard.models import Announcement, DataFile, Phase, PublishedEntry, SubmissionNote
from tests.leaderboard.api import API, assert_problem, assert_told, client_of
from tests.leaderboard.factories import (
    TINY,
    Cast,
    make_masks,
    make_phase,
    make_submission,
    make_team,
    make_user,
)

pytestmark = pytest.mark.django_db


def test_a_live_board_as_csv(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase, method='=HYPERLINK("x")')
    make_submission(cast.other_team, cast.phase, (10, 90, 90))
    PublishedEntry.objects.create(phase=cast.phase, name="Paper", method="CNN", f1=74.5, source="T")
    address = f"{API}/phases/{cast.phase.pk}/leaderboard"
    client = client_of()
    ways = [
        client.get(f"{address}/", HTTP_ACCEPT="text/csv"),
        client.get(f"{address}/?format=csv"),
        client.get(f"{address}.csv"),
        client.get(f"{address}.csv", HTTP_ACCEPT="application/json"),
        client.get(f"{address}.csv", HTTP_ACCEPT="text/csv"),
    ]
    for answer in ways:
        assert answer.status_code == 200, answer.content
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Accept" in answer["Vary"]
        assert answer.content == ways[0].content
    lines = list(csv.DictReader(io.StringIO(ways[0].content.decode())))
    assert [(line["rank"], line["kind"], line["team"]) for line in lines] == [
        ("1", "team", "Alpine"),
        ("2", "team", "Rivals"),
        ("", "published", "Paper"),
    ]
    assert lines[0]["method"] == '\'=HYPERLINK("x")'
    assert (lines[0]["f1"], lines[0]["submission"], lines[0]["team_id"]) == (
        "0.8",
        str(made.pk),
        str(cast.team.pk),
    )
    assert len(client.get(f"{address}.csv?limit=1").content.splitlines()) == 3
    json = client.get(f"{address}/")
    assert json["ETag"] != ways[0]["ETag"]
    again = client.get(f"{address}.csv", HTTP_IF_NONE_MATCH=ways[2]["ETag"])
    assert (again.status_code, again.content) == (304, b"")


def test_a_csv_hides_what_the_board_hides(cast: Cast) -> None:
    make_submission(cast.team, cast.phase)
    Phase.objects.filter(pk=cast.phase.pk).update(visible_metrics="f1")
    [line] = csv.DictReader(
        io.StringIO(client_of().get(f"{API}/phases/{cast.phase.pk}/leaderboard.csv").content.decode())
    )
    assert (line["f1"], line["precision"], line["recall"]) == ("0.8", "", "")


def test_counts_per_patch_as_far_as_the_phase_shows_them(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase, (60, 20, 40))
    address = f"{API}/submissions/{made.pk}/counts/"
    client = client_of(cast.owner)

    def allow(feedback: str) -> None:
        Phase.objects.filter(pk=cast.phase.pk).update(feedback=feedback)

    for feedback in ("none", "histogram", "errors"):  # error maps wait for the end
        allow(feedback)
        assert_told(client.get(address), 403, "not_allowed")
        assert_told(client.get(f"{address}?format=npz"), 403, "not_allowed")
    allow("patches")
    assert client.get(address).json() == {
        "submission": made.pk,
        "labels_version": 1,
        "f1": [2 / 3, None, None],
        "tp": None,
        "fp": None,
        "fn": None,
    }
    assert set(np.load(io.BytesIO(client.get(f"{address}?format=npz").content))) == {"f1"}
    body = client_of(cast.organiser).get(address).json()
    assert (body["tp"], body["fp"], body["fn"]) == ([60, 0, 0], [20, 0, 0], [40, 0, 0])
    answer = client_of(cast.organiser).get(address, HTTP_ACCEPT="application/x-npz")
    assert answer["Content-Type"] == "application/x-npz"
    assert f"submission-{made.pk}-counts.npz" in answer["Content-Disposition"]
    arrays = np.load(io.BytesIO(answer.content))
    assert arrays["tp"].tolist() == [60, 0, 0]
    assert np.isnan(arrays["f1"][1:]).all()
    assert_problem(client_of(cast.rival).get(address), 404, "not_found")
    waiting = make_submission(cast.team, cast.phase, state="queued")
    assert_told(client.get(f"{API}/submissions/{waiting.pk}/counts/"), 409, "conflict")


def test_a_note_belongs_to_the_team(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase)
    address = f"{API}/submissions/{made.pk}/note/"
    client = client_of(cast.owner)
    empty = {"text": "", "tags": [], "edited_by": None, "edited_at": None}
    assert client.get(address).json() == empty
    written = client.put(address, {"text": "lr 1e-3", "tags": ["fold 1", "best"]})
    assert written.status_code == 200
    body = client_of(cast.teammate).get(address).json()
    assert (body["text"], body["tags"], body["edited_by"]) == ("lr 1e-3", ["fold 1", "best"], "owner")
    for other in (cast.organiser,):
        for method in ("get", "put", "delete"):
            sent = {"text": "x", "tags": []} if method == "put" else None
            assert_told(getattr(client_of(other), method)(address, sent), 403, "not_allowed")
    assert_told(client_of(cast.rival).get(address), 404, "not_found")
    for odd in (
        {"text": "x"},
        {"text": "x", "tags": "a"},
        {"text": 3, "tags": []},
        {"text": "x" * 2001, "tags": []},
        {"text": "x", "tags": ["y" * 31]},
        {"text": "x", "tags": [str(number) for number in range(11)]},
        {"text": "x", "tags": ["a, b"]},
        {"text": "x\x00", "tags": []},
    ):
        assert_told(client.put(address, odd), 400, "invalid")
    assert SubmissionNote.objects.get().text == "lr 1e-3"
    listed = client.get(f"{API}/submissions/?tag=fold 1").json()["results"]
    assert [row["id"] for row in listed] == [made.pk]
    assert client.get(f"{API}/submissions/?tag=fold").json()["results"] == []
    assert client.delete(address).status_code == 204
    assert client.get(address).json() == empty


def test_a_tag_finds_nothing_in_notes_of_other_teams(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase)
    client_of(cast.owner).put(f"{API}/submissions/{made.pk}/note/", {"text": "", "tags": ["secret"]})
    assert client_of(cast.organiser).get(f"{API}/submissions/?tag=secret").json()["results"] == []


def test_a_member_agrees_to_be_named(cast: Cast) -> None:
    address = f"{API}/teams/{cast.team.pk}/membership/"
    shown = client_of(cast.teammate).patch(address, {"is_named": True}).json()
    assert {m["username"]: m["is_named"] for m in shown["members"]} == {"owner": False, "teammate": True}
    make_submission(cast.team, cast.phase)
    assert client_of().get(f"{API}/teams/{cast.team.pk}/history/").json()["members"] == ["teammate"]
    assert_told(client_of(cast.teammate).patch(address, {}), 400, "invalid")
    assert_told(client_of(cast.teammate).patch(address, {"is_named": 1}), 400, "invalid")
    assert_told(client_of(cast.rival).patch(address, {"is_named": True}), 404, "not_found")


def test_a_history_is_public_once_the_team_is_on_a_board(cast: Cast) -> None:
    address = f"{API}/teams/{cast.team.pk}/history/"
    assert_told(client_of().get(address), 404, "not_found")
    assert_told(client_of(cast.rival).get(address), 404, "not_found")
    assert client_of(cast.owner).get(address).json()["places"] == []
    start = timezone.now() - timedelta(days=3)
    for day, tp in enumerate((50, 40, 80)):
        last = make_submission(
            cast.team, cast.phase, (tp, 100 - tp, 100 - tp), received_at=start + timedelta(days=day)
        )
    make_submission(cast.other_team, cast.phase, (90, 10, 10))
    body = client_of().get(address).json()
    assert (body["id"], body["name"], body["competition"], body["members"]) == (
        cast.team.pk,
        "Alpine",
        "landslides",
        [],
    )
    [place] = body["places"]
    assert (place["phase"], place["rank"], place["teams"], place["submission"]) == (
        cast.phase.pk,
        2,
        2,
        last.pk,
    )
    assert (place["f1"], place["precision"]) == (0.8, 0.8)
    assert [step["f1"] for step in place["history"]] == [pytest.approx(0.5), pytest.approx(0.8)]
    assert place["history"][0]["at"] < place["history"][1]["at"]
    Phase.objects.filter(pk=cast.phase.pk).update(visible_metrics="f1")
    assert client_of().get(address).json()["places"][0]["precision"] is None
    later = timezone.now() + timedelta(days=1)
    Phase.objects.filter(pk=cast.phase.pk).update(hidden_until_close=True, closes_at=later)
    assert_told(client_of().get(address), 404, "not_found")


def test_the_history_of_a_merged_team_is_that_of_the_other(cast: Cast) -> None:
    make_submission(cast.team, cast.phase)
    offered = rosters.propose_merger(cast.rival, cast.other_team, cast.team)
    rosters.decide_merger(cast.owner, offered, True)
    body = client_of().get(f"{API}/teams/{cast.team.pk}/history/").json()
    assert (body["id"], body["name"]) == (cast.other_team.pk, "Rivals")


def test_organisers_entries_have_a_history_too(cast: Cast) -> None:
    own = make_team(cast.competition, "Organisers", is_organisers=True)
    made = make_submission(own, cast.phase, reference=True)
    body = client_of().get(f"{API}/teams/{own.pk}/history/").json()
    assert body["places"] == []
    assert [(row["phase"], row["submission"]) for row in body["reference"]] == [(cast.phase.pk, made.pk)]


def written_from(wanted: dict[str, Any], masks: np.ndarray) -> bytes:
    """An archive, written from the phase's `format` alone."""
    assert (wanted["container"], wanted["file_format"]) == ("zip", "hdf5")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for index in range(wanted["files"]):
            file = io.BytesIO()
            with h5py.File(file, "w") as mask:
                values = np.where(masks[index], *reversed(wanted["values"]))
                assert list(values.shape) == wanted["shape"]
                mask.create_dataset(wanted["dataset"], data=values.astype(wanted["dtype"]))
            name = wanted["file_name"].replace("{number}", str(wanted["first_number"] + index))
            archive.writestr(name, file.getvalue())
    return content.getvalue()


def test_a_script_writes_an_archive_from_the_phases_format_alone(cast: Cast) -> None:
    phase = client_of().get(f"{API}/phases/{cast.phase.pk}/").json()
    packed = mask_zip.read(written_from(phase["format"], make_masks()), TINY)
    assert np.array_equal(unpack(packed, TINY), make_masks())
    assert (
        client_of()
        .get(f"{API}/phases/{make_phase(cast.competition, 'later', labels=False).pk}/")
        .json()["format"]
        is None
    )


def test_announcements_to_everybody(cast: Cast) -> None:
    for number, audience in enumerate(("everyone", "no_submission", "everyone")):
        Announcement.objects.create(
            competition=cast.competition,
            title=f"News {number}",
            body="**Bold**",
            audience=audience,
            publish_at=timezone.now() - timedelta(hours=number),
        )
    Announcement.objects.create(
        competition=cast.competition, title="Later", body="x", publish_at=timezone.now() + timedelta(days=1)
    )
    address = f"{API}/competitions/landslides/announcements/"
    assert client_of().get(f"{API}/competitions/landslides/").json()["announcements"].endswith(address)
    body = client_of().get(address).json()
    assert [row["title"] for row in body["results"]] == ["News 0", "News 2"]
    assert body["results"][0]["body"] == "**Bold**"
    assert "/c/landslides/announcements/#announcement-" in body["results"][0]["url"]
    first = client_of().get(f"{address}?ordering=published_at&page_size=1").json()
    assert [row["title"] for row in first["results"]] == ["News 2"]
    assert [row["title"] for row in client_of().get(first["next"]).json()["results"]] == ["News 0"]
    assert_told(client_of().get(f"{API}/competitions/nowhere/announcements/"), 404, "not_found")


def test_data_files_and_their_bytes(cast: Cast) -> None:
    later = make_phase(cast.competition, "later", opens_at=timezone.now() + timedelta(days=1))
    DataFile.objects.create(competition=cast.competition, name="paper", url="https://example.org/paper")
    stored = DataFile(competition=cast.competition, name="Train.zip", size=5, sha256="0" * 64, position=1)
    stored.file.save("Train.zip", ContentFile(b"bytes"))
    DataFile.objects.create(
        competition=cast.competition, name="Test.zip", url="https://example.org/test", phase=later
    )
    address = client_of().get(f"{API}/competitions/landslides/").json()["data_files"]
    listed = client_of().get(address).json()
    assert [file["name"] for file in listed] == ["paper", "Train.zip"]
    assert (listed[1]["size"], listed[1]["sha256"], listed[1]["phase"]) == (5, "0" * 64, None)
    answer = client_of().get(listed[1]["url"], HTTP_ACCEPT="application/zip")
    assert b"".join(answer.streaming_content) == b"bytes"
    part = client_of().get(listed[1]["url"], HTTP_RANGE="bytes=1-2")
    assert (part.status_code, b"".join(part.streaming_content)) == (206, b"yt")
    away = client_of().get(listed[0]["url"])
    assert (away.status_code, away["Location"]) == (302, "https://example.org/paper")
    hidden = listed[0]["url"].replace("paper", "Test.zip")
    assert_told(client_of(cast.owner).get(hidden), 404, "not_found")
    assert client_of(cast.organiser).get(hidden).status_code == 302
    assert [file["phase"] for file in client_of(cast.organiser).get(address).json()] == [None, "later", None]


def test_a_file_comes_whatever_the_client_accepts(cast: Cast) -> None:
    made = make_submission(cast.team, cast.phase)
    for accept in ("application/zip", "*/*", "application/json", "image/png"):
        answer = client_of(cast.owner).get(f"{API}/submissions/{made.pk}/archive/", HTTP_ACCEPT=accept)
        assert answer.status_code == 200, accept
        assert answer["Content-Type"] == "application/zip"
    description = f"{API}/teams/{cast.team.pk}/description/"
    assert_told(client_of(cast.owner).get(description, HTTP_ACCEPT="application/pdf"), 404, "not_found")
    assert client_of(make_user()).get(f"{API}/teams/mine/", HTTP_ACCEPT="text/csv").status_code == 406
