"""How sure a count is: exact intervals for runs that are alike, a bootstrap over configs for runs
that are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
DRAWS = 10_000
BOOTSTRAP_SEED = 20_261


class Interval(NamedTuple):
    low: float
    high: float


def exact(count: int, total: int) -> Interval:
    """The two-sided 95 % interval of a rate (Clopper and Pearson 1934). Raises ValueError for no
    runs."""
    return _exact(count, total, "two-sided")


def at_most(count: int, total: int) -> float:
    """The one-sided 95 % upper bound of a rate (Clopper and Pearson 1934). Raises ValueError for no
    runs."""
    return _exact(count, total, "less").high


def _exact(count: int, total: int, alternative: str) -> Interval:
    from scipy.stats import binomtest  # takes longer to import than everything else here together

    interval = binomtest(count, total, alternative=alternative).proportion_ci(
        CONFIDENCE, method="exact"
    )
    return Interval(float(interval.low), float(interval.high))


def over_groups(counts: Sequence[tuple[int, int]]) -> Interval:
    """The 95 % percentile interval of a rate whose runs come in groups, (count, total) each: groups
    are drawn anew.

    Runs of one config resemble each other, so what varies is the config. Without a single count the
    interval is [0, 0], which says nothing about configs that were not drawn: give `exact` over
    groups beside it. Raises ValueError for no groups."""
    if not counts:
        raise ValueError("bootstrap: there is no group to draw from")
    table = np.asarray(counts, dtype=np.float64)
    drawn = np.random.default_rng(BOOTSTRAP_SEED).integers(len(table), size=(DRAWS, len(table)))
    count, total = table[drawn].sum(axis=1).T
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(count / total, [tail, 100 - tail])
    return Interval(float(low), float(high))
