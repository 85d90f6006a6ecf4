"""Estimates for a noisy curve: its level in each segment, its noise, and whether it fell.

A curve is cut into at most twenty segments with the same number of points, so that no result
depends on the unit of the curve or on how often it was logged. The level of a segment is the median
of its points. The noise of a segment is estimated from the differences of neighbouring points. Both
estimates tolerate outliers (Hampel 1974; Rice 1984)."""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.common.arrays import median
from probes.record import Column, Steps

MAX_SEGMENTS = 20
"""A curve is cut into at most this many segments."""
MIN_SEGMENTS = 4
"""A curve that is cut has at least this many segments, so that each quarter holds one or more."""
MIN_SEGMENT_POINTS = 5
"""Minimum number of points in a segment. The median of fewer is not reliable."""
MIN_POINTS = MIN_SEGMENTS * MIN_SEGMENT_POINTS
"""Minimum number of points of a curve that is cut into segments: 20."""
MAD_TO_SIGMA = 1.4826
"""Median absolute deviation -> standard deviation, for Gaussian noise (Hampel 1974)."""
MEDIAN_ERROR_FACTOR = 1.2533
"""Standard error of a median divided by that of a mean: sqrt(pi / 2) for Gaussian noise."""
MIN_FALL_ERRORS = 3.0
"""A curve counts as fallen if it falls by this many standard errors, either in a rank test on all
points or from its first points to its last quarter."""
MIN_FALL_ERRORS_FEW_POINTS = 6.0
"""Replaces MIN_FALL_ERRORS if the start of the curve is the median of fewer than MIN_SEGMENT_POINTS
points: heavy-tailed noise alone then reaches three standard errors."""
FLOAT32_RESOLUTION = 2.0**-23
"""A curve with less relative variation than this counts as constant, since single precision cannot
resolve the variation."""
MIN_POINTS_FOR_CORRELATION = 100
"""Minimum number of points for estimating the correlation of noise. In a shorter curve a smooth
fall looks like correlated noise."""
MAX_GROWTH_UNCORRELATED = 1.2
"""Noise counts as uncorrelated if the median difference between points grows by at most this factor
when their distance doubles. The factor is 1 for independent noise and sqrt(2) for smoothed noise or
a random walk."""
MAX_DECIMALS = 6
"""A log counts as rounded if its values have at most this many decimals."""
LARGE_VALUE_QUANTILE = 0.9
"""This quantile of a curve is taken as the size of its larger values. The maximum is not used,
because the curve may be diverging."""
SMOOTHING_WINDOW = 5
"""Number of evaluations in each mean of a smoothed validation loss: enough to make the position of
the minimum stable, too few to shift it."""


class Segments(NamedTuple):
    """The B segments of a curve in order. Each array has one entry per segment: [B].

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
    """The finite points of a signal: `steps` [n] and `values` [n]. Each property is computed once,
    when it is first used."""

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
        """The curve cut into segments. Raises ValueError for fewer than MIN_POINTS points."""
        if not self.has_segments:
            raise ValueError(f"{len(self)} points; segments need {MIN_POINTS}")
        count, values = len(self), self.values
        number = min(MAX_SEGMENTS, count // MIN_SEGMENT_POINTS)
        edges = np.linspace(0, count, number + 1).round().astype(int)
        level = np.array([median(values[i:j]) for i, j in pairwise(edges)])
        # A segment of five points has too few differences to estimate a standard deviation, so the
        # differences in the neighbouring segments are used as well.
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
    def late_level(self) -> float:
        """The median of the second half of the curve."""
        return float(median(self.values[len(self) // 2 :]))

    @cached_property
    def start_level(self) -> float:
        """The level at which the curve began: the median of the first segment or of the first
        MIN_SEGMENT_POINTS points, whichever is higher. A loss may fall far within the first
        segment. The higher level ensures that such a loss counts as risen only if it ends above its
        first points."""
        return max(float(self.segments.level[0]), float(median(self.values[:MIN_SEGMENT_POINTS])))

    @cached_property
    def correlation_length(self) -> int:
        """Distance in points beyond which the noise is uncorrelated. It is a power of 2, and 1
        unless the curve was smoothed before it was logged.

        It is the first distance at which the median difference between points stops growing when
        the distance is doubled. Distances of up to two segments are tried."""
        lag, longest = 1, max(1, 2 * len(self) // MAX_SEGMENTS)
        while 2 * lag <= longest and _median_difference(
            self.values, 2 * lag
        ) > MAX_GROWTH_UNCORRELATED * _median_difference(self.values, lag):
            lag *= 2
        return lag

    @cached_property
    def level_error(self) -> Column:
        """Standard error of each segment's level [B], valid also for correlated noise such as that
        of a running mean."""
        segments, lag = self.segments, self.correlation_length
        if lag == 1:
            return segments.error
        independent_points = max(1.0, len(self) / len(segments.level) / lag)
        return np.maximum(
            segments.error, median_error(noise_at_lag(self.values, lag), independent_points)
        )

    @cached_property
    def fall_z(self) -> float:
        """The number of standard errors by which the curve falls (function `fall_z`)."""
        return fall_z(self.values)

    @cached_property
    def fell(self) -> bool:
        """Whether the curve ends below where it began by more than its noise; False for fewer than
        MIN_POINTS points.

        Some runs learn all they can before the second point and others need the whole run, so
        there are two tests, of which one must pass. (1) The median of the first 1, 2, 4, ...
        points, up to a quarter of the curve, lies above the median of the last quarter. (2) The
        curve falls in a rank test on all points (`fall_z`), in which no single point has much
        influence."""
        if not self.has_segments:
            return False
        segments, values = self.segments, self.values
        if np.ptp(values) <= FLOAT32_RESOLUTION * np.abs(segments.level).max():
            return False
        quarter, ends = len(values) // 4, max(1, len(segments.level) // 4)
        lag = self.correlation_length if len(values) >= MIN_POINTS_FOR_CORRELATION else 1
        # Correlated noise is visible only between points that are `lag` apart, so `lag` points
        # count as one. The first points of a running mean are noisier, because they are means of
        # fewer values; dividing their number by the same lag makes the test conservative.
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
            least = MIN_FALL_ERRORS_FEW_POINTS if few else MIN_FALL_ERRORS
            if fall > least * float(np.hypot(start_error, end_error)):
                return True
        return fall > 0 and self.fall_z > MIN_FALL_ERRORS * sqrt(lag)


def fell(values: Column) -> bool:
    """Whether a series of values fell (`Curve.fell`)."""
    return Curve(np.arange(len(values)), values).fell


def median_error(noise: npt.ArrayLike, points: npt.ArrayLike) -> Column:
    """Standard error of the median of `points` points, each with a standard deviation of
    `noise`."""
    return np.asarray(MEDIAN_ERROR_FACTOR * np.asarray(noise) / np.sqrt(points))


def noise_at_lag(values: Column, lag: int = 1) -> float:
    """Standard deviation of a single value, from the differences of values that are `lag` points
    apart."""
    return MAD_TO_SIGMA / sqrt(2) * _median_difference(values, lag)


def noise_around_trend(values: Column) -> float:
    """Standard deviation of a single value around a curve that falls or rises, from second
    differences."""
    return MAD_TO_SIGMA / sqrt(6) * float(median(np.abs(np.diff(values, 2))))


def _median_difference(values: Column, lag: int) -> float:
    return float(median(np.abs(values[lag:] - values[:-lag])))


def fall_z(values: Column) -> float:
    """The number of standard errors by which a curve falls: minus the correlation of the ranks of
    its values (Spearman 1904) with the logarithm of time, times sqrt(n - 1). Negative for a curve
    that rises."""
    ranks = mean_ranks(values) - (len(values) + 1) / 2
    time = np.log(np.arange(1, len(values) + 1))
    time -= time.mean()
    size = float(np.linalg.norm(ranks) * np.linalg.norm(time))
    return -float(ranks @ time) / size * sqrt(len(values) - 1) if size else 0.0


def mean_ranks(values: Column) -> Column:
    """The rank of each value, counted from 1. Equal values get the mean of their ranks."""
    ordered = np.sort(values)
    first, last = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return (first + 1 + last) / 2


def rounding_step(values: Column) -> float:
    """The smallest difference that a rounded log can show: 0.001 for three decimals; 0 for a log
    that was not rounded. The number of decimals is taken from the first hundred values."""
    texts = (repr(value).partition("e") for value in values[:100].tolist())
    decimals = max(
        len(digits.partition(".")[2]) - int(exponent or 0) for digits, _, exponent in texts
    )
    return 10.0**-decimals if decimals <= MAX_DECIMALS else 0.0


def smallest_shown_by(values: Column) -> float:
    """The smallest value above 0 that a log of these values [n], which are >= 0, can show.

    In a rounded log it is one unit of the last digit. It is at least the float32 rounding error of
    the larger values, because a loss near 0 is often the difference of two larger numbers."""
    finite = values[np.isfinite(values)]
    resolved = (
        FLOAT32_RESOLUTION * float(np.quantile(finite, LARGE_VALUE_QUANTILE))
        if finite.size
        else 0.0
    )
    for decimals in range(MAX_DECIMALS + 1):
        scaled = finite * 10.0**decimals
        if (np.abs(scaled - np.round(scaled)) <= FLOAT32_RESOLUTION * scaled).all():
            return max(resolved, 10.0**-decimals)
    return resolved


def centred_mean(values: npt.ArrayLike, window: int = SMOOTHING_WINDOW) -> npt.NDArray[np.float64]:
    """Moving mean over `window` points: [n] -> [n - window + 1]. Each mean belongs to the point in
    the middle of its window, so the first one belongs to the point at index (window - 1) / 2.

    Raises ValueError for an even window or for fewer values than one window."""
    array = np.asarray(values, dtype=np.float64)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window is {window}; a centred mean needs an odd window")
    if len(array) < window:
        raise ValueError(f"{len(array)} values; a centred mean of {window} needs {window} or more")
    return np.convolve(array, np.full(window, 1 / window), mode="valid")


def first_step_below(steps: Steps, values: Column, level: float) -> float:
    """The first step at which the smoothed curve (`centred_mean`) is below a level; infinity if it
    never falls below."""
    below = np.flatnonzero(centred_mean(values) < level)
    return float(steps[below[0] + SMOOTHING_WINDOW // 2]) if below.size else float("inf")
