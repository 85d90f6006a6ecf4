"""The interval of the cost of looking, and when it fails a build."""

import numpy as np
import pytest

from bench.overhead import CONFIDENCE, Overhead, lower_rank


def test_of_sixty_pairs_the_20th_and_the_41st_enclose_the_median():
    """The ranks that tables of the sign test give for 99 %."""
    assert lower_rank(60) == 20


@pytest.mark.parametrize(("n", "rank"), [(7, None), (8, 1)])
def test_eight_pairs_are_the_fewest_that_allow_an_interval(n, rank):
    """All eight on one side of the median: 2 / 2^8 is below 1 %."""
    assert lower_rank(n) == rank


def test_too_few_pairs_are_refused():
    """Rather than an interval that promises too much."""
    with pytest.raises(ValueError, match="5 pairs"):
        Overhead.of([1.0] * 5, [1.1] * 5)


def test_interval_covers_the_true_cost_as_often_as_it_says():
    """A thousand times sixty pairs with skewed noise around a true cost of 5 %."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        bare = rng.gamma(8.0, 1.0, 60)
        watched = bare * 1.05 * np.exp(rng.laplace(0, 0.05, 60))
        overhead = Overhead.of(bare, watched)
        covered += overhead.low <= 0.05 <= overhead.high
    assert covered / 1000 >= CONFIDENCE - 0.01


def test_estimate_is_the_ratio_of_medians():
    """One slow pair moves nothing."""
    bare, watched = [1.0] * 59 + [50.0], [1.2] * 59 + [500.0]
    assert Overhead.of(bare, watched).estimate == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("budget", "verdict"),
    [(0.04, "exceeded"), (0.05, "inconclusive"), (0.08, "inconclusive"), (0.10, "within")],
)
def test_build_fails_only_when_the_whole_interval_is_above_the_budget(budget, verdict):
    """5 % to 9 % against budgets below, inside and above."""
    assert Overhead(0.07, 0.05, 0.09).judge(budget) == verdict


def test_overhead_is_never_printed_without_its_interval():
    """Nor the interval without its confidence."""
    assert str(Overhead(0.07, 0.05, 0.09)) == "7.0% (99% interval 5.0% to 9.0%)"
