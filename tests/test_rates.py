"""Confidence intervals of rates."""

import pytest

from testing.rates import bootstrap_interval, exact_interval, upper_bound


def test_intervals_are_those_of_clopper_and_pearson():
    """0 and 2 of 300 alarms are below 1 % and 2.1 %; the lower end of 100 of 100 is the hundredth
    root of 2.5 %; 10 of 16 is the example of a table of exact binomial limits."""
    bounds = [upper_bound(count, 300) for count in (0, 2)]
    assert bounds == pytest.approx([0.0099, 0.0208], abs=5e-5)
    assert exact_interval(100, 100) == pytest.approx((0.025 ** (1 / 100), 1.0))
    assert exact_interval(0, 100) == pytest.approx((0.0, 1 - 0.025 ** (1 / 100)))
    assert exact_interval(10, 16) == pytest.approx((0.3543, 0.8480), abs=5e-5)


def test_an_interval_agrees_with_the_binomial_distribution():
    """If the rate is at either end of the interval, the probability of the observed count or a more
    extreme one is 2.5 %."""
    from scipy.stats import binom

    low, high = exact_interval(3, 17)
    assert binom.sf(2, 17, low) == pytest.approx(0.025)
    assert binom.cdf(3, 17, high) == pytest.approx(0.025)


def test_the_interval_of_a_sum_of_shares_lies_between_those_of_whole_counts():
    """The limits grow with the count."""
    lower, between, upper = (exact_interval(count, 12) for count in (9, 9.5, 10))
    assert lower.low < between.low < upper.low
    assert lower.high < between.high < upper.high


@pytest.mark.parametrize(("count", "total"), [(0, 0), (3, 2), (-1, 2)])
def test_a_rate_that_cannot_be_is_refused(count, total):
    """The message states the count and the total."""
    with pytest.raises(ValueError, match=f"{count} of {total}"):
        exact_interval(count, total)


def test_groups_that_differ_give_a_wider_interval_than_groups_that_are_alike():
    """The bootstrap draws whole groups."""
    spread = bootstrap_interval([(1, 4)] * 8 + [(0, 4)] * 32)
    gathered = bootstrap_interval([(4, 4)] * 2 + [(0, 4)] * 38)
    assert gathered.low < spread.low < 0.05 < spread.high < gathered.high
