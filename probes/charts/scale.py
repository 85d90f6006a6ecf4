"""The axes of a chart: positions of values, ticks, and the formatting of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

import numpy as np

from probes.record import Column

MAX_VALUE = 1e300
"""Larger values are drawn as if they were this value, so that the length of an axis does not
overflow."""
MIN_LENGTH = 1e-300
"""A linear axis shorter than this is lengthened. Otherwise the power of ten that gives the distance
between ticks would underflow."""
MIN_DECADES = 0.5
"""A log axis spans at least this many powers of ten (a factor of three), so that a small change
looks small."""
MAX_TICKS = 6
"""Largest number of ticks on a log axis."""
DECADES = (-307.0, 308.0)
"""The lowest and the highest power of ten that a float can hold without loss of precision. There
are no ticks outside this range, although an axis may be longer."""
MANTISSAS = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,))
"""Possible sets of ticks within a factor of ten, the densest first."""
NON_POSITIVE_DEPTH = 0.12
"""Distance, as a share of the height of a log axis, between the smallest positive value and the
row that holds zero and negative values."""


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`.

    A position on a linear axis is a value; a position on a log axis is the log10 of a value.

    low, high     positions of both ends of the axis
    ticks         (position, label) pairs
    non_positive  position of zero and negative values on a log axis; None if there are no such
                  values
    """

    log: bool
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    non_positive: float | None = None

    def place(self, values: Column) -> Column:
        """The positions of values on the axis; NaN for values that are not finite."""
        values = np.where(np.isfinite(values), values, np.nan)
        if not self.log:
            return np.clip(values, -MAX_VALUE, MAX_VALUE)
        lowest = self.low if self.non_positive is None else self.non_positive
        positive = values > 0
        placed = np.where(positive, np.log10(np.where(positive, values, 1.0)), lowest)
        return np.where(np.isnan(values), np.nan, placed)

    def share(self, values: Column) -> Column:
        """The positions of values as shares of the axis: 0 at its low end, 1 at its high end."""
        return (self.place(values) - self.low) / (self.high - self.low)

    def tick_shares(self) -> list[tuple[float, str]]:
        """The ticks as (share of the axis, label) pairs."""
        return [((place - self.low) / (self.high - self.low), label) for place, label in self.ticks]


def log_scale(values: Column, include: Sequence[float] = ()) -> Scale:
    """A log axis that covers the positive finite values and `include`.

    Zero and negative values, if there are any, are drawn in a separate row below the axis.
    """
    finite = _finite(values, include)
    positive = finite[finite > 0]
    low, high = (log10(positive.min()), log10(positive.max())) if len(positive) else (-1.0, 0.0)
    missing = MIN_DECADES - (high - low)
    if missing > 0:
        low, high = low - missing / 2, high + missing / 2
    ticks = _log_ticks(low, high)
    if len(positive) == len(finite):
        return Scale(True, low, high, ticks)
    row = low - NON_POSITIVE_DEPTH * (high - low)
    return Scale(True, row, high, ((row, "≤ 0"), *ticks), row)


def linear_scale(values: Column, include: Sequence[float] = (), percent: bool = False) -> Scale:
    """A linear axis that covers the finite values and `include`."""
    finite = np.clip(_finite(values, include), -MAX_VALUE, MAX_VALUE)
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if high - low <= max(abs(high) * 1e-9, MIN_LENGTH):
        padding = abs(high) * 0.1 or 1.0
        low, high = low - padding, high + padding
    step = _round_step((high - low) / 4)
    places = [
        index * step for index in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    ]
    label = percentage if percent else number
    return Scale(False, low, high, tuple((place, label(place)) for place in places))


def _finite(values: Column, include: Sequence[float]) -> Column:
    both: Column = np.concatenate([values, np.array(include, dtype=float)])
    return both[np.isfinite(both)]


def step_ticks(first: int, last: int) -> tuple[tuple[float, str], ...]:
    """About six ticks at round steps from `first` to `last`. The label of the first tick begins
    with "step"."""
    if last <= first:
        return ((float(first), f"step {number(first)}"),)
    step = max(1, int(_round_step((last - first) / 6)))
    begin = -(-first // step) * step
    places = range(begin, last + 1, step)
    return tuple((float(place), f"{'step ' * (place == begin)}{number(place)}") for place in places)


def number(value: float, digits: int = 4) -> str:
    """Format a number for readers, with at most `digits` significant digits.

    All digits of the integer part are kept, commas separate thousands, and very small and very
    large values are written with an exponent.
    """
    if not isfinite(value):
        return "NaN" if value != value else "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(exponent)}"
    places = max(0, digits - 1 - floor(log10(abs(value))))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percentage(share: float) -> str:
    """Format a share as a percentage: 0.25 as `25 %`."""
    return f"{number(share * 100, 3)} %"


def _round_step(least: float) -> float:
    """The smallest number that is at least `least` and is 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(least))
    return next(
        power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= least * (1 - 1e-9)
    )


def _log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """The ticks of a log axis: the densest set in MANTISSAS that gives at most MAX_TICKS ticks. If
    every set gives more, the ticks are evenly spaced powers of ten."""
    if high < DECADES[0] or low > DECADES[1]:  # pygal needs at least one tick
        place = high if high < DECADES[0] else low
        return ((place, number(10**place, 2)),)
    low, high = max(low, DECADES[0]), min(high, DECADES[1])
    for mantissas in MANTISSAS:
        places = [
            decade + log10(mantissa)
            for decade in range(floor(low), ceil(high) + 1)
            for mantissa in mantissas
            if low - 1e-9 <= decade + log10(mantissa) <= high + 1e-9
        ]
        if len(places) <= MAX_TICKS:
            return tuple((place, number(10**place, 2)) for place in places)
    every = ceil((high - low) / MAX_TICKS)
    places = [float(decade) for decade in range(ceil(low), floor(high) + 1) if decade % every == 0]
    return tuple((place, number(10**place, 2)) for place in places)
