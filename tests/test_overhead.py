"""The interval of an overhead, and when it exceeds a budget."""

import numpy as np
import pytest

from testing.overhead import INTERVAL_CONFIDENCE, Overhead, lower_rank


@pytest.mark.parametrize(("n", "rank"), [(7, None), (8, 1), (60, 20)])
def test_ranks_are_those_of_the_sign_test(n, rank):
    """Tables of the sign test give ranks 20 and 41 of 60 for 99 %. Eight pairs are the fewest that
    give an interval: all on one side of the median has probability 2 / 2^8."""
    assert lower_rank(n) == rank


def test_too_few_pairs_are_an_error():
    """An interval of them would not have the confidence that it claims."""
    with pytest.raises(ValueError, match="5 pairs"):
        Overhead.of([1.0] * 5, [1.1] * 5)


def test_the_interval_covers_the_true_overhead_as_often_as_it_claims():
    """A thousand times sixty pairs with skewed noise around a true overhead of 5 %."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        baseline = rng.gamma(8.0, 1.0, 60)
        action = baseline * 1.05 * np.exp(rng.laplace(0, 0.05, 60))
        overhead = Overhead.of(baseline, action)
        covered += overhead.low <= 0.05 <= overhead.high
    assert covered / 1000 >= INTERVAL_CONFIDENCE - 0.01


def test_the_estimate_is_the_ratio_of_medians():
    """One slow pair does not change the estimate."""
    baseline, action = [1.0] * 59 + [50.0], [1.2] * 59 + [500.0]
    assert Overhead.of(baseline, action).estimate == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [(0.04, "exceeded"), (0.05, "inconclusive"), (0.08, "inconclusive"), (0.10, "within")],
)
def test_a_budget_is_exceeded_only_if_the_whole_interval_is_above_it(budget, verdict):
    """An interval from 5 % to 9 %, against budgets below, inside and above it."""
    assert Overhead(0.07, 0.05, 0.09).judge(budget) == verdict


def test_an_overhead_is_printed_with_its_interval_and_confidence():
    """A figure without them would claim too much."""
    assert str(Overhead(0.07, 0.05, 0.09)) == "7.0% (99% interval 5.0% to 9.0%)"
