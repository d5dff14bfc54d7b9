"""Boards: ranks, ties, which submission counts, and what each viewer may see of it."""

from datetime import timedelta
from fractions import Fraction

import pytest
from django.contrib.auth.models import AnonymousUser
from django.utils import timezone

from leaderboard.actions import bulk, refusals, submissions
from leaderboard.models import AuditEntry, Phase, PhaseFigures, Standing
from leaderboard.models.visibility import view_of, visible_scores
from leaderboard.reporting import counting
from leaderboard.reporting.boards import board_of
from tests.leaderboard.factories import make_competition, make_submission, make_team, make_user

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def set_rules(phase, **rules):
    Phase.objects.filter(pk=phase.pk).update(**rules)
    phase.refresh_from_db()


def shown(phase, viewer=None, **paging):
    board = board_of(phase, viewer or AnonymousUser(), timezone.now(), **paging)
    return board.rows and [(row.rank, row.team) for row in board.rows]


def test_equal_f1_shares_a_rank_the_earlier_stands_first_and_the_next_rank_is_skipped(cast):
    third, fourth = make_team(cast.competition, "Third"), make_team(cast.competition, "Fourth")
    make_submission(cast.team, cast.phase, (40, 10, 10), received_at=NOW)
    make_submission(cast.other_team, cast.phase, (80, 15, 25), received_at=NOW - timedelta(hours=1))
    make_submission(third, cast.phase, (90, 5, 5))
    make_submission(fourth, cast.phase, (1, 50, 50))
    assert shown(cast.phase) == [(1, "Third"), (2, "Rivals"), (2, "Alpine"), (4, "Fourth")]
    assert shown(cast.phase, first=2, limit=1) == [(2, "Alpine")]
    assert shown(cast.phase, first=3) == [(4, "Fourth")]


def test_ranks_use_the_exact_ratio_not_the_shown_decimals(cast):
    make_submission(cast.team, cast.phase, (500_000, 250_000, 250_001))
    make_submission(cast.other_team, cast.phase, (500_000, 250_000, 250_000))
    assert shown(cast.phase) == [(1, "Rivals"), (2, "Alpine")]
    board = board_of(cast.phase, AnonymousUser(), NOW)
    assert {row.scores.f1.percent for row in board.rows} == {"66.67"}


def test_best_counts_by_default_and_latest_where_the_phase_says_so(cast):
    best = make_submission(cast.team, cast.phase, (90, 5, 5), received_at=NOW - timedelta(hours=2))
    latest = make_submission(cast.team, cast.phase, (10, 5, 5), received_at=NOW - timedelta(hours=1))
    assert Standing.objects.get().submission == best
    set_rules(cast.phase, counts=Phase.Counts.LATEST)
    Standing.objects.rebuild(cast.phase)
    standing = Standing.objects.get()
    assert (standing.submission, standing.entries) == (latest, 2)


@pytest.mark.parametrize("state", ["queued", "invalid", "failed"])
def test_a_submission_without_a_score_never_ranks(cast, state):
    make_submission(cast.team, cast.phase, state=state)
    make_submission(cast.other_team, cast.phase, (0, 0, 10))
    Standing.objects.rebuild(cast.phase)
    assert shown(cast.phase) == [(1, "Rivals")]


def test_disqualified_leaves_the_ranking_and_can_be_restored_with_reasons_in_the_log(cast):
    submission = make_submission(cast.team, cast.phase, (90, 5, 5))
    fallback = make_submission(cast.team, cast.phase, (50, 5, 5))
    with pytest.raises(refusals.InvalidInput):
        bulk.disqualify(cast.organiser, submission, " ")
    with pytest.raises(refusals.NotAllowed):
        bulk.disqualify(cast.owner, submission, "because")
    bulk.disqualify(cast.organiser, submission, "copied masks")
    assert Standing.objects.get().submission == fallback
    bulk.restore(cast.organiser, submission, "a mistake of ours")
    assert Standing.objects.get().submission == submission
    reasons = list(AuditEntry.objects.order_by("id").values_list("act", "reason"))
    assert reasons == [("disqualified", "copied masks"), ("restored", "a mistake of ours")]
    assert AuditEntry.objects.first_broken() is None
    AuditEntry.objects.filter(act="disqualified").update(reason="nothing happened")
    assert AuditEntry.objects.first_broken().act == "disqualified"


def test_reference_entries_stand_apart_without_a_rank(cast):
    organisers = make_team(cast.competition, "Organisers", is_organisers=True)
    make_submission(organisers, cast.phase, (99, 1, 1), reference=True)
    make_submission(cast.team, cast.phase, (50, 50, 50))
    board = board_of(cast.phase, AnonymousUser(), NOW)
    assert [(row.rank, row.team) for row in board.rows] == [(1, "Alpine")]
    assert [(row.rank, row.team, row.reference) for row in board.references] == [(None, "Organisers", True)]


@pytest.mark.parametrize("rules", [{"ladder_step": "0.005", "ladder_start": "0.5"}, {}])
def test_the_order_of_reference_entries_tells_no_score_that_is_hidden(cast, rules):
    set_rules(cast.phase, **rules)
    organisers = make_team(cast.competition, "Organisers", is_organisers=True)
    for method, counts in (("first", (10, 9, 9)), ("second", (99, 1, 1)), ("third", (50, 5, 5))):
        make_submission(organisers, cast.phase, counts, reference=True, method=method)
    order = [row.submission.method for row in board_of(cast.phase, AnonymousUser(), NOW).references]
    assert order == (["first", "second", "third"] if rules else ["second", "third", "first"])
    to_organisers = board_of(cast.phase, cast.organiser, NOW).references
    assert [row.submission.method for row in to_organisers] == ["second", "third", "first"]


@pytest.mark.parametrize(
    ("rules", "public", "organiser"),
    [
        ({}, "f1 precision recall", "counts f1 precision recall"),
        ({"visible_metrics": "f1"}, "f1", "counts f1 precision recall"),
        ({"hidden_until_close": True}, "", "counts f1 precision recall"),
        (
            {"hidden_until_close": True, "closes_at": NOW - timedelta(1)},
            "f1 precision recall",
            "counts f1 precision recall",
        ),
        ({"ladder_step": "0.005", "ladder_start": "0.5"}, "", "counts f1 precision recall"),
    ],
)
def test_which_metrics_a_viewer_sees(cast, rules, public, organiser):
    set_rules(cast.phase, **rules)
    for viewer in (AnonymousUser(), cast.owner, cast.rival):
        assert " ".join(sorted(view_of(cast.phase, viewer, NOW).metrics)) == public
    assert " ".join(sorted(view_of(cast.phase, cast.organiser, NOW).metrics)) == organiser
    other = make_user("organiser of another competition")
    make_competition("other", organiser=other)
    assert " ".join(sorted(view_of(cast.phase, other, NOW).metrics)) == public


def test_scores_are_none_where_hidden(cast):
    submission = make_submission(cast.team, cast.phase, (3, 1, 2))
    set_rules(cast.phase, visible_metrics="f1")
    scores = visible_scores(submission.evaluation, view_of(cast.phase, cast.owner, NOW))
    assert (scores.precision, scores.recall, scores.counts) == (None, None, None)
    assert Fraction(scores.f1.numerator, scores.f1.denominator) == Fraction(2, 3)
    everything = visible_scores(submission.evaluation, view_of(cast.phase, cast.organiser, NOW))
    assert (everything.precision.percent, everything.recall.percent) == ("75.00", "60.00")
    assert everything.counts == (3, 1, 2)


def test_a_hidden_board_has_no_rows_until_the_end(cast):
    make_submission(cast.team, cast.phase)
    set_rules(cast.phase, hidden_until_close=True)
    assert shown(cast.phase) is None
    assert shown(cast.phase, cast.organiser) == [(1, "Alpine")]
    set_rules(cast.phase, closes_at=NOW - timedelta(seconds=1))
    assert shown(cast.phase) == [(1, "Alpine")]


def test_a_frozen_board_stands_still_and_thaws_at_the_end(cast):
    set_rules(cast.phase, freezes_at=NOW - timedelta(hours=1))
    make_submission(cast.team, cast.phase, (50, 50, 50), received_at=NOW - timedelta(hours=2))
    make_submission(cast.other_team, cast.phase, (40, 50, 50), received_at=NOW - timedelta(hours=2))
    late = make_submission(cast.other_team, cast.phase, (90, 5, 5), received_at=NOW)
    assert shown(cast.phase) == [(1, "Alpine"), (2, "Rivals")]
    assert board_of(cast.phase, cast.owner, NOW).is_frozen
    assert shown(cast.phase, cast.organiser) == [(1, "Rivals"), (2, "Alpine")]
    assert view_of(cast.phase, cast.rival, NOW).shows("f1"), "a team still sees its own score"
    set_rules(cast.phase, closes_at=NOW + timedelta(milliseconds=1))
    assert shown(cast.phase) == [(1, "Rivals"), (2, "Alpine")]
    assert late.state == "scored"


def test_a_board_costs_the_same_queries_with_few_and_many_rows(cast, django_assert_max_num_queries):
    for number in range(12):
        make_submission(make_team(cast.competition), cast.phase, (number, 10, 10))
    with django_assert_max_num_queries(6):
        board = board_of(
            Phase.objects.select_related("labels", "competition").get(pk=cast.phase.pk), AnonymousUser(), NOW
        )
        assert len(board.rows) == 12


def test_the_ladder_shows_whole_steps_and_takes_none_back(cast):
    set_rules(cast.phase, ladder_step="0.05", ladder_start="0.50", allows_withdrawal=True)

    def made(tp, hours_ago):
        counts = (tp, 100 - tp, 100 - tp)
        return make_submission(cast.team, cast.phase, counts, received_at=NOW - timedelta(hours=hours_ago))

    made(54, 9)
    assert shown(cast.phase) == []
    high = made(68, 8)
    made(69, 7)
    [row] = board_of(cast.phase, cast.owner, NOW).rows
    assert (row.scores.f1.percent, row.submission, row.entries) == ("65.00", high, 3)
    assert row.scores.precision is None
    submissions.withdraw(cast.owner, high)
    [row] = board_of(cast.phase, AnonymousUser(), NOW).rows
    assert row.scores.f1.percent == "65.00"
    [row] = board_of(cast.phase, cast.organiser, NOW).rows
    assert row.scores.f1.percent == "69.00"


def test_the_latest_before_the_freeze_counts_on_a_frozen_board(cast):
    set_rules(cast.phase, freezes_at=NOW - timedelta(hours=1), counts=Phase.Counts.LATEST)
    for tp, hours in ((90, 3), (40, 2), (70, 0)):
        make_submission(
            cast.team, cast.phase, (tp, 100 - tp, 100 - tp), received_at=NOW - timedelta(hours=hours)
        )
    [public], [exact] = (board_of(cast.phase, viewer, NOW).rows for viewer in (cast.rival, cast.organiser))
    assert (public.scores.f1.percent, exact.scores.f1.percent) == ("40.00", "70.00")


def test_the_number_of_teams_is_the_workers_until_a_score_comes(cast):
    """Counting all standings reads them all: a page does it only where no worker has, for this version of the board."""

    def total():
        phase = Phase.objects.with_labels().get(pk=cast.phase.pk)
        return board_of(phase, AnonymousUser(), timezone.now(), limit=1).total

    for number in range(2):
        make_submission(make_team(cast.competition, f"Team {number}"), cast.phase, state="scored")
    Standing.objects.rebuild(cast.phase)
    assert total() == 2
    counting.keep_up(timezone.now())
    figures = PhaseFigures.objects.get(phase=cast.phase)
    assert figures.on_board == {"exact": 2, "version": Phase.objects.get(pk=cast.phase.pk).board_version}
    PhaseFigures.objects.update(on_board={**figures.on_board, "exact": 77})
    assert total() == 77
    make_submission(make_team(cast.competition, "Another"), cast.phase, state="scored")
    Standing.objects.rebuild(cast.phase)
    assert total() == 3
    counting.keep_up(timezone.now())
    assert total() == 3
    assert PhaseFigures.objects.get(phase=cast.phase).on_board["exact"] == 3
