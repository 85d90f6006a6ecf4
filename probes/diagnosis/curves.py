"""What can be read off a noisy curve: its level along the way, its noise, and whether it fell.

A curve is cut into at most twenty segments of equally many points, so that no result depends on how
often it was logged or on its unit. The level of a segment is the median of its points, and its
noise is estimated from the differences of neighbouring points. Both estimates tolerate outliers
(Hampel 1974; Rice 1984)."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.common.arrays import median
from probes.record import Column, Steps

MAX_SEGMENTS = 20
MIN_SEGMENTS = 4
MIN_SEGMENT_POINTS = 5
"""Points in a segment at least; the median of fewer is not reliable."""
MIN_POINTS = MIN_SEGMENTS * MIN_SEGMENT_POINTS
"""Points that a curve needs to be cut into segments: 20."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviation -> standard deviation, for Gaussian noise (Hampel 1974)."""
MEDIAN_ERROR_FACTOR = 1.2533
"""Standard error of a median over that of a mean: sqrt(pi / 2) for Gaussian noise."""
MIN_FALL_ERRORS = 3.0
"""Standard errors by which a curve must fall along the way, or from its first points to its last
quarter, to count as fallen."""
MIN_FALL_ERRORS_OF_FEW = 6.0
"""The same from a start of fewer than MIN_SEGMENT_POINTS points, where noise with heavy tails alone
reaches three standard errors."""
FLOAT32_RESOLUTION = 2.0**-23
"""Relative variation of a curve that single precision cannot resolve: such a curve is constant."""
MIN_POINTS_FOR_CORRELATION = 100
"""Points from which correlated noise can be told from a fall. In a shorter curve a smooth fall
looks like correlated noise."""
MAX_GROWTH_UNCORRELATED = 1.2
"""Growth of the median difference between points when their distance doubles, up to which noise
counts as uncorrelated. It is 1 for independent noise, sqrt(2) for smoothed noise or a random
walk."""
MAX_DECIMALS = 6
"""Decimals up to which a log counts as rounded."""
SMOOTHING_WINDOW = 5
"""Evaluations in a smoothed validation loss: enough to steady its minimum, too few to move it."""


class Segments(NamedTuple):
    """The segments of a curve in order, one entry of each array for each segment: [B].

    first_step   step of the first point
    last_step    step of the last point
    level        median of the points
    noise        standard deviation of a single point around the level
    error        standard error of the level, for independent noise
    """

    first_step: Steps
    last_step: Steps
    level: Column
    noise: Column
    error: Column


class Curve:
    """The finite points of a signal: `steps` [n] and `values` [n]. Every property is computed when
    it is first used, and once."""

    def __init__(self, steps: Steps, values: Column) -> None:
        finite = np.isfinite(values)
        self.steps: Steps = steps[finite]
        self.values: Column = values[finite]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def has_segments(self) -> bool:
        """Whether there are enough points to cut the curve into segments."""
        return len(self) >= MIN_POINTS

    @cached_property
    def segments(self) -> Segments:
        """The segments. Raises ValueError for fewer than MIN_POINTS points."""
        if not self.has_segments:
            raise ValueError(f"{len(self)} points; segments need {MIN_POINTS}")
        count, values = len(self), self.values
        number = min(MAX_SEGMENTS, count // MIN_SEGMENT_POINTS)
        edges = np.linspace(0, count, number + 1).round().astype(int)
        level = np.array([median(values[i:j]) for i, j in pairwise(edges)])
        # The five differences of one segment do not determine a deviation, so those of the
        # neighbouring segments are used as well.
        differences = np.abs(np.diff(values, prepend=values[:1]))
        around = zip(np.r_[0, edges[:-2]], np.r_[edges[2:], count], strict=True)
        noise = np.array(
            [MAD_TO_SIGMA / sqrt(2) * median(differences[max(i, 1) : j]) for i, j in around]
        )
        return Segments(
            first_step=self.steps[edges[:-1]],
            last_step=self.steps[edges[1:] - 1],
            level=level,
            noise=noise,
            error=median_error(noise, np.diff(edges)),
        )

    @cached_property
    def start_level(self) -> float:
        """The level at which the curve began: that of the first segment or of the first
        MIN_SEGMENT_POINTS points, whichever is higher. A loss may fall far within the first
        segment, and one that began high has risen only if it ends higher."""
        return max(float(self.segments.level[0]), float(median(self.values[:MIN_SEGMENT_POINTS])))

    @cached_property
    def correlation_length(self) -> int:
        """Distance in points beyond which the noise is uncorrelated: a power of 2, and 1 unless the
        curve was smoothed before it was logged.

        At that distance the median difference between points no longer grows when the distance is
        doubled. Distances of up to two segments are tried."""
        lag, longest = 1, max(1, 2 * len(self) // MAX_SEGMENTS)
        while 2 * lag <= longest and _median_difference(
            self.values, 2 * lag
        ) > MAX_GROWTH_UNCORRELATED * _median_difference(self.values, lag):
            lag *= 2
        return lag

    @cached_property
    def level_error(self) -> Column:
        """Standard error of each segment's level [B] that allows for correlated noise, as running
        means have it."""
        segments, lag = self.segments, self.correlation_length
        if lag == 1:
            return segments.error
        independent_points = max(1.0, len(self) / len(segments.level) / lag)
        return np.maximum(
            segments.error, median_error(noise_at_lag(self.values, lag), independent_points)
        )

    @cached_property
    def fall_z(self) -> float:
        """How many standard errors the curve falls: `fall_z` of its values."""
        return fall_z(self.values)

    @cached_property
    def fell(self) -> bool:
        """Whether the curve ends below where it began by more than its noise; False for fewer than
        MIN_POINTS points.

        Two tests, since some runs learn all there is to learn before the second point and others
        need the whole run. Either the median of the first 1, 2, 4, ... points, up to a quarter of
        the curve, lies above the median of the last quarter; or the curve falls along the way
        (`fall_z`), a rank test on which no single point has much influence."""
        if not self.has_segments:
            return False
        segments, values = self.segments, self.values
        if np.ptp(values) <= FLOAT32_RESOLUTION * np.abs(segments.level).max():
            return False
        quarter, ends = len(values) // 4, max(1, len(segments.level) // 4)
        lag = self.correlation_length if len(values) >= MIN_POINTS_FOR_CORRELATION else 1
        # Correlated noise shows only between points that are `lag` apart, and `lag` points count as
        # one. The first points of a running mean are means of fewer values and noisier; dividing
        # their number by the same lag keeps the test on the safe side.
        noise = (
            segments.noise if lag == 1 else np.maximum(segments.noise, noise_at_lag(values, lag))
        )
        end = float(median(values[-quarter:]))
        end_error = float(median_error(median(noise[-ends:]), max(1.0, quarter / lag)))
        for length in sorted({quarter, *(2**k for k in range(quarter.bit_length()))}):
            few = length < MIN_SEGMENT_POINTS * lag
            start_noise = noise[0] if few and lag == 1 else median(noise[:ends])
            start_error = float(median_error(start_noise, length / lag))
            fall = float(median(values[:length])) - end
            least = MIN_FALL_ERRORS_OF_FEW if few else MIN_FALL_ERRORS
            if fall > least * float(np.hypot(start_error, end_error)):
                return True
        return fall > 0 and self.fall_z > MIN_FALL_ERRORS * sqrt(lag)


def fell(values: Column) -> bool:
    """Whether a series of values fell (`Curve.fell`)."""
    return Curve(np.arange(len(values)), values).fell


def median_error(noise: npt.ArrayLike, points: npt.ArrayLike) -> Column:
    """Standard error of the median of so many points, each with a standard deviation of `noise`."""
    return np.asarray(MEDIAN_ERROR_FACTOR * np.asarray(noise) / np.sqrt(points))


def noise_at_lag(values: Column, lag: int = 1) -> float:
    """Standard deviation of a single value, from the differences of values that are `lag` apart."""
    return MAD_TO_SIGMA / sqrt(2) * _median_difference(values, lag)


def noise_around_trend(values: Column) -> float:
    """Standard deviation of a single value around a curve that falls or rises, from second
    differences."""
    return MAD_TO_SIGMA / sqrt(6) * float(median(np.abs(np.diff(values, 2))))


def _median_difference(values: Column, lag: int) -> float:
    return float(median(np.abs(values[lag:] - values[:-lag])))


def fall_z(values: Column) -> float:
    """How many standard errors a curve falls with the logarithm of time: minus Spearman's rank
    correlation (1904), times sqrt(n - 1). Negative for a curve that rises."""
    ranks = mean_ranks(values) - (len(values) + 1) / 2
    time = np.log(np.arange(1, len(values) + 1))
    time -= time.mean()
    size = float(np.linalg.norm(ranks) * np.linalg.norm(time))
    return -float(ranks @ time) / size * sqrt(len(values) - 1) if size else 0.0


def mean_ranks(values: Column) -> Column:
    """The rank of each value, from 1; equal values share the mean of their ranks."""
    ordered = np.sort(values)
    first, last = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (first + 1 + last) / 2


def rounding_step(values: Column) -> float:
    """The last digit of a log that was rounded, as a number: 0.001 for three decimals; 0 for a log
    that was not rounded. The decimals of the first hundred values tell."""
    decimals = max(-int(Decimal(repr(float(v))).as_tuple().exponent) for v in values[:100])
    return 10.0**-decimals if decimals <= MAX_DECIMALS else 0.0


def centred_mean(values: npt.ArrayLike, window: int = SMOOTHING_WINDOW) -> npt.NDArray[np.float64]:
    """Mean of `window` neighbours around each point that has them all: [n] -> [n - window + 1]. The
    first mean belongs to the point at (window - 1) / 2, and the last is over the last `window`
    points.

    Raises ValueError for an even window or for fewer values than one window."""
    array = np.asarray(values, dtype=np.float64)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window is {window}; a centred mean needs an odd one")
    if len(array) < window:
        raise ValueError(f"{len(array)} values; a centred mean of {window} needs at least as many")
    return np.convolve(array, np.full(window, 1 / window), mode="valid")


def first_step_below(steps: Steps, values: Column, level: float) -> float:
    """First step at which the smoothed curve (`centred_mean`) is below a level; infinity when it
    never is."""
    below = np.flatnonzero(centred_mean(values) < level)
    return float(steps[below[0] + SMOOTHING_WINDOW // 2]) if below.size else float("inf")
