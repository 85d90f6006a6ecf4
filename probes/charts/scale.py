"""Axes: where a value lies, which few ticks stand beside it, how a number is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

import numpy as np

from probes.record import Column

LARGEST = 1e300
"""Values beyond it are drawn at it, so that differences on an axis stay finite."""
SMALLEST = 1e-300
"""A linear axis is never shorter: below, powers of ten run out of exponents."""
LEAST_DECADES = 0.5
"""A log axis spans a factor of three at least: what hardly moves should look as if it hardly
moved."""
MOST_TICKS = 6
DECADES = (-307.0, 308.0)
"""Powers of ten that a float holds in full; an axis may reach beyond them, its ticks do not."""
MANTISSAS = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,))
SUNK = 0.12
"""Where zero and negative values lie on a log axis, as a share of its height below the smallest
positive value."""


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high` in drawn units, with ticks [(place, label)]; on a log axis the
    unit is a decade.

    sunk  where values lie that a log axis cannot show, zero and below; None when there are none
    """

    log: bool
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    sunk: float | None = None

    def place(self, values: Column) -> Column:
        """Drawn positions of finite values, NaN for the others."""
        values = np.where(np.isfinite(values), values, np.nan)
        if not self.log:
            return np.clip(values, -LARGEST, LARGEST)
        sunk = self.low if self.sunk is None else self.sunk
        positive = values > 0
        placed = np.where(positive, np.log10(np.where(positive, values, 1.0)), sunk)
        return np.where(np.isnan(values), np.nan, placed)

    def share(self, values: Column) -> Column:
        """Drawn positions as shares of the axis, 0 at its low end."""
        return (self.place(values) - self.low) / (self.high - self.low)

    def marks(self) -> list[tuple[float, str]]:
        """The ticks, their places as shares of the axis."""
        return [((place - self.low) / (self.high - self.low), label) for place, label in self.ticks]


def log_scale(values: Column, include: Sequence[float] = ()) -> Scale:
    """A log axis over the positive finite values and `include`; zero and below get a row of their
    own underneath."""
    finite = np.concatenate(
        [values[np.isfinite(values)], [value for value in include if isfinite(value)]]
    )
    positive = finite[finite > 0]
    low, high = (log10(positive.min()), log10(positive.max())) if len(positive) else (-1.0, 0.0)
    missing = LEAST_DECADES - (high - low)
    if missing > 0:
        low, high = low - missing / 2, high + missing / 2
    ticks = _log_ticks(low, high)
    if len(positive) == len(finite):
        return Scale(True, low, high, ticks)
    sunk = low - SUNK * (high - low)
    return Scale(True, sunk, high, ((sunk, "≤ 0"), *ticks), sunk)


def linear_scale(values: Column, include: Sequence[float] = (), percent: bool = False) -> Scale:
    """A linear axis over the finite values and `include`."""
    finite = np.concatenate(
        [values[np.isfinite(values)], [value for value in include if isfinite(value)]]
    )
    finite = np.clip(finite, -LARGEST, LARGEST)
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    if high - low <= max(abs(high) * 1e-9, SMALLEST):
        pad = abs(high) * 0.1 or 1.0
        low, high = low - pad, high + pad
    step = _nice((high - low) / 4)
    places = [
        index * step for index in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)
    ]
    write = percentage if percent else number
    return Scale(False, low, high, tuple((place, write(place)) for place in places))


def step_ticks(first: int, last: int) -> tuple[tuple[float, str], ...]:
    """Some six whole steps between the first and the last, the first of them with the word
    itself."""
    if last <= first:
        return ((float(first), f"step {number(first)}"),)
    step = max(1, int(_nice((last - first) / 6)))
    begin = -(-first // step) * step
    places = range(begin, last + 1, step)
    return tuple((float(place), f"{'step ' * (place == begin)}{number(place)}") for place in places)


def number(value: float, digits: int = 4) -> str:
    """A number for people: few digits, thousands set apart, powers of ten where zeros would have to
    be counted."""
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
    return f"{number(share * 100, 3)} %"


def _nice(raw: float) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is not below `raw`."""
    power = 10.0 ** floor(log10(raw))
    return next(
        power * factor for factor in (1, 2, 2.5, 5, 10, 20) if power * factor >= raw * (1 - 1e-9)
    )


def _log_ticks(low: float, high: float) -> tuple[tuple[float, str], ...]:
    """The densest of the usual sets of ticks that has at most MOST_TICKS between two powers of
    ten."""
    low, high = max(low, DECADES[0]), min(high, DECADES[1])
    for mantissas in MANTISSAS:
        places = [
            decade + log10(mantissa)
            for decade in range(floor(low), ceil(high) + 1)
            for mantissa in mantissas
            if low - 1e-9 <= decade + log10(mantissa) <= high + 1e-9
        ]
        if len(places) <= MOST_TICKS:
            return tuple((place, number(10**place, 2)) for place in places)
    every = ceil((high - low) / MOST_TICKS)
    places = [float(decade) for decade in range(ceil(low), floor(high) + 1) if decade % every == 0]
    return tuple((place, number(10**place, 2)) for place in places)
