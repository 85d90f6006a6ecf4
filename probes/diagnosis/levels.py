"""The levels of a positive loss on a ratio scale: how far it fell, and how far above its lowest
level it ends.

A loss of 2 that ends at 4 and a loss of 0.02 that ends at 0.04 have both doubled. So levels, and
the noise around them, are measured in natural logarithms. A difference of ln 2 = 0.69 is a
doubling, whatever the unit of the loss."""

from __future__ import annotations

from itertools import pairwise
from math import erfc, exp, log
from sys import float_info
from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.curves import Curve, fall_z, noise_around_trend, noise_at_lag
from probes.record import Column, Steps

MAX_LEVELS = 20
"""A curve has at most this many levels."""
END_SHARE = 0.25
"""The end of a log is this last share of its levels."""
MIN_POINTS = 3
"""Minimum number of points of a curve that has levels."""
MIN_LEVELS_FOR_NOISE = 4
"""Minimum number of levels for estimating their noise, from three differences."""
MIN_RISE_OVER_NOISE = 4.0
"""A rise from one level to another counts only if it exceeds this many standard deviations of a
level (`Levels.noise`)."""
MIN_POINTS_FOR_NORMAL = 20
"""From this many values on, `chance_of_fall` uses the normal approximation of a rank test, which is
then accurate enough."""
FIRST_POINTS, FIRST_POINT_SIGMAS = 5, 2.0
"""The start of a curve is the median of its first FIRST_POINTS points, so that a first point that
is low only by its noise does not lower it. The start is at most FIRST_POINT_SIGMAS standard
deviations of a point above the first point, so that an explosion within the first few steps does
not raise it."""


MAX_LOG = log(float_info.max)


def ratio(difference: float) -> float:
    """The ratio of two values, from the difference of their logarithms; at most the largest float.
    A loss may rise from 1e-300 to 1e300."""
    return exp(min(difference, MAX_LOG))


class Levels(NamedTuple):
    """The levels of a curve, in order. All values are natural logarithms of the loss.

    first_step  step of the first point of each level, [B]
    level       median of the points of each level, [B]
    start       where the curve begins
    noise       standard deviation of a level around a smooth curve
    end         number of levels that belong to the end of the log
    """

    first_step: Steps
    level: Column
    start: float
    noise: float
    end: int

    @property
    def lowest(self) -> int:
        """Index of the lowest level."""
        return int(self.level.argmin())

    @property
    def end_above_lowest(self) -> float:
        """How far the lowest level of the end lies above the lowest level before the end. Negative
        when the lowest level of the curve is in its end."""
        return float(self.level[-self.end :].min() - self.level[: -self.end].min())

    @property
    def end_above_start(self) -> float:
        """How far the lowest level of the end lies above the start."""
        return float(self.level[-self.end :].min()) - self.start

    @property
    def end_level(self) -> float:
        """The median of the levels of the end."""
        return float(median(self.level[-self.end :]))


def levels_of(curve: Curve) -> Levels | None:
    """The levels of a curve. None for fewer than MIN_POINTS points, or if a value is below 0 or all
    are 0: such a curve has no ratio scale.

    A value of 0 counts as the smallest value above 0 in the curve, because a log that shows 0 has
    rounded it."""
    values, count = curve.values, len(curve)
    if count < MIN_POINTS or values.min() < 0 or not values.any():
        return None
    logs = np.log(np.maximum(values, values[values > 0].min()))
    edges = np.linspace(0, count, min(MAX_LEVELS, count) + 1).round().astype(int)
    level = np.array([median(logs[i:j]) for i, j in pairwise(edges)])
    # The noise is estimated from the levels around and after the lowest one, because the steep fall
    # before them is no noise. A single jump hardly changes the median of the first differences, and
    # a steady climb hardly changes that of the second differences, so the smaller estimate is used.
    since = level[max(0, min(int(level.argmin()) - 1, len(level) - MIN_LEVELS_FOR_NOISE)) :]
    noise = 0.0
    if len(since) >= MIN_LEVELS_FOR_NOISE:
        noise = min(noise_at_lag(since), noise_around_trend(since))
    return Levels(
        first_step=curve.steps[edges[:-1]],
        level=level,
        start=min(
            float(logs[0]) + FIRST_POINT_SIGMAS * noise_at_lag(logs),
            float(median(logs[:FIRST_POINTS])),
        ),
        noise=noise,
        end=max(2, round(END_SHARE * len(level))),
    )


def chance_of_fall(values: Column) -> float:
    """The probability that a curve without a trend falls as clearly as the values [n] (Mann 1945).

    The clarity of a fall is the number of pairs of values of which the later one is lower. A pair
    of equal values counts half. The result is the share of all orders of n values that have at
    least as many such pairs. It is exact if all values differ.

    If each of five values is lower than the one before, the probability is 1 / 120."""
    if len(values) >= MIN_POINTS_FOR_NORMAL:
        return erfc(fall_z(values) / 2**0.5) / 2
    later_lower = sum(
        float((values[i + 1 :] < value).sum() + (values[i + 1 :] == value).sum() / 2)
        for i, value in enumerate(values)
    )
    # orders[k] is the share of the orders of n values that have k such pairs (Mahonian numbers).
    orders = np.ones(1)
    for n in range(2, len(values) + 1):
        orders = np.convolve(orders, np.full(n, 1 / n))
    return float(orders[int(np.ceil(later_lower)) :].sum())
