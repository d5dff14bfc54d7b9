import math

import pytest
from scipy import special, stats

from evaluation.statistics.student import normal_two_sided, t_quantile, t_two_sided


@pytest.mark.parametrize("df", [1, 2, 3, 4, 7, 15, 99, 244, 799, 20_000, 100_000])
def test_quantiles_and_tails_agree_with_scipy(df):
    for p in (0.5, 0.6, 0.9, 0.975, 0.995, 0.9999, 0.025, 1e-6):
        assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-15)
    for t in (0.0, 1e-6, 0.3, 1.0, 1.96, 5.0, 40.0, -2.0):
        assert t_two_sided(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-8)


def test_closed_forms():
    assert t_quantile(0.975, 1) == pytest.approx(math.tan(math.pi * 0.475), rel=1e-13)
    assert t_quantile(0.975, 2) == pytest.approx(2 * 0.475 * math.sqrt(2 / (1 - 4 * 0.475**2)), rel=1e-13)
    assert t_two_sided(1, 1) == pytest.approx(0.5, rel=1e-14)
    assert t_two_sided(math.inf, 3) == 0
    assert t_two_sided(0, 3) == 1


def test_normal_tail():
    for z in (0.0, 0.5, -1.959963984540054, 8.0):
        assert normal_two_sided(z) == pytest.approx(special.erfc(abs(z) / math.sqrt(2)), rel=1e-14)


def test_refuses_what_has_no_answer():
    with pytest.raises(ValueError, match="between 0 and 1"):
        t_quantile(1.0, 5)
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_two_sided(1.0, 0)
