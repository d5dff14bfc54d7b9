"""What the detectors find while a phase runs: for organisers to look at, never automatic, never for participants."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from evaluation.scoring import labels
from evaluation.scoring.counts import count, pack, sha256
from evaluation.task import MaskSpec
from leaderboard.actions.refusals import InvalidInput, NotAllowed
from leaderboard.actions.reviews import look_at, look_now
from leaderboard.models import AuditEntry, Evaluation, Phase, Review, Submission, Team
from leaderboard.reporting import reviews
from leaderboard.scoring import queue
from tests.leaderboard.factories import (
    Cast,
    make_labels,
    make_masks,
    make_phase,
    make_submission,
    make_team,
    make_user,
    take,
)

SPEC = MaskSpec(40, 16, 16)
TRUTH = make_masks(SPEC, seed=3)


@pytest.fixture(autouse=True)
def _bells_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "ring", lambda task: None)


def predict(team: Team, phase: Phase, masks: np.ndarray, **fields: Any) -> Submission:
    packed = pack(masks)
    submission = make_submission(team, phase, state=Evaluation.State.QUEUED, **fields)
    counts = count(packed, pack(TRUTH))
    assert queue.record_score(take(submission), counts, labels.compress(packed), sha256(packed, SPEC))
    return submission


def noisy(seed: int, share: float = 0.05) -> np.ndarray:
    wrong = np.random.default_rng(seed).random(TRUTH.shape) < share
    return np.where(wrong, 1 - TRUTH, TRUTH).astype(np.uint8)


@pytest.fixture
def field(cast: Cast) -> Phase:
    """Eight honest teams in a phase of forty patches, among them the cast's two, and a baseline."""
    phase = make_phase(cast.competition, "test", labels=False)
    make_labels(phase, TRUTH)
    for seed in range(6):
        predict(make_team(cast.competition, f"Honest {seed}"), phase, noisy(seed))
    predict(cast.team, phase, noisy(90))
    predict(cast.other_team, phase, noisy(91))
    return phase


def found(phase: Phase) -> dict[str, set[str]]:
    """The names found, by kind."""
    by_kind: dict[str, set[str]] = {}
    for row in Review.objects.filter(phase=phase, stands=True):
        by_kind.setdefault(row.kind, set()).add(str(row).split(":")[0])
    return by_kind


def test_honest_teams_are_not_found(field: Phase) -> None:
    assert reviews.look(field) == 0


def test_a_lazy_copy_is_found_by_counts_and_errors(cast: Cast, field: Phase) -> None:
    copy = noisy(90)
    copy[:4] = noisy(92)[:4]
    predict(make_team(cast.competition, "Copycat"), field, copy)
    reviews.look(field)
    assert found(field) == {"same_counts": {"Alpine and Copycat"}, "same_errors": {"Alpine and Copycat"}}
    row = Review.objects.get(kind="same_counts")
    assert row.evidence["value"] == pytest.approx(36 / 40, abs=0.03)
    assert f"{row.evidence['value']:.1%} of the patches" in row.figures


def test_the_same_masks_are_found_though_they_do_not_count(cast: Cast, field: Phase) -> None:
    worse = noisy(50, 0.2)
    first = predict(cast.team, field, worse)
    second = predict(cast.other_team, field, worse, withdrawn_at=timezone.now())
    reviews.look(field)
    assert found(field) == {"same_masks": {"Alpine and Rivals"}}
    assert Review.objects.get().evidence == {"masks": 1, "which": [first.pk, second.pk]}


def test_questions_to_the_labels_are_found(cast: Cast, field: Phase) -> None:
    probes = []
    for patch in range(5):
        tiny = np.zeros_like(TRUTH)
        tiny[patch, :4, :4] = 1
        probes.append(predict(cast.team, field, tiny, withdrawn_at=timezone.now()).pk)
    reviews.look(field)
    assert found(field) == {"probing": {"Alpine"}}
    row = Review.objects.get()
    assert (row.evidence["tiny"], row.evidence["which"]) == (5, probes)
    assert "5 of 6 submissions" in row.figures


def test_a_note_stays_and_grown_evidence_comes_back(cast: Cast, field: Phase) -> None:
    predict(make_team(cast.competition, "Copycat"), field, noisy(90))
    reviews.look(field)
    row = Review.objects.get(kind="same_masks")
    assert row.state == "to look at"
    with pytest.raises(NotAllowed):
        look_at(cast.owner, row, "mine")
    with pytest.raises(InvalidInput):
        look_at(cast.organiser, row, " ")
    look_at(cast.organiser, row, "one person in two teams, asked")
    assert row.state == "looked at"
    reviews.look(field)
    row.refresh_from_db()
    assert (row.state, row.note) == ("looked at", "one person in two teams, asked")
    entry = AuditEntry.objects.get(act="review looked at")
    assert (entry.reason, entry.public) == ("one person in two teams, asked", False)
    predict(Team.objects.get(name="Copycat"), field, noisy(91))
    predict(cast.team, field, noisy(91))
    reviews.look(field)
    row = Review.objects.get(kind="same_masks", other=Team.objects.get(name="Copycat"), team=cast.team)
    assert (row.state, row.evidence["masks"]) == ("changed since", 2)
    assert Review.objects.to_look_at().filter(pk=row.pk).exists()


def test_what_is_no_longer_found_is_kept_and_says_so(cast: Cast, field: Phase) -> None:
    copy = predict(make_team(cast.competition, "Copycat"), field, noisy(90))
    reviews.look(field)
    assert "same_errors" in found(field)
    Submission.objects.filter(pk=copy.pk).update(disqualified_at=timezone.now())
    from leaderboard.models import Standing

    Standing.objects.rebuild(field)
    reviews.look(field)
    assert set(found(field)) == {"same_masks"}
    assert Review.objects.filter(stands=False).count() == 2


def test_a_phase_is_looked_at_once_an_hour_and_only_when_something_was_scored(
    cast: Cast, field: Phase
) -> None:
    Phase.objects.filter(pk=cast.phase.pk).update(labels=None)
    assert reviews.work() == "looked"
    assert reviews.work() == "nothing to look at"
    predict(cast.team, field, noisy(7))
    assert reviews.work() == "nothing to look at"
    Phase.objects.filter(pk=field.pk).update(reviewed_at=timezone.now() - timedelta(hours=2))
    Evaluation.objects.update(finished_at=timezone.now() - timedelta(hours=3))
    assert reviews.work() == "nothing to look at"
    Evaluation.objects.filter(submission__team=cast.team).update(finished_at=timezone.now())
    waiting = make_submission(cast.team, field, state=Evaluation.State.QUEUED)
    assert reviews.work() == "submissions first"
    waiting.evaluation.delete()
    assert reviews.work() == "looked"
    with pytest.raises(NotAllowed):
        look_now(cast.owner, [field])
    look_now(cast.organiser, [field])
    assert reviews.work() == "looked"


def test_a_fault_holds_nobody_up(field: Phase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviews, "find", lambda _: 1 / 0)
    assert [reviews.work(), reviews.work()] == ["failed", "nothing to look at"]


def test_organisers_look_at_the_evidence_in_the_admin_and_nobody_else_sees_it(
    cast: Cast, field: Phase, client: Client
) -> None:
    predict(make_team(cast.competition, "Copycat"), field, noisy(90))
    reviews.look(field)
    row = Review.objects.get(kind="same_errors")
    listed = reverse("admin:leaderboard_review_changelist")
    page = reverse("admin:leaderboard_review_change", args=[row.pk])
    client.force_login(cast.organiser)
    assert "Jaccard index 1.000" in client.get(listed).content.decode()
    shown = client.get(page).content.decode()
    assert shown.count("data:image/png;base64,") == 6
    assert "findings of the detectors to look at" in client.get("/admin/").content.decode()
    address = reverse("admin:leaderboard_review_look_at", args=[row.pk])
    client.post(address, {"confirmed": "1", "reason": "the same public weights"})
    row.refresh_from_db()
    assert row.note == "the same public weights"
    phases = reverse("admin:leaderboard_phase_changelist")
    Phase.objects.filter(pk=field.pk).update(reviewed_at=timezone.now())
    client.post(phases, {"action": "look_now", "_selected_action": [field.pk]})
    field.refresh_from_db()
    assert field.reviewed_at is None
    client = Client()
    client.force_login(make_user("elsewhere", is_staff=True))
    assert "Copycat" not in client.get(listed).content.decode()
    client.force_login(cast.owner)
    public = (
        reverse("pages:board", args=[cast.competition.slug, field.slug]),
        reverse("pages:trust", args=[cast.competition.slug]),
        reverse("pages:account-data"),
        f"/api/v1/competitions/{cast.competition.slug}/",
    )
    for path in public:
        text = client.get(path).content.decode()
        assert "the same public weights" not in text
        assert "Jaccard" not in text
