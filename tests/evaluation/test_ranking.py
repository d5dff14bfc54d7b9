from datetime import UTC, datetime, timedelta
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scoring.ranking import Entry, rank, shown_percents

START = datetime(2022, 6, 15, tzinfo=UTC)


def entry(team, f1, minute):
    return Entry(team, f1, START + timedelta(minutes=minute))


def board(entries, **options):
    return [(r.rank, r.entry.team) for r in rank(entries, **options)]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([], []),
        ([("a", F(1, 2), 0), ("b", F(3, 4), 1)], [(1, "b"), (2, "a")]),
        # equal scores share a rank, the next rank is left out, earlier first within
        (
            [("a", F(1, 2), 5), ("b", F(3, 6), 1), ("c", F(1, 3), 0), ("d", F(3, 4), 9)],
            [(1, "d"), (2, "b"), (2, "a"), (4, "c")],
        ),
        # the same score at the same time: by name, so that the order is fixed
        ([("b", F(1, 2), 0), ("a", F(1, 2), 0)], [(1, "a"), (1, "b")]),
        # no score: last, unranked, never a zero
        ([("a", None, 0), ("b", F(0), 1), ("c", F(0), 2)], [(1, "b"), (1, "c"), (None, "a")]),
        # fractions that floats cannot tell apart
        (
            [("late", F(10**17 + 1, 2 * 10**17), 9), ("early", F(1, 2), 0)],
            [(1, "late"), (2, "early")],
        ),
    ],
)
def test_table_of_boards(entries, expected):
    assert board([entry(*e) for e in entries]) == expected


def test_ties_on_the_displayed_value():
    entries = [entry("a", F("0.74541"), 5), entry("b", F("0.74539"), 1), entry("c", F("0.74534"), 0)]
    assert board(entries) == [(1, "a"), (2, "b"), (3, "c")]
    assert board(entries, tie_on_decimals=2) == [(1, "b"), (1, "a"), (3, "c")]


@given(st.lists(st.tuples(st.integers(0, 6) | st.none(), st.integers(0, 5)), max_size=12))
def test_rank_is_one_more_than_the_number_of_better(rows):
    entries = [entry(str(i), None if n is None else F(n, 7), minute) for i, (n, minute) in enumerate(rows)]
    for ranked in rank(entries):
        if ranked.entry.f1 is None:
            assert ranked.rank is None
        else:
            assert ranked.rank == 1 + sum(e.f1 is not None and e.f1 > ranked.entry.f1 for e in entries)


def test_third_decimal_only_where_it_is_needed():
    scores = [F("0.745449"), F("0.745351"), F("0.73994"), F("0.73994"), F("0.5"), None]
    assert shown_percents(scores) == ["74.545", "74.535", "73.99", "73.99", "50.00", "–"]


def test_half_up():
    assert shown_percents([F("0.12345"), F("0.123449999")]) == ["12.35", "12.34"]
