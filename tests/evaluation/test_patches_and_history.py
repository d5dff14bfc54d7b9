from datetime import UTC, date, datetime, timedelta, timezone
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from evaluation.statistics.history import Scored, best_so_far, best_so_far_by_team, per_day, per_hour
from evaluation.statistics.patches import best_team_per_patch, false_alarm_share, hardest_patches
from evaluation.statistics.table import CountTable
from tests.evaluation.population import made_up_counts


def test_hardest_patches_by_hand():
    # Patch 1: both miss a little one. Patch 2: both miss a large one. Patch 3: empty. Patch 4: half found.
    table = CountTable(
        ("a", "b"),
        ("1", "2", "3", "4"),
        np.array([[0, 0, 0, 4], [0, 0, 0, 0]]),
        np.array([[0, 5, 2, 0], [0, 0, 0, 0]]),
        np.array([[1, 9, 0, 0], [1, 9, 0, 4]]),
    )
    got = hardest_patches(table)
    assert [(h.patch, h.label_pixels, h.missed_by) for h in got] == [
        ("2", 9, 1.0),
        ("1", 1, 1.0),
        ("4", 4, 0.5),
    ]
    assert got[2].f1 == 8 / 12
    assert [h.patch for h in hardest_patches(table, top=1, limit=2)] == ["2", "1"]
    assert hardest_patches(table, top=1)[2].f1 == 1.0
    assert false_alarm_share(table) == [1.0, 0.0]


def test_best_team_per_patch_is_the_best_of_all_choices(rng):
    for _ in range(20):
        table = made_up_counts(rng, 7, 3)
        each = np.arange(7)
        brute = max(
            table.numerator[list(c), each].sum() / table.denominator[list(c), each].sum()
            for c in product(range(3), repeat=7)
        )
        best, choice = best_team_per_patch(table)
        assert best == brute
        assert table.numerator[choice, each].sum() / table.denominator[choice, each].sum() == brute
        assert best >= table.f1().max()


def at(day, hour=12):
    return datetime(2022, 6, day, hour, tzinfo=UTC)


def test_best_so_far():
    log = [
        Scored("a", at(3), Fraction(5, 10)),
        Scored("b", at(1), Fraction(4, 10)),
        Scored("a", at(2), Fraction(3, 10)),
        Scored("b", at(4), Fraction(5, 10)),
        Scored("b", at(5), Fraction(6, 10)),
    ]
    assert [(s.team, s.at.day) for s in best_so_far(log)] == [("b", 1), ("a", 3), ("b", 5)]
    by_team = best_so_far_by_team(log)
    assert list(by_team) == ["b", "a"]
    assert [s.at.day for s in by_team["a"]] == [2, 3]
    assert [s.at.day for s in by_team["b"]] == [1, 4, 5]


def test_days_are_utc_and_without_gaps():
    east = timezone(timedelta(hours=8))
    times = [datetime(2022, 6, 2, 3, tzinfo=east), at(3, 0), at(3, 23)]  # the first is 1 June, 19:00 UTC
    assert per_day(times) == [(date(2022, 6, 1), 1), (date(2022, 6, 2), 0), (date(2022, 6, 3), 2)]
    hours = per_hour(times)
    assert (hours[19], hours[0], hours[23], sum(hours)) == (1, 1, 1, 3)
    assert per_day([]) == []
    with pytest.raises(ValueError, match="time zone"):
        per_day([datetime(2022, 6, 1)])
