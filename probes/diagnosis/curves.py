"""The course of a noisy curve: its levels along the way, how well each is known, and whether it
fell.

A curve is cut into at most twenty stretches of as many points each, so that what is said of it
depends neither on how often it was logged nor on its unit. A stretch's level is its median, its
noise is told by neighbouring points, and both bear points that are sick themselves (Hampel 1974;
Rice 1984)."""

from __future__ import annotations

from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Record, Steps

STRETCHES = 20
POINTS = 5
"""In a stretch, at least: the median of fewer is anybody's guess."""
FEWEST = 4
"""Stretches: twenty points, which a loss has to have to be judged at all, are cut in four."""
TO_SIGMA = 1.4826
"""Median of absolute deviations -> standard deviation, for Gaussian noise (Hampel 1974)."""
OF_MEDIAN = 1.2533
"""Standard error of a median over that of a mean, sqrt(pi / 2) for Gaussian noise."""
ERRORS = 3.0
"""Standard errors by which a curve must have fallen to have fallen."""
ERRORS_OF_FEW = 6.0
"""As many when the start is fewer than POINTS points, which noise with heavy tails reaches
alone."""
DUST = 2.0**-23
"""Of its level, within which a curve is constant: single precision resolves no less."""
ENOUGH = 100
"""Points at least of which noise with a memory is told from a fall: of fewer, what falls smoothly
looks like it."""
FORGOTTEN = 1.2
"""Growth of a median difference with twice the lag: sqrt(2) for what is smoothed or wanders, 1 for
noise of its own."""


class Course(NamedTuple):
    """Stretches of a curve, in order; arrays of one entry for each, [B].

    begin, end   their first and their last step
    level        median of their points
    sigma        standard deviation of one point around it
    error        standard error of the level
    """

    begin: Steps
    end: Steps
    level: Column
    sigma: Column
    error: Column


def finite(steps: Steps, values: Column) -> tuple[Steps, Column]:
    """The points whose value is finite."""
    kept = np.isfinite(values)
    return steps[kept], values[kept]


def course(steps: Steps, values: Column) -> Course | None:
    """The course of finite values [n] at steps [n]; None for fewer than FEWEST * POINTS of them."""
    count = len(values)
    if count < FEWEST * POINTS:
        return None
    edges = np.linspace(0, count, min(STRETCHES, count // POINTS) + 1).round().astype(int)
    spans = list(pairwise(edges))
    jumps = np.abs(np.diff(values, prepend=values[:1]))
    level = np.array([np.median(values[i:j]) for i, j in spans])
    # From its own points and those of its neighbours: of five differences alone no deviation is
    # known.
    around = zip(np.r_[0, edges[:-2]], np.r_[edges[2:], count], strict=True)
    sigma = np.array([TO_SIGMA / sqrt(2) * np.median(jumps[max(i, 1) : j]) for i, j in around])
    return Course(
        steps[edges[:-1]], steps[edges[1:] - 1], level, sigma, _error(sigma, np.diff(edges))
    )


def training_loss(evidence: Evidence) -> tuple[Steps, Column, Course]:
    """The finite points of a run's training loss, and their course. Raises CannotJudgeError for too
    few of them."""
    steps, losses = finite(*evidence.series(evidence.of_loss))
    path = course(steps, losses)
    if path is None:
        raise CannotJudgeError(
            f"{len(losses)} finite points of {evidence.of_loss}; {FEWEST * POINTS} are needed"
        )
    return steps, losses, path


def beginning(path: Course, values: Column) -> float:
    """The level at which a curve began: that of its first stretch, or of its first POINTS points
    where it is higher.

    Some fall far within the first stretch; and what begins high has to end higher to have risen.
    """
    return max(float(path.level[0]), float(np.median(values[:POINTS])))


def memory(values: Column) -> int:
    """Points after which a curve's noise has forgotten itself, a power of 2: 1, but for what was
    smoothed before.

    Differences of points so far apart are hardly smaller than of points twice as far; as far as two
    stretches at most."""
    lag, most = 1, max(1, 2 * len(values) // STRETCHES)
    while 2 * lag <= most and _apart(values, 2 * lag) > FORGOTTEN * _apart(values, lag):
        lag *= 2
    return lag


def wander(path: Course, values: Column) -> Column:
    """The standard error of each stretch's level [B] that allows for noise with a memory, as
    running means have."""
    lag = memory(values)
    if lag == 1:
        return path.error
    sigma = TO_SIGMA / sqrt(2) * _apart(values, lag)
    return np.maximum(path.error, _error(sigma, max(1.0, len(values) / len(path.level) / lag)))


def _apart(values: Column, lag: int) -> float:
    return float(np.median(np.abs(values[lag:] - values[:-lag])))


def fell(values: Column) -> bool:
    """Whether a curve ends below where it began by more than its noise; False for too few finite
    points to say.

    Two questions, since some learn all there is to learn before the second point and others take
    the whole run: whether its first one, two, four, ... points, up to a quarter, lie above its last
    quarter, by their medians; and whether it falls along the way, by rank against the logarithm of
    time (Spearman 1904), of which no single point makes much."""
    values = values[np.isfinite(values)]
    path = course(np.arange(len(values)), values)
    if path is None or np.ptp(values) <= DUST * np.abs(path.level).max():
        return False
    quarter, ends = len(values) // 4, max(1, len(path.level) // 4)
    lag = memory(values) if len(values) >= ENOUGH else 1
    # Noise that remembers is seen between points far apart only, and so many of them tell no more
    # than one. The first
    # points of a running mean have fewer behind them: they are divided by as many as the others,
    # and so none too sure.
    sigma = (
        path.sigma if lag == 1 else np.maximum(path.sigma, TO_SIGMA / sqrt(2) * _apart(values, lag))
    )
    end = float(np.median(values[-quarter:]))
    end_error = float(_error(np.median(sigma[-ends:]), max(1.0, quarter / lag)))
    for length in sorted({quarter, *(2**k for k in range(quarter.bit_length()))}):
        few = length < POINTS * lag
        start_error = float(
            _error(sigma[0] if few and lag == 1 else np.median(sigma[:ends]), length / lag)
        )
        fall = float(np.median(values[:length])) - end
        if fall > (ERRORS_OF_FEW if few else ERRORS) * float(np.hypot(start_error, end_error)):
            return True
    return fall > 0 and falling(values) > ERRORS * sqrt(lag)


def falling(values: Column) -> float:
    """How surely a curve falls with the logarithm of time: minus Spearman's correlation, in
    standard errors."""
    ranks = ranked(values) - (len(values) + 1) / 2
    time = np.log(np.arange(1, len(values) + 1))
    time -= time.mean()
    size = float(np.linalg.norm(ranks) * np.linalg.norm(time))
    return -float(ranks @ time) / size * sqrt(len(values) - 1) if size else 0.0


def ranked(values: Column) -> Column:
    """The rank of each value, from 1; the mean of their ranks for those that are equal."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def _error(sigma: npt.ArrayLike, points: npt.ArrayLike) -> Column:
    return np.asarray(OF_MEDIAN * np.asarray(sigma) / np.sqrt(points))


WINDOW = 5
"""Evaluations in the mean; wide enough to steady the minimum of val, narrow enough not to move
it."""


def centred_mean(values: npt.ArrayLike, window: int = WINDOW) -> npt.NDArray[np.float64]:
    """Mean of `window` neighbours at each point that has them all: [n] -> [n - window + 1], first
    at (window - 1) / 2.

    A run's smoothed end is therefore the mean of its last `window` evaluations. Raises ValueError
    for an even window or for fewer values than one window."""
    array = np.asarray(values, dtype=np.float64)
    if window < 1 or window % 2 == 0:
        raise ValueError(f"window is {window}; a centred mean needs an odd one")
    if len(array) < window:
        raise ValueError(f"{len(array)} values; a centred mean of {window} needs at least as many")
    return np.convolve(array, np.full(window, 1 / window), mode="valid")


def first_step_below(record: Record, signal: str, site: str, level: float) -> float:
    """First step at which a signal's smoothed curve is below a level; infinity when it never is."""
    steps, values = record.series(signal, site)
    smooth = centred_mean(values)
    below = np.flatnonzero(smooth < level)
    return float(steps[below[0] + (len(values) - len(smooth)) // 2]) if below.size else float("inf")
