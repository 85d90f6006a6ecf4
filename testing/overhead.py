"""How much longer one action takes than another, with an interval that assumes no distribution.

The two actions are timed in pairs, in turn, so that a slow phase of the machine slows both. CPU
time leaves out what other processes use. The estimate is the ratio of the two medians. The interval
is for the median of the ratios of the pairs: of n pairs, the number below that median follows a
binomial distribution with probability 1/2, whatever the distribution of the times, so that two
order statistics of the ratios enclose it (the interval of the sign test)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np

INTERVAL_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Overhead:
    """What an action adds to the time of a baseline, as a share of the baseline's time.

    estimate   ratio of the medians, minus 1
    low, high  interval at INTERVAL_CONFIDENCE for the median of the ratios, minus 1
    """

    estimate: float
    low: float
    high: float

    @staticmethod
    def of(baseline: Sequence[float], action: Sequence[float]) -> Overhead:
        """Compare two series of seconds, pair by pair.

        Raises ValueError when the series differ in length or have too few pairs for the interval.
        """
        ratios = np.sort(np.divide(action, baseline)) - 1
        rank = lower_rank(len(ratios))
        if rank is None:
            raise ValueError(
                f"{len(ratios)} pairs are too few for an interval at {INTERVAL_CONFIDENCE:.0%}; at "
                "least 8 are needed"
            )
        estimate = float(np.median(action) / np.median(baseline)) - 1
        return Overhead(estimate, float(ratios[rank - 1]), float(ratios[-rank]))

    def judge(self, budget: float) -> Literal["within", "inconclusive", "exceeded"]:
        """Compare the interval with a budget; it is inconclusive when the budget lies inside it."""
        if self.low > budget:
            return "exceeded"
        return "inconclusive" if self.high > budget else "within"

    def __str__(self) -> str:
        interval = f"{INTERVAL_CONFIDENCE:.0%} interval {self.low:.1%} to {self.high:.1%}"
        return f"{self.estimate:.1%} ({interval})"


def lower_rank(n: int) -> int | None:
    """The largest r for which the r-th smallest and the r-th largest of n values enclose the median
    at INTERVAL_CONFIDENCE; None when n is below 8."""
    outside, rank = 0.0, None
    for r in range(1, n // 2 + 1):
        outside += 2 * comb(n, r - 1) / 2**n
        if outside > 1 - INTERVAL_CONFIDENCE:
            break
        rank = r
    return rank
