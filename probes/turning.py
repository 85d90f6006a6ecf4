"""Where a validation loss stops falling and begins to rise: a trend through its evaluations, its turn and its rise."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.smoothing import WINDOW, centred_mean

SETTLED = 1.25
"""The trend is fitted from where the smoothed curve first comes within this factor of its minimum: the fall before that
is steeper than any trend's and says nothing of the turn."""
WITHIN = 1.01
"""Evaluations whose smoothed loss is this close to the minimum are as good a place to stop."""
TERMS = 4
MOST_CORRELATED = 0.9
"""Neighbouring residuals count as correlated no more than this, or one long wave would hide every rise."""

Steps = npt.NDArray[np.integer]
Column = npt.NDArray[np.floating]


class Trend(NamedTuple):
    """A trend through a curve of evaluations.

    turn    the step where it is lowest
    rise    its end over its lowest point
    errors  that difference in standard errors, residuals taken to be autocorrelated as they are
    """

    turn: int
    rise: float
    errors: float


class Stop(NamedTuple):
    """Where to have stopped: of the evaluations whose smoothed loss is within 1 % of the lowest, the one nearest to
    the turn of the trend; and the first and the last of them. All in steps."""

    step: int
    first: int
    last: int


def trend_of(steps: Steps, losses: Column) -> Trend | None:
    """Least squares of a + b ln t + c t + d (ln t)^2: a fall that slows down, and a rise of either kind that sets in.

    steps [n] from 0, finite losses [n] above 0. None where too few evaluations are left after the first steep fall.
    The two kinds of rise, one that goes on steadily and one that slows down, let the fit follow curves that are
    neither: the tests hold its turn to curves of three families, with noise as measured.
    """
    begin = _settled(losses)
    steps, losses = steps[begin:], losses[begin:]
    if len(steps) <= 2 * TERMS:
        return None
    time = (steps + 1.0) / (steps[-1] + 1.0)
    log = np.log(time)
    basis = np.stack([np.ones_like(time), log, time, log * log], axis=1)
    q = np.linalg.qr(basis)[0]
    trend = q @ (q.T @ losses)
    lowest = int(trend.argmin())
    # Var(trend[-1] - trend[lowest]) = sigma^2 |q[-1] - q[lowest]|^2, the columns of q being orthonormal.
    leverage = float(np.linalg.norm(q[-1] - q[lowest]))
    error = leverage * _sigma(losses - trend)
    climb = float(trend[-1] - trend[lowest])
    errors = climb / error if error > 0 else (np.inf if climb > 0 else 0.0)
    return Trend(int(steps[lowest]), float(trend[-1] / trend[lowest]), errors)


def stop_of(steps: Steps, losses: Column) -> Stop:
    """Where a run with this validation loss should have stopped. Raises ValueError for under five evaluations."""
    smooth = centred_mean(losses)
    at = steps[WINDOW // 2 : len(steps) - WINDOW // 2]
    good = at[smooth <= WITHIN * smooth.min()]
    trend = trend_of(steps, losses)
    turn = trend.turn if trend else at[smooth.argmin()]
    return Stop(int(good[np.argmin(np.abs(good - turn))]), int(good[0]), int(good[-1]))


def _settled(losses: Column) -> int:
    """The first evaluation that belongs to the trend; all of them when there are too few to smooth."""
    if len(losses) < WINDOW:
        return 0
    smooth = centred_mean(losses)
    return int(np.argmax(smooth <= SETTLED * smooth.min())) + WINDOW // 2


def _sigma(residuals: Column) -> float:
    """Standard deviation of residuals as it enters an estimate from all of them: n residuals of lag-one correlation
    rho tell as much as n (1 - rho) / (1 + rho) independent ones (Bartlett 1935)."""
    square = float(residuals @ residuals)
    if square == 0:
        return 0.0
    rho = min(max(float(residuals[1:] @ residuals[:-1]) / square, 0.0), MOST_CORRELATED)
    return sqrt(square / (len(residuals) - TERMS) * (1 + rho) / (1 - rho))
