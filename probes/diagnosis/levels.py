"""The levels of a positive loss on a ratio scale: how far it fell, and how far above its lowest
level it ends.

A loss of 2 that ends at 4 and a loss of 0.02 that ends at 0.04 have both doubled. So levels, and
the noise around them, are measured in natural logarithms. A difference of ln 2 = 0.69 is a
doubling, whatever the unit of the loss."""

from __future__ import annotations

from itertools import pairwise
from math import exp
from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.curves import Curve, noise_around_trend, noise_at_lag
from probes.record import Column, Steps

MAX_LEVELS = 20
END_SHARE = 0.25
"""The end of a log is this last share of its levels."""
MIN_POINTS = 3
MIN_LEVELS_FOR_NOISE = 4
FIRST_POINTS, FIRST_POINT_SIGMAS = 5, 2.0
"""A loss begins at the median of this many first points, or near its first point if that is lower:
at most this many standard deviations of a point above it. An explosion within the first few steps
then does not count as the start, and neither does a first point that is low by its noise."""


class Levels(NamedTuple):
    """The levels of a curve, in order. All values are natural logarithms of the loss.

    first_step  step of the first point of each level, [B]
    level       median of the points of each level, [B]
    start       where the curve begins
    noise       standard deviation of a level around the course of the curve
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
        """How far every level of the end lies above the lowest level before it. Negative when the
        end is the lowest part."""
        return float(self.level[-self.end :].min() - self.level[: -self.end].min())

    @property
    def end_above_start(self) -> float:
        """How far every level of the end lies above the start."""
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
    # The steep fall at the start is no noise, so only the levels around and after the lowest count.
    # A jump among them is one difference of many, which the median ignores. A steady climb has
    # differences but no second differences, a jump the other way round.
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
    """The probability that values in random order would fall as often as these [n]: the share of
    all orders with at least as many pairs of which the later value is lower (Mann 1945). Equal
    values count half. It is exact for distinct values.

    1 / 120 for five values of which each is lower than the one before."""
    later_lower = sum(
        float((values[i + 1 :] < value).sum() + (values[i + 1 :] == value).sum() / 2)
        for i, value in enumerate(values)
    )
    # orders[k] is the share of the orders of n values that have k such pairs (Mahonian numbers).
    orders = np.ones(1)
    for n in range(2, len(values) + 1):
        orders = np.convolve(orders, np.full(n, 1 / n))
    return float(orders[int(np.ceil(later_lower)) :].sum())


def percent(ratio: float) -> str:
    """A distance on the ratio scale as a percentage above 1: ln 1.5 -> "50 %"."""
    return f"{100 * (exp(ratio) - 1):.0f} %"
