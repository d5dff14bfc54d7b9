"""Acts on many submissions: whole, once, undone exactly, resumed after a kill, and never in the way of others."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from evaluation import __version__
from evaluation.scoring.counts import pack
from evaluation.scoring.metrics import rank_key
from leaderboard.actions import bulk, corrections, judging, refusals
from leaderboard.actions.bulk_kinds import KINDS
from leaderboard.actions.single_teams import hide_team
from leaderboard.models import (
    Attempt,
    AuditEntry,
    BulkAct,
    Evaluation,
    LabelSet,
    Phase,
    Standing,
    Submission,
    Team,
)
from leaderboard.models.boards import exact_results, shown_results
from leaderboard.models.bulk import LEASE
from tests.leaderboard.crowds import many
from tests.leaderboard.factories import TINY, make_cast, make_masks, make_submission, make_team, make_user
from tests.transactions import Transactions

NOW = timezone.now()


def state():
    """Everything that an act may change."""
    return (
        list(Submission.objects.order_by("pk").values_list("pk", "withdrawn_at", "disqualified_at", "disqualified_reason")),
        list(Attempt.objects.order_by("pk").values_list("pk", "state", "reason", "settled_at", "total_slot", "day_slot", "board_slot")),
        list(Standing.objects.order_by("team", "kind").values_list("team", "submission", "rank_key", "entries")),
        list(Evaluation.objects.order_by("pk").values_list("pk", "state")),
    )  # fmt: skip


def run(limit=10_000):
    """What the workers do until nothing is left."""
    while bulk.work() != "nothing waits":
        limit -= 1
        assert limit


@pytest.mark.django_db
@pytest.mark.parametrize("kind", sorted({*KINDS} - {"evaluate"}))
@pytest.mark.parametrize("number", [6, 130])
def test_every_act_is_undone_exactly(cast, kind, number):
    many(cast, 3, number)
    if kind == "restore":
        bulk.begin(cast.organiser, "disqualify", Submission.objects.all(), "first")
        run()
    elif kind == "disqualify":
        bulk.begin(cast.organiser, kind, Submission.objects.filter(team__name="Crew 1"), "before")
    before = state()
    act = bulk.begin(cast.organiser, kind, Submission.objects.all(), "why")
    run()
    act.refresh_from_db()
    assert (act.position, act.total, act.state) == (number, number, "finished")
    assert act.number_changed == (number - number // 3 if kind == "disqualify" else number)
    assert state() != before
    bulk.undo(cast.organiser, act, "a mistake")
    run()
    assert state() == before
    act.refresh_from_db()
    assert act.state == "undone"
    with pytest.raises(refusals.Conflict, match="undone already"):
        bulk.undo(cast.organiser, BulkAct.objects.get(pk=act.pk), "again")
    with pytest.raises(refusals.Conflict, match="took back another act"):
        bulk.undo(cast.organiser, act.undone_by, "again")


@pytest.mark.django_db
def test_what_it_does(cast):
    rows = many(cast, 2, 10)
    chosen = Submission.objects.filter(team=rows[0].team)
    bulk.begin(cast.organiser, "withdraw", chosen, "why")
    assert Standing.objects.filter(team=rows[0].team).count() == 0
    assert not Attempt.objects.filter(submission__in=chosen).exclude(board_slot=None).exists()
    bulk.begin(cast.organiser, "give_back", chosen, "power cut")
    assert {(a.state, a.total_slot) for a in Attempt.objects.filter(submission__in=chosen)} == {
        ("given_back", None)
    }
    act = bulk.begin(cast.organiser, "rescore", Submission.objects.all(), "to see")
    assert Evaluation.objects.queued().count() == 10 == act.number_changed
    begun = Evaluation.objects.queued().first()
    Evaluation.objects.filter(pk=begun.pk).update(state="scoring", lease_until=NOW)
    bulk.undo(cast.organiser, act, "enough")
    assert list(Evaluation.objects.unfinished()) == [begun]
    entry = AuditEntry.objects.get(act="withdrawn by the organisers")
    assert (entry.reason, entry.public, entry.details["bulk_act"]) == (
        "why",
        True,
        BulkAct.objects.order_by("pk").first().pk,
    )


@pytest.mark.django_db
def test_refusals(cast):
    [row, *_] = many(cast, 1, 2)
    for user in (cast.owner, cast.stranger):
        with pytest.raises(refusals.NotAllowed):
            bulk.begin(user, "disqualify", Submission.objects.all(), "why")
    with pytest.raises(refusals.InvalidInput, match="reason"):
        bulk.begin(cast.organiser, "disqualify", Submission.objects.all(), " ")
    with pytest.raises(refusals.InvalidInput, match="Nothing is chosen"):
        bulk.begin(cast.organiser, "disqualify", Submission.objects.none(), "why")
    nothing = bulk.begin(cast.organiser, "restore", Submission.objects.filter(pk=row.pk), "why")
    with pytest.raises(refusals.Conflict, match="changed nothing"):
        bulk.undo(cast.organiser, nothing, "why")
    assert not BulkAct.objects.exclude(kind="restore").exists()


@pytest.mark.django_db
def test_a_killed_worker_costs_nothing_and_doubles_nothing(cast, monkeypatch):
    many(cast, 4, 200)
    act = bulk.begin(cast.organiser, "give_back", Submission.objects.all(), "why")
    real, parts = bulk._log, []

    def die(*arguments):
        parts.append(1)
        if len(parts) in (2, 4):
            raise KeyboardInterrupt
        real(*arguments)

    monkeypatch.setattr(bulk, "_log", die)

    def work_until_killed():
        while bulk.step(BulkAct.objects.get(pk=act.pk)):
            pass

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            work_until_killed()
    monkeypatch.setattr(bulk, "_log", real)
    assert bulk.work() in (
        "nothing waits",
        "finished",
    )  # another has it in hand, until it is silent for a minute
    BulkAct.objects.filter(finished_at=None).update(seen_at=timezone.now() - LEASE * 2)
    run()
    act.refresh_from_db()
    assert (act.state, act.number_changed) == ("finished", 200)
    assert AuditEntry.objects.filter(act="attempts given back").count() == 4
    assert (
        sum(len(e.details["submissions"]) for e in AuditEntry.objects.filter(act="attempts given back"))
        == 200
    )


@pytest.mark.django_db
def test_two_workers_on_one_act_do_each_part_once(cast):
    many(cast, 2, 120)
    act = bulk.begin(cast.organiser, "disqualify", Submission.objects.all(), "why")
    one, two = BulkAct.objects.get(pk=act.pk), BulkAct.objects.get(pk=act.pk)
    assert bulk.step(one)
    assert not bulk.step(two)  # its position has been done
    run()
    BulkAct.objects.filter(pk=act.pk).update(seen_at=None)
    run()
    assert AuditEntry.objects.filter(act="disqualified").count() == 4  # two parts of each team


@pytest.mark.django_db
def test_a_submission_that_is_deleted_meanwhile_is_passed_over(cast):
    rows = many(cast, 2, 120)
    act = bulk.begin(cast.organiser, "disqualify", Submission.objects.all(), "why")
    Submission.objects.filter(pk__in=[rows[0].pk, rows[60].pk, rows[-1].pk]).delete()
    run()
    act.refresh_from_db()
    assert (act.state, act.number_changed) == ("finished", 117)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has many writers")
@pytest.mark.parametrize("kind", ["disqualify", "rescore", "give_back"])
def test_no_transaction_of_a_large_act_changes_many_rows(kind):
    """`make bench-locks` says how long such transactions hold SQLite's one writer; how large they are is the same everywhere."""
    cast = make_cast()
    many(cast, 10, 1500)
    act = bulk.begin(cast.organiser, kind, Submission.objects.all(), "copied")
    with Transactions() as seen:
        while bulk.step(act):
            pass
    act.refresh_from_db()
    assert (act.state, act.number_changed) == ("finished", 1500)
    assert max(one.rows for one in seen.found) <= 2 * bulk.PART + 10
    assert sum(one.rows for one in seen.found) >= 1500
    refreshed = [sql for one in seen.found for sql in one.statements if 'INTO "leaderboard_standing"' in sql]
    deleted = [
        sql for one in seen.found for sql in one.statements if 'DELETE FROM "leaderboard_standing"' in sql
    ]
    assert len(refreshed) + len(deleted) <= 10  # each team's standing once


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has many writers")
def test_labels_are_loaded_and_put_in_force_in_small_transactions():
    """Whatever has no score on the new labels is queued in parts; the switch itself moves pointers and standings alone."""
    cast = make_cast()
    many(cast, 10, 1500)
    with Transactions() as seen:
        made = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY, "redrawn")
        run()
    assert Evaluation.objects.queued().filter(label_set=made).count() == 1500
    assert max(one.rows for one in seen.found) <= 2 * bulk.PART + 10
    made = LabelSet.objects.select_related("phase__competition").get(pk=made.pk)
    Evaluation.objects.queued().delete()
    with Transactions() as seen:
        corrections.apply_correction(cast.organiser, made, "redrawn")
        run()
    assert Phase.objects.get().labels_id == made.pk
    assert (
        Evaluation.objects.queued().filter(label_set=made, priority=Evaluation.Priority.RESCORE).count()
        == 1500
    )
    assert max(one.rows for one in seen.found) <= 2 * bulk.PART + 10


@pytest.mark.django_db
def test_an_evaluation_ahead_goes_on_after_a_kill_and_leaves_out_what_is_scored_by_then(cast):
    rows = many(cast, 3, 330)
    made = judging.load_labels(cast.organiser, cast.phase, pack(make_masks(seed=5)), TINY, "redrawn")
    act = BulkAct.objects.get()
    assert (act.kind, act.total, act.label_set_id) == ("evaluate", 330, made.pk)
    assert bulk.step(act)  # then the worker is killed
    queued = Evaluation.objects.queued().filter(label_set=made).count()
    assert 0 < queued < 330
    Evaluation.objects.create(
        submission=rows[-1], label_set=made, state="scored", scorer=__version__, finished_at=NOW,
        tp=1, fp=1, fn=1, rank_key=rank_key(1, 1, 1),
    )  # fmt: skip
    BulkAct.objects.update(seen_at=None)
    run()
    assert Evaluation.objects.queued().filter(label_set=made).count() == 329
    assert AuditEntry.objects.filter(competition=cast.competition).count() == 1  # the loading
    assert not Evaluation.objects.queued().filter(priority=Evaluation.Priority.FRESH).exists()


RULES = [
    {},
    {"counts": Phase.Counts.LATEST},
    {"counts": Phase.Counts.SELECTED},
    {"counts": Phase.Counts.SELECTED, "hidden_until_close": True, "closes_at": NOW + timedelta(days=1)},
    {"freezes_at": NOW - timedelta(minutes=15), "closes_at": NOW + timedelta(days=1)},
    {"ladder_step": Decimal("0.01"), "ladder_start": Decimal("0.1")},
]


@pytest.mark.django_db
@pytest.mark.parametrize("rules", RULES)
def test_all_teams_at_once_give_what_each_team_alone_gives(cast, rules):
    """The set-based rebuild and the refresh after a score follow one rule, whatever the phase counts."""
    rows = many(cast, 7, 60)
    for i, row in enumerate(rows):
        row.selected = i % 7 in (1, 2) and i % 3 == 0
        row.withdrawn_at = NOW if i % 11 == 0 else None
        row.disqualified_at = NOW if i % 13 == 0 else None
        row.reference = i % 17 == 0
    Submission.objects.bulk_update(rows, ["selected", "withdrawn_at", "disqualified_at", "reference"])
    Team.objects.filter(name="Crew 6").update(merged_into=rows[0].team)
    Phase.objects.filter(pk=cast.phase.pk).update(**rules)
    phase = Phase.objects.with_labels().get(pk=cast.phase.pk)
    Standing.objects.all().delete()
    with transaction.atomic():
        for team in Team.objects.filter(competition=cast.competition):
            Standing.objects.refresh(phase, team)
    columns = ("team", "kind", "submission", "rank_key", "achieved_at", "entries")
    one_by_one = set(Standing.objects.values_list(*columns))
    assert len(one_by_one) >= 5
    with transaction.atomic():
        Standing.objects.rebuild(phase)
    assert set(Standing.objects.values_list(*columns)) == one_by_one
    assert exact_results(phase)
    assert shown_results(phase)


@pytest.mark.django_db
def test_a_rebuild_takes_as_many_statements_for_all_teams(cast):
    counted = []
    for teams in (3, 40):
        many(cast, teams, 80) if teams == 3 else [
            make_submission(make_team(cast.competition), cast.phase) for _ in range(40)
        ]
        with CaptureQueriesContext(connection) as captured, transaction.atomic():
            Standing.objects.rebuild(cast.phase)
        counted.append(len(captured))
    assert counted[0] == counted[1] < 15


@pytest.mark.django_db
def test_the_desk_shows_progress_and_undoes(client, cast):
    rows = many(cast, 2, 60)
    client.force_login(cast.organiser)
    listed = reverse("admin:leaderboard_submission_changelist")
    chosen = {"action": "give_back", "_selected_action": [row.pk for row in rows], "index": "0"}
    page = client.post(listed, chosen).content.decode()
    assert "60 submissions of 2 teams in 1 phase" in page
    assert "no longer count towards the teams" in page
    answer = client.post(
        listed, {**chosen, "confirmed": "1", "reason": "power cut"}, follow=True
    ).content.decode()
    assert "60 submissions, done in the background" in answer
    acts = reverse("admin:leaderboard_bulkact_changelist")
    assert "0 of 60" in client.get(acts).content.decode()
    run()
    page = client.get(acts).content.decode()
    assert "60 of 60" in page
    assert "power cut" in page
    act = BulkAct.objects.get()
    undo = reverse("admin:leaderboard_bulkact_undo", args=[act.pk])
    assert "Takes back what this act changed" in client.get(undo).content.decode()
    client.post(undo, {"confirmed": "1", "reason": "wrong day"})
    run()
    assert not Attempt.objects.filter(state=Attempt.State.GIVEN_BACK).exists()
    client.force_login(make_user("elsewhere", is_staff=True))
    assert client.get(undo).status_code in (302, 403, 404)


@pytest.mark.django_db
def test_teams_are_hidden_and_shown_in_bulk_and_undone(
    client, cast, mailoutbox, django_capture_on_commit_callbacks
):
    rows = many(cast, 3, 9)
    teams = sorted({row.team for row in rows}, key=lambda team: team.pk)
    hide_team(cast.organiser, teams[0], "before")
    client.force_login(cast.organiser)
    listed = reverse("admin:leaderboard_team_changelist")
    chosen = {"action": "hide_many", "_selected_action": [team.pk for team in teams], "index": "0"}
    page = client.post(listed, chosen).content.decode()
    assert "3 teams with 9 submissions; 1 hidden now." in page
    assert "leave every board" in page
    page = client.post(
        listed, {**chosen, "confirmed": "1", "reason": "one person"}, follow=True
    ).content.decode()
    assert "2 teams changed, 1 needed no change" in page
    assert page.count("hidden</td>") == 3
    assert Standing.objects.count() == 0
    act = BulkAct.objects.get()
    assert (act.kind, act.total, act.number_changed) == ("hide", 3, 2)
    entries = AuditEntry.objects.filter(act="team hidden", reason="one person")
    assert [entry.public for entry in entries] == [True, True]
    cast.competition.organisers.remove(cast.organiser)  # what has begun is finished by the worker
    cast.competition.organisers.add(cast.stranger)
    bulk.undo(cast.stranger, act, "several persons")
    assert set(Team.objects.exclude(hidden_at=None)) == {teams[0]}
    assert set(Standing.objects.values_list("team", flat=True)) == {team.pk for team in teams[1:]}
    with pytest.raises(refusals.NotAllowed):
        bulk.begin(cast.owner, "hide", Team.objects.all(), "why")
