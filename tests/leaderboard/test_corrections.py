"""Wrong labels: reported, decided, tried without a trace, put in force in one step, the old board kept."""

from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.scoring import labels as label_files
from evaluation.scoring.counts import count, pack, sha256
from leaderboard.actions import bulk, bulk_kinds, corrections, judging
from leaderboard.actions.refusals import Conflict, InvalidInput, NotAllowed, NoTeam
from leaderboard.models import (
    Attempt,
    AuditEntry,
    Evaluation,
    LabelReport,
    LabelSet,
    Phase,
    Standing,
    Submission,
    Team,
)
from leaderboard.reporting.boards import board_of
from leaderboard.scoring import queue, tasks
from tests.leaderboard.factories import TINY, Cast, make_archive, make_masks, make_submission, take
from tests.leaderboard.steps import many_submissions, steps_of

OLD, NEW = make_masks(), make_masks(seed=5)


@pytest.fixture(autouse=True)
def _bells_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bulk, bulk_kinds):
        monkeypatch.setattr(module, "ring_on_commit", lambda task: None)


def predict(team: Team, phase: Phase, masks: np.ndarray, **fields: Any) -> Submission:
    """A submission whose masks were scored on the labels in force."""
    submission = make_submission(team, phase, state=Evaluation.State.QUEUED, **fields)
    packed, truth = pack(masks), tasks.truth(phase.labels_id, phase.labels.sha256)
    counts = count(packed, truth)
    assert queue.record_score(take(submission), counts, label_files.compress(packed), sha256(packed, TINY))
    return submission


def work_all() -> None:
    while tasks.work() != "nothing waits":
        pass


def ranks(phase: Phase) -> list[tuple[int | None, str, str]]:
    """What everyone sees of the board."""
    phase = Phase.objects.with_labels().get(pk=phase.pk)
    rows = board_of(phase, AnonymousUser(), timezone.now()).rows
    return [(row.rank, row.team, str(row.scores.f1)) for row in rows or []]


@pytest.fixture
def scored(cast: Cast) -> Cast:
    """Alpine answers the old labels, Rivals the new ones: a correction turns the board round."""
    predict(cast.team, cast.phase, OLD)
    predict(cast.other_team, cast.phase, NEW)
    return cast


def load_new(cast: Cast) -> LabelSet:
    made = judging.load_labels(cast.organiser, cast.phase, pack(NEW), TINY, "patch 2 redrawn")
    return LabelSet.objects.select_related("phase__competition").get(pk=made.pk)


def test_a_new_version_waits_while_everything_is_evaluated_on_it(scored: Cast) -> None:
    before = ranks(scored.phase)
    assert before[0] == (1, "Alpine", "100.00")
    label_set = load_new(scored)
    waiting = Evaluation.objects.filter(label_set=label_set)
    assert {row.priority for row in waiting} == {Evaluation.Priority.RESCORE}
    assert waiting.count() == 2
    assert corrections.dry_run(scored.organiser, label_set).unfinished == 2
    work_all()
    assert ranks(scored.phase) == before
    assert Phase.objects.get(pk=scored.phase.pk).labels.version == 1


def test_before_a_version_is_in_force_the_page_says_what_is_not_evaluated(
    scored: Cast, client: Client
) -> None:
    label_set = load_new(scored)
    client.force_login(scored.organiser)
    address = reverse("admin:leaderboard_labelset_put_in_force", args=[label_set.pk])
    page = client.get(address).content.decode()
    assert "2 evaluations on these labels are still waiting." in page
    assert "2 teams would leave the board until evaluated." in page
    work_all()
    page = client.get(address).content.decode()
    assert "still waiting" not in page
    assert "would leave" not in page


def test_the_dry_run_shows_the_change_and_changes_nothing(scored: Cast) -> None:
    label_set = load_new(scored)
    work_all()
    rows = [
        list(model.objects.order_by("pk").values()) for model in (Phase, Submission, Evaluation, Standing)
    ]
    run = corrections.dry_run(scored.organiser, label_set)
    assert (run.missing, run.unfinished) == (0, 0)
    told = [(move.team, move.rank_before, move.rank_after, move.places) for move in run.moves]
    assert told == [("Rivals", 2, 1, 1), ("Alpine", 1, 2, -1)]
    assert str(run.moves[0].f1_after) == "100.00"
    after = [
        list(model.objects.order_by("pk").values()) for model in (Phase, Submission, Evaluation, Standing)
    ]
    assert after == rows
    with pytest.raises(NotAllowed):
        corrections.dry_run(scored.owner, label_set)


def test_the_switch_counts_finished_evaluations_at_once_and_keeps_the_old_board(
    scored: Cast, client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    label_set = load_new(scored)
    work_all()
    with django_capture_on_commit_callbacks(execute=True):
        corrections.apply_correction(scored.organiser, label_set, "patch 2 was wrong")
    assert ranks(scored.phase)[0] == (1, "Rivals", "100.00")
    assert not Evaluation.objects.unfinished().exists()
    old = reverse("pages:old-board", args=[scored.competition.slug, scored.phase.slug, 1])
    page = client.get(old).content.decode()
    assert page.index("Alpine") < page.index("Rivals")
    assert "no longer counts" in page
    assert reverse("pages:labels", args=[scored.competition.slug, scored.phase.slug]) in page
    assert client.get(old.replace("/1/", "/3/")).status_code == 404
    assert sorted(address for message in mail.outbox for address in message.to) == [
        "owner@example.org",
        "rival@example.org",
        "teammate@example.org",
    ]
    assert "patch 2 was wrong" in mail.outbox[0].body
    assert "100" not in mail.outbox[0].body
    assert AuditEntry.objects.get(act="labels switched").public
    with pytest.raises(Conflict, match="already"):
        corrections.apply_correction(scored.organiser, label_set, "again")


def test_back_and_forth_needs_no_new_evaluation(scored: Cast) -> None:
    first = LabelSet.objects.select_related("phase__competition").get()
    label_set = load_new(scored)
    work_all()
    corrections.apply_correction(scored.organiser, label_set, "corrected")
    number = Evaluation.objects.count()
    corrections.apply_correction(scored.organiser, first, "the old ones were right")
    assert ranks(scored.phase)[0] == (1, "Alpine", "100.00")
    assert Evaluation.objects.count() == number


def test_what_was_not_evaluated_ahead_follows(scored: Cast) -> None:
    label_set = load_new(scored)
    work_all()
    late = predict(scored.team, Phase.objects.with_labels().get(pk=scored.phase.pk), NEW)
    corrections.apply_correction(scored.organiser, label_set, "corrected")
    assert [row[:2] for row in ranks(scored.phase)] == [(1, "Rivals"), (2, "Alpine")]
    work_all()
    assert [rank for rank, _, _ in ranks(scored.phase)] == [1, 1]
    assert Submission.objects.get(pk=late.pk).evaluation.label_set_id == label_set.pk


def test_fresh_submissions_that_wait_end_up_right(scored: Cast) -> None:
    """One waits in the queue and one is being scored when the labels are switched."""
    label_set = load_new(scored)
    work_all()
    phase = Phase.objects.get(pk=scored.phase.pk)
    waiting = make_submission(scored.team, phase, state=Evaluation.State.QUEUED, content=make_archive(NEW))
    being_scored = make_submission(
        scored.team, phase, state=Evaluation.State.QUEUED, content=make_archive(NEW)
    )
    held = take(being_scored)
    corrections.apply_correction(scored.organiser, label_set, "corrected")
    kept = Evaluation.objects.get(submission=waiting)
    assert (kept.label_set_id, kept.priority) == (label_set.pk, Evaluation.Priority.FRESH)
    packed = pack(NEW)
    counts = count(packed, pack(OLD))
    assert queue.record_score(held, counts, label_files.compress(packed), sha256(packed, TINY))
    work_all()
    for submission in (waiting, being_scored):
        row = Submission.objects.get(pk=submission.pk)
        assert row.evaluation.label_set_id == label_set.pk
        assert (row.evaluation.state, row.evaluation.fp, row.evaluation.fn) == ("scored", 0, 0)
        assert Attempt.objects.get(submission=row).state == Attempt.State.SPENT
    assert [rank for rank, _, _ in ranks(scored.phase)] == [1, 1]
    assert not Evaluation.objects.unfinished().exists()


def test_an_invalid_fresh_submission_gets_its_attempt_back_after_a_switch(scored: Cast) -> None:
    label_set = load_new(scored)
    work_all()
    phase = Phase.objects.get(pk=scored.phase.pk)
    waiting = make_submission(scored.team, phase, state=Evaluation.State.QUEUED, content=b"no archive")
    corrections.apply_correction(scored.organiser, label_set, "corrected")
    work_all()
    assert Submission.objects.get(pk=waiting.pk).state == "invalid"
    assert Attempt.objects.get(submission=waiting).state == Attempt.State.GIVEN_BACK


def test_reports_come_from_teams_and_name_a_patch(cast: Cast) -> None:
    with pytest.raises(NoTeam):
        corrections.report_label(cast.stranger, cast.phase, 1, "wrong")
    for patch in (0, 4, -1):
        with pytest.raises(InvalidInput, match="patches 1 to 3"):
            corrections.report_label(cast.owner, cast.phase, patch, "wrong")
    with pytest.raises(InvalidInput):
        corrections.report_label(cast.owner, cast.phase, 1, "  ")
    report = corrections.report_label(cast.teammate, cast.phase, 3, "The scar lies further west.")
    with pytest.raises(NotAllowed):
        corrections.decide_report(cast.owner, report, True, "yes")
    corrections.decide_report(cast.organiser, report, True, "Right, redrawn.")
    assert (report.state, report.answer) == ("accepted", "Right, redrawn.")
    with pytest.raises(Conflict, match="already"):
        corrections.decide_report(cast.organiser, report, False, "no")


def test_a_team_cannot_flood_the_organisers(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "OPEN_REPORTS", 2)
    for _ in range(2):
        corrections.report_label(cast.owner, cast.phase, 1, "wrong")
    with pytest.raises(Conflict, match="wait for an answer"):
        corrections.report_label(cast.owner, cast.phase, 1, "wrong")


def test_the_page_takes_reports_and_shows_a_team_its_own(cast: Cast, client: Client) -> None:
    page = reverse("pages:labels", args=[cast.competition.slug, cast.phase.slug])
    assert client.post(page, {"patch": 1, "text": "x"})["Location"].startswith("/accounts/login/")
    client.force_login(cast.stranger)
    assert client.post(page, {"patch": 1, "text": "x"}).status_code == 403
    client.force_login(cast.owner)
    assert client.post(page, {"patch": 9, "text": "wrong"}).status_code == 400
    assert client.post(page, {"patch": 2, "text": "A <b>river</b>, no slide."}).status_code == 302
    shown = client.get(page).content.decode()
    assert "A &lt;b&gt;river&lt;/b&gt;, no slide." in shown
    client.force_login(cast.rival)
    assert "river" not in client.get(page).content.decode()


def test_organisers_decide_and_compare_in_the_admin(scored: Cast, client: Client) -> None:
    report = corrections.report_label(scored.owner, scored.phase, 2, "wrong")
    label_set = load_new(scored)
    work_all()
    client.force_login(scored.organiser)
    decline = reverse("admin:leaderboard_labelreport_decline", args=[report.pk])
    client.get(decline)
    assert LabelReport.objects.open().exists()
    client.post(decline, {"confirmed": "1", "reason": "It is right."})
    report.refresh_from_db()
    assert report.state == "declined"
    page = client.get(reverse("admin:leaderboard_labelset_compare", args=[label_set.pk])).content.decode()
    assert "Rivals" in page
    assert "+1" in page
    assert Phase.objects.get(pk=scored.phase.pk).labels.version == 1


@pytest.mark.skipif("config.getoption('backend') != 'sqlite'", reason="counts the steps of SQLite")
@pytest.mark.parametrize("state", ["scored", "queued"])
def test_a_switch_costs_in_proportion_to_the_submissions(cast: Cast, state: str) -> None:
    """It holds the only writer's lock: with 7,775 submissions it once took half a minute."""
    corrected = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=9)), TINY)
    many_submissions(cast, corrected, state, 100)
    few = steps_of(lambda: corrections.dry_run(cast.organiser, corrected))
    many_submissions(cast, corrected, state, 300)
    assert steps_of(lambda: corrections.dry_run(cast.organiser, corrected)) < 5 * few
