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


def exact_interval(count: float, total: int) -> Interval:
    """The two-sided 95 % interval of a rate (Clopper and Pearson 1934).

    count  runs that have the property; a fraction if it is a sum of shares, such as one share for
           each of `total` groups (Korn and Graubard 1998 use the same formula)

    Raises ValueError when `total` is 0.
    """
    tail = (1 - RATE_CONFIDENCE) / 2
    return Interval(_lower_bound(count, total, tail), _upper_bound(count, total, tail))


def upper_bound(count: float, total: int) -> float:
    """The one-sided 95 % upper bound of a rate (Clopper and Pearson 1934). Raises ValueError when
    `total` is 0."""
    return _upper_bound(count, total, 1 - RATE_CONFIDENCE)


def _lower_bound(count: float, total: int, tail: float) -> float:
    """The rate at which `count` or more of `total` runs have the probability `tail`."""
    from scipy.special import betaincinv  # takes long to import, and only intervals need it

    _check(count, total)
    return float(betaincinv(count, total - count + 1, tail)) if count else 0.0


def _upper_bound(count: float, total: int, tail: float) -> float:
    """The rate at which `count` or fewer of `total` runs have the probability `tail`."""
    from scipy.special import betaincinv

    _check(count, total)
    return float(betaincinv(count + 1, total - count, 1 - tail)) if count < total else 1.0


def _check(count: float, total: int) -> None:
    if not 0 <= count <= total or total < 1:
        raise ValueError(f"a rate needs 0 <= count <= total and total >= 1, not {count} of {total}")


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
