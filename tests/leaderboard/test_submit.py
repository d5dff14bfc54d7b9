"""Submitting: windows, quotas in every combination, refusals that cost nothing, and the ledger."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from leaderboard.actions import refusals, submissions
from leaderboard.models import Attempt, Phase, Standing, Submission
from leaderboard.scoring import tasks
from tests.leaderboard.factories import make_archive, make_phase, make_submission, upload

pytestmark = pytest.mark.django_db


def submit(user, phase, **fields):
    fields.setdefault("method", "U-Net")
    return submissions.submit(user, phase, fields.pop("archive", None) or upload(), **fields)[0]


def set_rules(phase, **rules):
    Phase.objects.filter(pk=phase.pk).update(**rules)
    phase.refresh_from_db()


def stored_files():
    return {path for path in Path(storages["uploads"].path("")).rglob("*") if path.is_file()}


@pytest.fixture
def nothing_kept():
    """After the test: no row and no new file."""
    before = stored_files()
    yield
    assert not Submission.objects.exists()
    assert not Attempt.objects.exists()
    assert stored_files() == before


def test_a_submission_is_queued_with_a_reserved_attempt(cast):
    submission = submit(cast.teammate, cast.phase)
    assert submission.state == "queued"
    assert (submission.team, submission.submitted_by) == (cast.team, cast.teammate)
    assert submission.attempt.state == Attempt.State.RESERVED
    assert submission.archive.storage.exists(submission.archive.name)
    assert "masks.zip" not in submission.archive.name


@pytest.mark.parametrize(
    ("rules", "refusal", "words"),
    [
        ({"opens_at": timezone.now() + timedelta(days=2)}, refusals.PhaseNotOpen, "opens on"),
        ({"closes_at": timezone.now() - timedelta(seconds=1)}, refusals.PhaseEnded, "ended on"),
        ({"labels": None}, refusals.PhaseWithoutLabels, "no labels"),
        ({"quota_total": 0}, refusals.TotalUsedUp, "used all 0"),
    ],
)
def test_refused_before_anything_is_kept(cast, nothing_kept, rules, refusal, words):
    set_rules(cast.phase, **rules)
    with pytest.raises(refusal, match=words):
        submit(cast.owner, cast.phase)


def test_a_person_without_a_team_reads_what_to_do(cast):
    with pytest.raises(refusals.NoTeam, match="Create a team or join one"):
        submit(cast.stranger, cast.phase)


def test_empty_and_too_large_archives(cast, nothing_kept, monkeypatch):
    with pytest.raises(refusals.EmptyArchive, match="empty"):
        submit(cast.owner, cast.phase, archive=upload(b""))
    monkeypatch.setattr(settings, "MAX_UPLOAD_BYTES", 10)
    with pytest.raises(refusals.ArchiveTooLarge, match="the limit is 10"):
        submit(cast.owner, cast.phase)


@pytest.mark.parametrize("method", ["", "x" * 81, "a\u202eb", "a\0b"])
def test_a_method_name_that_cannot_be_shown_is_refused(cast, nothing_kept, method):
    with pytest.raises(refusals.InvalidInput, match="method"):
        submit(cast.owner, cast.phase, method=method)


@pytest.mark.parametrize(
    ("rules", "accepted", "which"),
    [
        ({}, 6, ""),
        ({"quota_total": 3}, 3, "total"),
        ({"quota_per_day": 2}, 2, "day"),
        ({"quota_on_board": 4}, 4, "board"),
        ({"quota_total": 5, "quota_per_day": 2, "quota_on_board": 4}, 2, "day"),
        ({"quota_total": 1, "quota_per_day": 2, "quota_on_board": 4}, 1, "total"),
        ({"quota_total": 5, "quota_per_day": 3, "quota_on_board": 3}, 3, "day"),
    ],
)
def test_quotas_in_any_combination(cast, rules, accepted, which):
    set_rules(cast.phase, **rules)
    made, refusal = 0, None
    for _ in range(6):
        try:
            submit(cast.owner, cast.phase)
            made += 1
        except refusals.QuotaUsedUp as error:
            refusal = error
            break
    assert made == accepted
    assert bool(refusal and refusal.facts.get("next_at")) == (which == "day")
    assert Attempt.objects.usage(cast.team, cast.phase, timezone.now()).exhausted == which
    submit(cast.rival, cast.phase)  # another team's quota is its own


def test_the_daily_quota_is_free_again_on_the_next_utc_day(cast):
    set_rules(cast.phase, quota_per_day=1)
    submission = submit(cast.owner, cast.phase)
    with pytest.raises(refusals.QuotaUsedUp) as refused:
        submit(cast.owner, cast.phase)
    midnight = refused.value.facts["next_at"]
    assert (midnight.hour, midnight.minute) == (0, 0)
    assert timedelta(0) < midnight - timezone.now() <= timedelta(days=1)
    Attempt.objects.filter(submission=submission).update(day=timezone.now().date() - timedelta(days=1))
    submit(cast.owner, cast.phase)


def test_an_invalid_archive_costs_nothing(cast):
    set_rules(cast.phase, quota_total=1, quota_per_day=1, quota_on_board=1)
    submission = submit(cast.owner, cast.phase, archive=upload(b"this is no ZIP"))
    assert tasks.work() == "invalid"
    submission = Submission.objects.with_evaluation().get(pk=submission.pk)
    assert submission.evaluation.problems[0]["code"] == "not_a_zip"
    submit(cast.owner, cast.phase)


def test_invalid_archives_are_free_up_to_a_daily_limit(cast, monkeypatch):
    monkeypatch.setattr(submissions, "INVALID_PER_DAY", 1)
    submit(cast.owner, cast.phase, archive=upload(b"this is no ZIP"))
    tasks.work()
    with pytest.raises(refusals.QuotaUsedUp, match="l4s check"):
        submit(cast.owner, cast.phase)


def test_server_faults_do_not_count_as_invalid_archives(cast, monkeypatch):
    monkeypatch.setattr(submissions, "INVALID_PER_DAY", 1)
    make_submission(cast.team, cast.phase, state="failed")
    submit(cast.owner, cast.phase)


@pytest.mark.parametrize("state", ["invalid", "failed"])
def test_a_submission_without_a_score_cannot_be_withdrawn(cast, state):
    set_rules(cast.phase, allows_withdrawal=True)
    submission = make_submission(cast.team, cast.phase, state=state)
    with pytest.raises(refusals.NotWithdrawable, match="nothing to withdraw"):
        submissions.withdraw(cast.owner, submission)


def test_an_upload_is_hashed_once_and_checked_before_and_after_it_is_stored(cast, client, monkeypatch):
    calls = []
    for name in ("sha256_of", "why_not_submit", "keep_file"):
        real = getattr(submissions, name)
        monkeypatch.setattr(
            submissions, name, lambda *args, real=real, name=name: calls.append(name) or real(*args)
        )
    client.force_login(cast.owner)
    form = {"phase": cast.phase.pk, "method": "U-Net", "archive": upload(), "form_key": "abc"}
    with CaptureQueriesContext(connection) as queries:
        assert client.post(f"/c/{cast.competition.slug}/submit/", form).status_code == 302
    assert calls == ["sha256_of", "why_not_submit", "keep_file", "why_not_submit"]
    statements = [q["sql"] for q in queries if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    locks = (
        2 if connection.vendor == "postgresql" else 0
    )  # SQLite's writer is alone, so nothing is read again
    assert len(statements) <= 19 + locks, "\n".join(statements)


def test_withdrawing_frees_the_place_on_the_board_but_not_the_total(cast):
    set_rules(cast.phase, quota_total=3, quota_on_board=1, allows_withdrawal=True)
    submission = submit(cast.owner, cast.phase)
    tasks.work()
    assert Standing.objects.filter(team=cast.team).exists()
    submissions.withdraw(cast.teammate, submission)
    assert not Standing.objects.filter(team=cast.team).exists()
    usage = Attempt.objects.usage(cast.team, cast.phase, timezone.now())
    assert (usage.total, usage.on_board, usage.remaining) == (1, 0, 1)
    submit(cast.owner, cast.phase)


def test_withdrawing_is_refused_where_the_phase_forbids_it_and_to_others(cast):
    submission = submit(cast.owner, cast.phase)
    with pytest.raises(refusals.NotWithdrawable):
        submissions.withdraw(cast.owner, submission)
    set_rules(cast.phase, allows_withdrawal=True)
    submission.refresh_from_db()
    with pytest.raises(refusals.NotAllowed):
        submissions.withdraw(cast.rival, submission)


def test_an_idempotency_key_makes_a_retry_the_same_submission(cast):
    set_rules(cast.phase, quota_total=1)
    content = upload().read()
    first, new = submissions.submit(cast.owner, cast.phase, upload(content), method="A", idempotency_key="k")
    again, new_again = submissions.submit(
        cast.owner, cast.phase, upload(content), method="A", idempotency_key="k"
    )
    assert (first.pk, new, again.pk, new_again) == (first.pk, True, first.pk, False)
    with pytest.raises(refusals.KeyReused, match="another archive"):
        submissions.submit(cast.owner, cast.phase, upload(content + b" "), method="A", idempotency_key="k")


def test_a_reference_entry_is_the_organisers_and_takes_no_attempt(cast):
    set_rules(cast.phase, quota_total=0)
    entry = submit(cast.organiser, cast.phase, reference=True)
    assert entry.reference
    assert entry.team.is_organisers
    assert not Attempt.objects.exists()
    with pytest.raises(refusals.NotAllowed):
        submit(cast.owner, cast.phase, reference=True)


@pytest.mark.parametrize(
    "window",
    [{"opens_at": "2040-01-01T00:00Z"}, {"opens_at": "2020-01-01T00:00Z", "closes_at": "2021-01-01T00:00Z"}],
)
def test_a_reference_entry_may_stand_before_the_opening_and_after_the_end(cast, window):
    set_rules(cast.phase, **window)
    assert submit(cast.organiser, cast.phase, reference=True).evaluation
    with pytest.raises(refusals.PhaseNotOpen):
        submit(cast.owner, cast.phase)


def test_the_slots_hold_when_the_count_is_wrong(cast):
    """The unique constraint alone refuses a second attempt on one place."""
    first = make_submission(cast.team, cast.phase, state="queued")
    second = make_submission(cast.team, cast.phase, state="queued")
    with pytest.raises(IntegrityError):
        Attempt.objects.filter(submission=second).update(total_slot=first.attempt.total_slot)


@pytest.mark.django_db(transaction=True)
def test_twelve_at_once_for_two_places(cast):
    set_rules(cast.phase, quota_total=2)
    content = make_archive()  # HDF5 is not written by several threads at once

    def post(_):
        try:
            return submit(cast.owner, cast.phase, archive=upload(content), allow_duplicate=True).pk
        except refusals.QuotaUsedUp:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(12) as threads:
        made = [pk for pk in threads.map(post, range(12)) if pk]
    assert len(made) == 2
    assert Submission.objects.count() == 2
    assert Attempt.objects.filter(total_slot__isnull=False).count() == 2


def test_selected_submissions_count_and_no_more_than_allowed(cast):
    phase = make_phase(cast.competition, "final", counts=Phase.Counts.SELECTED, selected_limit=1)
    high = make_submission(cast.team, phase, (90, 5, 5))
    low = make_submission(cast.team, phase, (10, 50, 50))
    submissions.select(cast.owner, low, True)
    assert Standing.objects.get().submission == low
    with pytest.raises(refusals.Conflict, match="selected 1"):
        submissions.select(cast.owner, high, True)
    submissions.select(cast.owner, low, False)
    submissions.select(cast.owner, high, True)
    assert Standing.objects.get().submission == high


@pytest.mark.parametrize(("hidden", "counts"), [(False, "best"), (True, "latest")])
def test_of_a_team_that_selects_none_the_best_shown_or_else_the_latest_counts(cast, hidden, counts):
    phase = make_phase(cast.competition, "final", counts=Phase.Counts.SELECTED, hidden_until_close=hidden)
    made = {"best": make_submission(cast.team, phase, (90, 5, 5))}
    made["latest"] = make_submission(cast.team, phase, (10, 50, 50))
    assert Standing.objects.get().submission == made[counts]
    other = next(submission for name, submission in made.items() if name != counts)
    submissions.select(cast.owner, other, True)
    assert Standing.objects.get().submission == other
