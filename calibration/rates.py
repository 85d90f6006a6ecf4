"""Confidence intervals of rates: exact ones for independent runs, a bootstrap over configs for runs
that share configs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RATE_CONFIDENCE = 0.95
BOOTSTRAP_DRAWS = 10_000
BOOTSTRAP_SEED = 20_261


class Interval(NamedTuple):
    low: float
    high: float


def exact_interval(count: int, total: int) -> Interval:
    """The two-sided 95 % interval of a rate (Clopper and Pearson 1934). Raises ValueError when
    `total` is 0."""
    return _clopper_pearson(count, total, "two-sided")


def upper_bound(count: int, total: int) -> float:
    """The one-sided 95 % upper bound of a rate (Clopper and Pearson 1934). Raises ValueError when
    `total` is 0."""
    return _clopper_pearson(count, total, "less").high


def _clopper_pearson(count: int, total: int, alternative: str) -> Interval:
    from scipy.stats import binomtest  # takes longer to import than everything else here

    interval = binomtest(count, total, alternative=alternative).proportion_ci(
        RATE_CONFIDENCE, method="exact"
    )
    return Interval(float(interval.low), float(interval.high))


def bootstrap_interval(groups: Sequence[tuple[int, int]]) -> Interval:
    """The 95 % percentile interval of a rate whose runs come in groups, given (count, total) of
    each group. Whole groups are resampled, because runs of one config resemble each other.

    If all counts are 0 the interval is [0, 0], which says nothing about groups that were not drawn;
    give `exact_interval` over groups beside it. Raises ValueError when there is no group."""
    if not groups:
        raise ValueError("a bootstrap needs at least one group")
    table = np.asarray(groups, dtype=np.float64)
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = rng.integers(len(table), size=(BOOTSTRAP_DRAWS, len(table)))
    count, total = table[drawn].sum(axis=1).T
    tail = 100 * (1 - RATE_CONFIDENCE) / 2
    low, high = np.percentile(count / total, [tail, 100 - tail])
    return Interval(float(low), float(high))
