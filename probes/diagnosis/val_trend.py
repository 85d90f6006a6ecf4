"""Fits a smooth trend to a validation loss: the step at which it starts to rise, and by how much it
rises."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from probes.diagnosis.curves import SMOOTHING_WINDOW, centred_mean
from probes.record import Column, Steps

MAX_START_OVER_MINIMUM = 1.25
"""The fit starts where the smoothed loss first comes within this factor of its minimum. The fall
before that is too steep for the terms of the trend, and says nothing about the step at which the
loss starts to rise."""
MAX_STOP_OVER_MINIMUM = 1.01
"""Evaluations whose smoothed loss is within this factor of the minimum are equally good steps to
stop at."""
TERMS = 4
"""Number of terms of the trend (`trend_of`)."""
NOISE_WINDOW_SHARE = 0.2
"""The noise at an evaluation is estimated from this share of the run before it and the same share
after it."""
MIN_RELATIVE_NOISE = 1e-6
"""Lower bound on the estimated noise, relative to the mean loss."""
MAX_CORRELATION = 0.9
"""Upper bound on the estimated correlation of neighbouring residuals. Without this bound, one long
wave in the loss would make every rise insignificant."""


class Trend(NamedTuple):
    """A trend through the evaluations of a run.

    turn          the step at which the trend is lowest
    rise          the last value of the trend divided by its lowest value
    rise_errors   the rise in standard errors. The standard error accounts for noise that changes
                  during the run and for the autocorrelation of the residuals
    """

    turn: int
    rise: float
    rise_errors: float


class Stop(NamedTuple):
    """Where a run should have stopped, in steps.

    first, last   the first and last evaluation whose smoothed loss is within 1 % of its minimum
    step          the evaluation nearest to the turn of the trend, among those within 1 %
    """

    step: int
    first: int
    last: int


def trend_of(steps: Steps, losses: Column) -> Trend | None:
    """The trend through finite losses [n] above 0 at steps [n]: weighted least squares of
    a + b ln t + c t + d (ln t)^2. None when too few evaluations are left after the first steep
    fall.

    The terms describe a fall that slows down, followed by a rise that is steady or slows down. The
    tests check the turn on three families of curves that do not have this form, with the noise
    level that was measured in real runs."""
    origin = min(0.0, float(steps[0]))
    begin = 0
    if len(losses) >= SMOOTHING_WINDOW:
        smooth = centred_mean(losses)
        near = smooth <= MAX_START_OVER_MINIMUM * smooth.min()
        begin = int(np.argmax(near)) + SMOOTHING_WINDOW // 2
    steps, losses = steps[begin:], losses[begin:] / losses.max()  # keeps all squares finite
    if len(steps) <= 2 * TERMS:
        return None
    elapsed = np.asarray(steps - origin, dtype=np.float64)
    time = (elapsed + 1.0) / (elapsed[-1] + 1.0)
    log = np.log(time)
    terms = np.stack([np.ones_like(time), log, time, log * log], axis=1)
    residuals = losses - terms @ np.linalg.lstsq(terms, losses, rcond=None)[0]
    noise = _noise_along(residuals, float(losses.mean()))
    # Dividing by the noise gives each evaluation the weight of its precision.
    q = np.linalg.qr(terms / noise[:, None])[0]
    scaled = losses / noise
    fitted = q @ (q.T @ scaled)
    trend, weights = fitted * noise, q * noise[:, None]
    lowest = int(trend.argmin())
    # The columns of q are orthonormal, so
    # Var(trend[-1] - trend[lowest]) = s^2 |weights[-1] - weights[lowest]|^2.
    error = float(np.linalg.norm(weights[-1] - weights[lowest])) * _residual_error(scaled - fitted)
    rise = float(trend[-1] - trend[lowest])
    return Trend(
        turn=int(steps[lowest]),
        rise=float(trend[-1] / trend[lowest]),
        rise_errors=rise / error if error > 0 else 0.0,
    )


def stop_of(steps: Steps, losses: Column) -> Stop:
    """The step at which a run with validation losses [n] at steps [n] should have stopped. Raises
    ValueError for fewer than SMOOTHING_WINDOW evaluations."""
    smooth = centred_mean(losses)
    smooth_steps = steps[SMOOTHING_WINDOW // 2 : len(steps) - SMOOTHING_WINDOW // 2]
    good = smooth_steps[smooth <= MAX_STOP_OVER_MINIMUM * smooth.min()]
    trend = trend_of(steps, losses)
    turn = trend.turn if trend else smooth_steps[smooth.argmin()]
    return Stop(
        step=int(good[np.argmin(np.abs(good - turn))]), first=int(good[0]), last=int(good[-1])
    )


def _noise_along(residuals: Column, level: float) -> Column:
    """Standard deviation of the noise at each evaluation [n]. It is not constant: it falls with the
    learning rate, by a factor of four in a run.

    It is estimated as the root mean square of the residuals in a window around the evaluation, with
    residuals mirrored at both ends of the run, and is at least MIN_RELATIVE_NOISE times the
    level."""
    reach = max(SMOOTHING_WINDOW, int(NOISE_WINDOW_SHARE * len(residuals)))
    squares = np.square(np.pad(residuals, reach, mode="reflect"))
    total = np.concatenate([[0.0], np.cumsum(squares)])
    width = 2 * reach + 1
    mean_squares = (total[width:] - total[:-width]) / width
    noise: Column = np.sqrt(np.maximum(mean_squares, (MIN_RELATIVE_NOISE * level) ** 2))
    return noise


def _residual_error(scaled: Column) -> float:
    """Standard deviation of scaled residuals [n], increased for their correlation: n residuals with
    a lag-one correlation of rho are worth n (1 - rho) / (1 + rho) independent ones (Bartlett
    1935)."""
    square = float(scaled @ scaled)
    if square == 0:
        return 0.0
    rho = min(max(float(scaled[1:] @ scaled[:-1]) / square, 0.0), MAX_CORRELATION)
    return sqrt(square / (len(scaled) - TERMS) * (1 + rho) / (1 - rho))
