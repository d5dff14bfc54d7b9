from fractions import Fraction as F

import pytest

from evaluation.scoring.ladder import Ladder, Rung, climb_all, points

HALF = Ladder(step=points("0.5"), start=points("57.82"))


def climbed(*percents, ladder=HALF):
    return [
        (None if r.best is None else float(100 * r.best), r.improved)
        for r in climb_all(ladder, [points(p) for p in percents])
    ]


def test_a_climb_by_hand():
    # Rungs: 58.32, 58.82, 59.32 ... A value is shown when it is a whole step above what is shown, floored.
    assert climbed("50", "58.31", "58.32", "58.81", "59.99", "59.81", "60.31", "60.32") == [
        (None, False),
        (None, False),
        (58.32, True),
        (58.32, False),
        (59.82, True),
        (59.82, False),
        (59.82, False),
        (60.32, True),
    ]


def test_a_step_is_exact():
    # 0.1 + 0.2 is not 0.3 in floats; here the third step is reached to the last digit.
    tenth = Ladder(points("0.1"), F(0))
    assert tenth.climb(points("0.2"), points("0.3")) == points("0.3")
    assert tenth.climb(points("0.2"), points("0.3") - F(1, 10**30)) == points("0.2")


def test_never_overstates():
    for thousandth in range(57_000, 62_000, 7):
        score = F(thousandth, 100_000)
        best = HALF.climb(None, score)
        assert best is None or best <= score < best + HALF.step


def test_noise_can_only_hold_back():
    scores = [points("60"), points("61"), points("63")]
    seen = []

    def noise(index, leader):
        seen.append((index, leader))
        return points("1.5")

    assert climb_all(HALF, scores, noise) == [
        Rung(points("59.82"), True),
        Rung(points("59.82"), False),
        Rung(points("62.82"), True),
    ]
    assert seen == [(0, None), (1, 0), (2, 0)]


@pytest.mark.parametrize(
    ("step", "start"), [(F(0), F(0)), (F(-1), F(0)), (F(1, 200), F(1)), (F(1, 200), F(-1))]
)
def test_refusals(step, start):
    with pytest.raises(ValueError, match="Ladder"):
        Ladder(step, start)


def test_points():
    assert points("57.82") == F(5782, 10_000)
    with pytest.raises(ValueError, match="percentage points"):
        points("half")


def test_hill_climbing_learns_nothing_from_small_steps():
    # 1,000 tries that each move the score by a tenth of a step: the Ladder speaks at most once per step climbed.
    ladder = Ladder(points("0.5"), points("70"))
    scores = [points("70") + F(i % 60, 60) * points("2") for i in range(1000)]
    assert sum(r.improved for r in climb_all(ladder, scores)) == 3
