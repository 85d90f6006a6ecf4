"""What looking costs: pairs of a bare and a watched step, timed in turn, and an interval that
assumes no distribution.

Bare and watched steps alternate, so that what slows the machine slows both; CPU time leaves out who
else is running. The estimate is the ratio of the medians. Two order statistics of the ratios of
pairs are an interval for theirs: of n pairs the number below the median is binomial(n, 1/2),
whatever the times look like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Literal

import numpy as np

CONFIDENCE = 0.99


@dataclass(frozen=True)
class Overhead:
    """Share of the bare time that looking adds: the estimate, and an interval for it at
    CONFIDENCE."""

    estimate: float
    low: float
    high: float

    @staticmethod
    def of(bare: Sequence[float], watched: Sequence[float]) -> Overhead:
        """From seconds per step, pair by pair.

        Raises ValueError when the sequences differ in length or are too short for the interval.
        """
        ratios = np.sort(np.divide(watched, bare)) - 1
        if (rank := lower_rank(len(ratios))) is None:
            raise ValueError(f"{len(ratios)} pairs; an interval at {CONFIDENCE:.0%} needs more")
        estimate = float(np.median(watched) / np.median(bare)) - 1
        return Overhead(estimate, float(ratios[rank - 1]), float(ratios[-rank]))

    def judge(self, budget: float) -> Literal["within", "inconclusive", "exceeded"]:
        """Exceeded only when the whole interval is above the budget; inconclusive when it straddles
        the budget."""
        if self.low > budget:
            return "exceeded"
        return "inconclusive" if self.high > budget else "within"

    def __str__(self) -> str:
        return f"{self.estimate:.1%} ({CONFIDENCE:.0%} interval {self.low:.1%} to {self.high:.1%})"


def lower_rank(n: int) -> int | None:
    """The largest r such that the r-th smallest and the r-th largest of n enclose the median at
    CONFIDENCE, if any."""
    outside, rank = 0.0, None
    for r in range(1, n // 2 + 1):
        outside += 2 * comb(n, r - 1) / 2**n
        if outside > 1 - CONFIDENCE:
            break
        rank = r
    return rank
