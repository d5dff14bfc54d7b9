"""The day that `make bench-day` replays: its profile, and the arithmetic of what it cost."""

import random

import pytest

from benchmarks.day_plan import HOURS, PER_DAY, Day, cores, cost, peak_rate, quantile


def test_the_last_day_of_2022_is_five_mean_days_and_mostly_its_last_hour():
    assert len(HOURS) == 24
    assert sum(HOURS) == 100
    assert HOURS[-1] > sum(HOURS[:-1])
    assert round(PER_DAY["submission"]) == 518
    assert peak_rate(1) == pytest.approx(311 / 3600, rel=1e-3)
    assert peak_rate(100) == pytest.approx(100 * peak_rate(1))


def test_the_day_of_2022_is_replayed_whole_with_its_rush_at_the_end():
    day = Day(scale=1, minutes=12, rate=20)
    assert day.sampled == 1
    moments = day.moments("submission", random.Random(1))
    assert len(moments) == 518
    assert moments == sorted(moments)
    assert moments[0] >= 0
    assert moments[-1] < 720
    rush = sum(moment >= 720 - day.rush_seconds for moment in moments)
    assert rush / len(moments) == pytest.approx(0.6, abs=0.07)
    assert moments == day.moments("submission", random.Random(1))


@pytest.mark.parametrize("scale", [20, 100])
def test_the_last_hour_of_a_large_day_is_replayed_at_its_true_rate(scale):
    day = Day(scale, minutes=12, rate=1)
    planned = day.number("submission") * HOURS[-1] / 100 / day.rush_seconds
    assert planned == pytest.approx(peak_rate(scale), rel=0.01)


def test_a_short_replay_is_a_smaller_sample_and_has_every_kind():
    day = Day(scale=1, minutes=1, rate=3)
    planned = day.number("submission") * HOURS[-1] / 100 / day.rush_seconds
    assert planned == pytest.approx(3 * peak_rate(1), rel=0.1)
    assert all(day.number(kind) >= 1 for kind in PER_DAY)


def test_the_cost_is_that_of_each_role_per_submission():
    before = {"web1": 1.0, "web2": 2.0, "database": 5.0}
    after = {"web1": 3.0, "web2": 4.0, "database": 6.0}
    assert cost(before, after, 100) == pytest.approx({"web": 40, "database": 10})
    assert cores(40, rate=9) == pytest.approx(0.6)  # 0.36 of a core, in hosts that are filled to 60 %


def test_a_quantile_is_a_value_that_occurred():
    assert quantile([3, 1, 2, 4], 0.5) == 2
    assert quantile([3, 1, 2, 4], 0.95) == 4
    assert quantile(range(1, 101), 0.95) == 95
    assert quantile([], 0.95) == 0
