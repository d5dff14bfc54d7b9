"""The report of a phase: what it is made from, who reads which part of it, and when."""

import csv
import io
import json
import re
from datetime import timedelta
from typing import Any

import h5py
import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.report.png import read_png
from evaluation.scoring import labels
from evaluation.scoring.counts import count, pack, sha256
from leaderboard.actions import judging
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed
from leaderboard.actions.reports import publish_report, request_report, withdraw_report
from leaderboard.models import AuditEntry, Evaluation, Phase, PhaseReport, Submission, Team
from leaderboard.models.visibility import gallery_is_public
from leaderboard.reporting import reports
from leaderboard.scoring import queue
from tests.leaderboard.factories import (
    TINY,
    Cast,
    make_labels,
    make_masks,
    make_phase,
    make_submission,
    make_team,
    make_user,
    take,
)

ALL = ("report", "report-json", "report-board", "report-pairs")


def predict(team: Team, phase: Phase, flipped: float, seed: int, **fields: Any) -> Submission:
    """A submission scored for real: the labels with a share of their pixels flipped."""
    truth = make_masks(seed=7 if phase.slug == "test" else 0)
    noise = np.random.default_rng(seed).random(truth.shape) < flipped
    prediction = pack(np.where(noise, 1 - truth, truth))
    submission = make_submission(team, phase, state=Evaluation.State.QUEUED, **fields)
    assert queue.record_score(
        take(submission),
        count(prediction, pack(truth)),
        labels.compress(prediction),
        sha256(prediction, TINY),
    )
    return Submission.objects.with_evaluation().get(pk=submission.pk)


def end(phase: Phase) -> None:
    phase.closes_at = timezone.now() - timedelta(hours=1)
    phase.save()


def pages(client: Client, phase: Phase, names: tuple[str, ...] = ALL) -> dict[str, Any]:
    return {
        name: client.get(reverse(f"pages:{name}", args=[phase.competition.slug, phase.slug]))
        for name in names
    }


@pytest.fixture
def season(cast: Cast) -> Phase:
    """A validation and a test phase with three teams and a baseline in both; returns the test phase."""
    test = make_phase(cast.competition, "test", labels=False, opens_at=timezone.now() - timedelta(days=3))
    make_labels(test, make_masks(seed=7))
    third = make_team(cast.competition, "Third")
    organisers = make_team(cast.competition, "Organisers", owner=cast.organiser, is_organisers=True)
    for phase in (cast.phase, test):
        for seed, (team, flipped) in enumerate(
            ((cast.team, 0.01), (cast.other_team, 0.03), (third, 0.05), (cast.team, 0.04))
        ):
            predict(team, phase, flipped, seed)
        predict(organisers, phase, 0.08, 9, reference=True, method="U-Net baseline")
    return test


def test_a_report_shows_the_board_and_the_evidence_behind_it(cast: Cast, season: Phase) -> None:
    content = reports.build(season, replicates=100)
    json.dumps(content, allow_nan=False)
    assert [(row["rank"], row["team"], row["submissions"]) for row in content["board"]] == [
        (1, "Alpine", 2),
        (2, "Rivals", 1),
        (3, "Third", 1),
    ]
    best = season.submissions.get(pk=min(season.submissions.values_list("pk", flat=True))).evaluation
    assert (content["board"][0]["tp"], content["board"][0]["fp"]) == (best.tp, best.fp)
    assert content["data"]["label_pixels"] == season.labels.positive_pixels
    assert content["shake_up"]["baseline"] == "U-Net baseline (reference)"
    assert [change["team"] for change in content["shake_up"]["teams"]] == ["Alpine", "Rivals", "Third"]
    assert content["masks"]["votes"][0]["top"] == 3
    assert content["provenance"]["labels_commitment"] == season.labels.commitment
    assert len(content["history"]["by_team"]) == 3


def test_what_a_hidden_phase_never_showed_is_on_no_curve(cast: Cast, season: Phase) -> None:
    def on_curves() -> int:
        return sum(number for _, number in reports.build(season, replicates=100)["history"]["per_day"])

    mine = season.submissions.filter(team=cast.team).order_by("evaluation__rank_key")
    Submission.objects.filter(pk=mine[0].pk).update(withdrawn_at=timezone.now())
    assert on_curves() == 4
    season.hidden_until_close = True
    assert on_curves() == 3
    season.hidden_until_close = False
    Submission.objects.filter(pk=mine[0].pk).update(withdrawn_at=None, disqualified_at=timezone.now())
    assert on_curves() == 3


def test_without_the_masks_of_one_team_nothing_is_said_of_masks(cast: Cast, season: Phase) -> None:
    season.submissions.filter(team=cast.other_team).get().prediction.delete()
    content = reports.build(season, replicates=100)
    assert content["masks"] is None
    assert content["copies"]["same_masks"] == []


def test_one_team_without_an_earlier_phase_or_a_baseline(cast: Cast, client: Client) -> None:
    predict(cast.team, cast.phase, 0.02, 1)
    call_command("build_report", f"{cast.competition.slug}/{cast.phase.slug}")
    client.force_login(cast.organiser)
    answers = pages(client, cast.phase)
    assert {answer.status_code for answer in answers.values()} == {200}
    assert "Alpine" in answers["report"].content.decode()


def test_only_organisers_read_it_before_it_is_published(cast: Cast, season: Phase, client: Client) -> None:
    season.closes_at = timezone.now() + timedelta(days=1)
    season.save()
    row = request_report(cast.organiser, season)
    assert reports.work() == "built"
    row.refresh_from_db()
    with pytest.raises(Conflict, match="has not ended"):
        publish_report(cast.organiser, row)
    with pytest.raises(NotAllowed):
        publish_report(cast.owner, row)
    end(season)
    for user, status in ((None, 404), (cast.owner, 404), (cast.organiser, 200)):
        client.logout()
        if user:
            client.force_login(user)
        assert {answer.status_code for answer in pages(client, season).values()} == {status}, user
    publish_report(cast.organiser, row, "final")
    client.logout()
    assert {answer.status_code for answer in pages(client, season).values()} == {200}
    assert AuditEntry.objects.for_public().get().act == "report published"
    board = client.get(reverse("pages:board", args=[cast.competition.slug, season.slug])).content.decode()
    assert reverse("pages:report", args=[cast.competition.slug, season.slug]) in board
    season.closes_at = timezone.now() + timedelta(days=1)  # extended: the report would tell too early
    season.save()
    assert {answer.status_code for answer in pages(client, season).values()} == {404}
    end(season)
    withdraw_report(cast.organiser, row, "a mistake")
    assert {answer.status_code for answer in pages(client, season).values()} == {404}


def test_a_report_built_before_the_end_is_not_the_final_one(cast: Cast, season: Phase) -> None:
    end(season)
    before, as_asked = season.closes_at - timedelta(minutes=1), season.closes_at - timedelta(hours=1)
    built = {"started_at": before, "built_at": season.closes_at + timedelta(minutes=1)}
    row = PhaseReport.objects.create(phase=season, **built)
    with pytest.raises(Conflict, match="before Test ended and lacks what came after"):
        publish_report(cast.organiser, row)
    publish_report(cast.organiser, PhaseReport.objects.create(phase=season, as_of=as_asked, **built))


def test_the_public_report_holds_nothing_that_the_phase_hides(
    cast: Cast, season: Phase, client: Client
) -> None:
    season.visible_metrics = Phase.Metrics.F1
    end(season)
    call_command("build_report", str(season.pk), "--publish")
    answers = pages(client, season)
    content = answers["report-json"].json()
    assert "copies" not in content
    assert "probing" not in content
    assert content["shake_up"] is None  # validation still runs: its scores are not for everyone yet
    for row in content["board"]:
        assert not {"precision", "recall", "precision_text", "recall_text", "mcc", "tp", "fp", "fn"} & set(
            row
        )
    page = answers["report"].content.decode()
    for word in ("Precision", "Recall", "To review"):
        assert word not in page
    lines = list(csv.DictReader(io.StringIO(answers["report-board"].content.decode())))
    assert [line["team"] for line in lines] == ["Alpine", "Rivals", "Third"]
    assert "precision" not in lines[0]
    assert len(list(csv.reader(io.StringIO(answers["report-pairs"].content.decode())))) == 1 + 3
    end(cast.phase)
    assert pages(client, season, ("report-json",))["report-json"].json()["shake_up"]["teams"]
    client.force_login(cast.organiser)
    page = pages(client, season, ("report",))["report"].content.decode()
    for words in ("Precision", "To review", "not a confidence statement", "No interval includes label noise"):
        assert words in page


def test_a_report_stands_back_while_fresh_submissions_wait(cast: Cast, season: Phase) -> None:
    row = request_report(cast.organiser, season)
    assert request_report(cast.organiser, season).pk == row.pk
    waiting = make_submission(cast.team, season, state=Evaluation.State.QUEUED)
    assert reports.work() == "submissions first"
    waiting.evaluation.delete()
    assert reports.work() == "built"
    assert reports.work() == "nothing waits"
    with pytest.raises(NotAllowed):
        request_report(cast.owner, season)


def test_a_report_that_cannot_be_built_says_so(
    cast: Cast, season: Phase, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = make_phase(cast.competition, "future")
    with pytest.raises(CommandError, match="No team is ranked"):
        call_command("build_report", "future")
    request_report(cast.organiser, empty)
    assert reports.work() == "failed"

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault")

    row = request_report(cast.organiser, season)
    monkeypatch.setattr(reports, "build_with_pictures", broken)
    assert [reports.work() for _ in range(4)] == ["waiting", "waiting", "failed", "nothing waits"]
    row.refresh_from_db()
    assert "RuntimeError" in row.error


def test_a_dead_worker_s_report_is_built_by_another(cast: Cast, season: Phase) -> None:
    row = request_report(cast.organiser, season)
    PhaseReport.objects.filter(pk=row.pk).update(started_at=timezone.now(), tries=1)
    assert reports.work() == "nothing waits"
    PhaseReport.objects.filter(pk=row.pk).update(started_at=timezone.now() - timedelta(days=1))
    assert reports.work() == "built"


def test_organisers_ask_and_publish_in_the_admin(cast: Cast, season: Phase, client: Client) -> None:
    client.force_login(cast.organiser)
    add = reverse("admin:leaderboard_phasereport_add")
    assert client.get(f"{add}?phase={season.pk}").status_code == 200
    assert client.post(add, {"phase": season.pk}).status_code == 302
    row = PhaseReport.objects.get()
    assert reports.work() == "built"
    end(season)
    publish = reverse("admin:leaderboard_phasereport_publish", args=[row.pk])
    client.get(publish)
    row.refresh_from_db()
    assert row.published_at is None
    client.post(publish, {"confirmed": "1", "reason": "final"})
    row.refresh_from_db()
    assert row.published_at is not None
    elsewhere = make_user("elsewhere", is_staff=True)
    client.force_login(elsewhere)
    assert client.get(reverse("admin:leaderboard_phasereport_change", args=[row.pk])).status_code == 302


def test_sites_are_kept_with_the_labels(cast: Cast, season: Phase, client: Client, tmp_path: Any) -> None:
    sites = tmp_path / "sites.csv"
    sites.write_text("patch,site\n1,Kodagu\n2,Iburi\n")
    with pytest.raises(CommandError, match="patch 3: no site"):
        call_command("load_labels", str(season.pk), "--sites", str(sites))
    with pytest.raises(CommandError, match="Give PATH, --sites or --images"):
        call_command("load_labels", str(season.pk))
    sites.write_text("patch,site\n1,Kodagu\n2,Iburi\n3,Kodagu\n")
    call_command("load_labels", str(season.pk), "--sites", str(sites))
    assert AuditEntry.objects.get(act="sites named").public is False
    call_command("build_report", str(season.pk))
    content = PhaseReport.objects.latest("pk").content
    assert content["sites"]["names"] == ["Iburi", "Kodagu"]
    assert content["method"]["few_sites"]
    client.force_login(cast.organiser)
    page = pages(client, season, ("report",))["report"].content.decode()
    assert "Kodagu" in page
    assert "fewer than five sites" in page


def test_corrected_labels_keep_the_sites(cast: Cast, season: Phase) -> None:
    first = season.labels
    judging.name_sites(cast.organiser, first, ["a", "b", "a"], "surveyed")
    corrected = judging.load_labels(cast.organiser, season, pack(make_masks(seed=8)), TINY)
    assert corrected.sites == ["a", "b", "a"]
    others = judging.load_labels(cast.organiser, season, pack(make_masks(seed=9)), TINY, sites=["c"] * 3)
    assert others.sites == ["c"] * 3
    with pytest.raises(InvalidInput, match="2 sites are named for 3 patches"):
        judging.name_sites(cast.organiser, first, ["a", "b"], "wrong")
    with pytest.raises(NotAllowed):
        judging.name_sites(cast.owner, first, ["a"] * 3, "wrong")


def test_organisers_name_sites_in_the_admin_and_nobody_else_reads_them(
    cast: Cast, season: Phase, client: Client
) -> None:
    client.force_login(cast.organiser)
    page = reverse("admin:leaderboard_labelset_name_sites", args=[season.labels.pk])
    assert client.get(page).status_code == 200

    def send(text: str) -> str:
        file = SimpleUploadedFile("sites.csv", text.encode())
        return client.post(page, {"sites": file, "reason": "surveyed"}, follow=True).content.decode()

    assert "patch 3: no site" in send("patch,site\n1,Kodagu\n2,Iburi\n")
    assert "2 sites" in send("patch,site\n1,Kodagu\n2,Iburi\n3,Kodagu\n")
    season.refresh_from_db()
    assert season.labels.sites == ["Kodagu", "Iburi", "Kodagu"]
    client.logout()
    for address in (
        reverse("pages:trust", args=[cast.competition.slug]),
        reverse("pages:trust-log", args=[cast.competition.slug]),
        reverse("pages:board", args=[cast.competition.slug, season.slug]),
        f"/api/v1/competitions/{cast.competition.slug}/",
    ):
        assert "Kodagu" not in client.get(address).content.decode(), address


def picture_addresses(client: Client, phase: Phase) -> list[str]:
    page = pages(client, phase, ("report",))["report"].content.decode()
    return re.findall(r'src="([^"]*/patches/[^"]*)"', page)


def test_the_gallery_shows_the_hardest_patches_to_organisers(
    cast: Cast, season: Phase, client: Client, tmp_path: Any
) -> None:
    for number in range(1, 4):
        with h5py.File(tmp_path / f"image_{number}.h5", "w") as file:
            file["img"] = np.random.default_rng(number).random((16, 16, 14))
    call_command("load_labels", str(season.pk), "--images", str(tmp_path))
    end(season)
    call_command("build_report", str(season.pk), "--publish")
    row = PhaseReport.objects.get()
    hard = [int(patch["patch"]) for patch in row.content["hardest"]]
    assert {(picture.patch, picture.kind) for picture in row.pictures.all()} == {
        (patch, kind) for patch in hard for kind in ("image", "vote", "share")
    }
    assert picture_addresses(client, season) == []
    client.force_login(cast.organiser)
    shown = picture_addresses(client, season)
    assert len(shown) == 3 * len(hard)
    assert [client.get(address)["Content-Type"] for address in shown] == ["image/png"] * len(shown)
    vote = next(address for address in shown if "vote" in address)
    assert read_png(client.get(vote).content).shape == (384, 384, 3)
    for user in (None, cast.owner):
        client.logout()
        if user:
            client.force_login(user)
        assert {client.get(address).status_code for address in shown} == {404}
    client.force_login(cast.organiser)
    assert client.get(vote.replace("vote", "other")).status_code == 404


def test_who_sees_the_gallery(cast: Cast, season: Phase, client: Client) -> None:
    now = timezone.now()
    assert not gallery_is_public(season, now)
    season.gallery = Phase.Gallery.PUBLIC
    assert not gallery_is_public(season, now)  # it still runs
    end(season)
    assert gallery_is_public(season, now)
    future = make_phase(cast.competition, "future", labels=False)
    make_labels(future, make_masks(seed=7))
    assert not gallery_is_public(season, now)  # the same labels are still hidden in another phase
    future.labels_public_since = now.date()
    future.save()
    assert gallery_is_public(season, now)
    season.gallery = Phase.Gallery.AUTO
    assert not gallery_is_public(season, now)
    season.labels_public_since = now.date()
    assert gallery_is_public(season, now)
    season.save()
    call_command("build_report", str(season.pk), "--publish")
    assert picture_addresses(client, season)
    Phase.objects.filter(pk=season.pk).update(gallery=Phase.Gallery.ORGANISERS)
    assert not picture_addresses(client, season)


def test_a_phase_without_end_publishes_how_it_stood(cast: Cast, season: Phase, client: Client) -> None:
    Submission.objects.filter(team__name="Rivals", phase=season).update(
        received_at=timezone.now() - timedelta(days=2)
    )
    row = request_report(cast.organiser, season, timezone.now() - timedelta(days=1))
    assert reports.work() == "built"
    row.refresh_from_db()
    assert [line["team"] for line in row.content["board"]] == ["Rivals"]
    publish_report(cast.organiser, row)
    content = pages(client, season, ("report-json",))["report-json"].json()
    assert content["board"][0]["low"] == round(content["board"][0]["low"], 1)
    for section in ("sites", "hardest", "patch_oracle", "masks"):
        assert content[section] is None
    assert content["data"]["label_pixels"] is content["data"]["patches_without_label"] is None
    page = pages(client, season, ("report",))["report"].content.decode()
    assert "has no end date" in page
    assert "label pixels" not in page
    for heading in ("hardest", "together", "objects"):
        assert f'id="{heading}"' not in page
    for rule in ({"hidden_until_close": True}, {"ladder_step": "0.01", "ladder_start": "0.1"}):
        Phase.objects.filter(pk=season.pk).update(**rule)
        assert pages(client, season, ("report",))["report"].status_code == 404
        with pytest.raises(Conflict, match="shows less than the exact scores"):
            publish_report(cast.organiser, row)
        Phase.objects.filter(pk=season.pk).update(hidden_until_close=False, ladder_step=None)
    season.labels_public_since = timezone.now().date()
    season.save()
    assert pages(client, season, ("report-json",))["report-json"].json()["hardest"]


def test_as_of_is_a_moment_of_the_phase_that_has_passed(cast: Cast, season: Phase, client: Client) -> None:
    for moment in (timezone.now() + timedelta(hours=1), season.opens_at):
        with pytest.raises(InvalidInput, match="has passed"):
            request_report(cast.organiser, season, moment)
    row = request_report(cast.organiser, season)
    assert abs(row.as_of - timezone.now()) < timedelta(minutes=1)
    assert request_report(cast.organiser, season).pk == row.pk
    other = request_report(cast.organiser, season, timezone.now() - timedelta(days=1))
    assert other.pk != row.pk
    assert request_report(cast.organiser, season, other.as_of).pk == other.pk
    client.force_login(cast.organiser)
    add = reverse("admin:leaderboard_phasereport_add")
    sent = client.post(add, {"phase": season.pk, "as_of_0": "2999-01-01", "as_of_1": "00:00"})
    assert "has passed" in sent.content.decode()
    with pytest.raises(CommandError, match="has passed"):
        call_command("build_report", str(season.pk), "--as-of", "2999-01-01")
    with pytest.raises(CommandError, match="No team is ranked in Test before"):
        call_command(
            "build_report", str(season.pk), "--as-of", (season.opens_at + timedelta(hours=1)).isoformat()
        )
