"""Where a validation loss stops falling and begins to rise: a trend through its evaluations, its
turn and its rise."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.diagnosis.curves import WINDOW, centred_mean

SETTLED = 1.25
"""The trend is fitted from where the smoothed curve first comes within this factor of its minimum:
the fall before that is steeper than any trend's and says nothing of the turn."""
WITHIN = 1.01
"""Evaluations whose smoothed loss is this close to the minimum are as good a place to stop."""
TERMS = 4
LOCAL = 0.2
"""Share of the run, to either side, over which the noise around an evaluation is measured."""
EXACT = 1e-6
"""Relative noise below which evaluations count as exact."""
MOST_CORRELATED = 0.9
"""Neighbouring residuals count as correlated no more than this, or one long wave would hide every
rise."""

Steps = npt.NDArray[np.integer]
Column = npt.NDArray[np.floating]


class Trend(NamedTuple):
    """A trend through a curve of evaluations.

    turn    the step where it is lowest
    rise    its end over its lowest point
    errors  that difference in standard errors, the noise taken to vary and to be autocorrelated as
            its residuals are
    """

    turn: int
    rise: float
    errors: float


class Stop(NamedTuple):
    """Where to have stopped: of the evaluations whose smoothed loss is within 1 % of the lowest,
    the one nearest to the turn of the trend; and the first and the last of them. All in steps."""

    step: int
    first: int
    last: int


def trend_of(steps: Steps, losses: Column) -> Trend | None:
    """Weighted least squares of a + b ln t + c t + d (ln t)^2: a fall that slows down, a rise of
    either kind after it.

    steps [n] from 0, finite losses [n] above 0. None where too few evaluations are left after the
    first steep fall. The two kinds of rise, one that goes on steadily and one that slows down, let
    the fit follow curves that are neither: the tests hold its turn to curves of three families,
    with noise as measured."""
    begin = _settled(losses)
    steps, losses = steps[begin:], losses[begin:]
    if len(steps) <= 2 * TERMS:
        return None
    basis = _basis(steps)
    sigma = _spread(
        losses - basis @ np.linalg.lstsq(basis, losses, rcond=None)[0], float(losses.mean())
    )
    q = np.linalg.qr(basis / sigma[:, None])[0]
    scaled = losses / sigma
    fitted = q @ (q.T @ scaled)
    trend, lift = fitted * sigma, q * sigma[:, None]
    lowest = int(trend.argmin())
    # Var(trend[-1] - trend[lowest]) = s^2 |lift[-1] - lift[lowest]|^2, the columns of q being
    # orthonormal.
    error = float(np.linalg.norm(lift[-1] - lift[lowest])) * _noise(scaled - fitted)
    climb = float(trend[-1] - trend[lowest])
    return Trend(
        int(steps[lowest]), float(trend[-1] / trend[lowest]), climb / error if error > 0 else 0.0
    )


def stop_of(steps: Steps, losses: Column) -> Stop:
    """Where a run with this validation loss should have stopped. Raises ValueError for under five
    evaluations."""
    smooth = centred_mean(losses)
    at = steps[WINDOW // 2 : len(steps) - WINDOW // 2]
    good = at[smooth <= WITHIN * smooth.min()]
    trend = trend_of(steps, losses)
    turn = trend.turn if trend else at[smooth.argmin()]
    return Stop(int(good[np.argmin(np.abs(good - turn))]), int(good[0]), int(good[-1]))


def _settled(losses: Column) -> int:
    """The first evaluation that belongs to the trend; all of them when there are too few to
    smooth."""
    if len(losses) < WINDOW:
        return 0
    smooth = centred_mean(losses)
    return int(np.argmax(smooth <= SETTLED * smooth.min())) + WINDOW // 2


def _basis(steps: Steps) -> Column:
    """The terms of the trend at each step: [n, 4]."""
    time = (steps + 1.0) / (steps[-1] + 1.0)
    log = np.log(time)
    return np.stack([np.ones_like(time), log, time, log * log], axis=1)


def _spread(residuals: Column, level: float) -> Column:
    """Standard deviation around each evaluation: noise falls with the learning rate, and by a
    factor of four in a run.

    Root mean square over LOCAL of the run to either side, mirrored at its ends; never quite 0.
    """
    reach = max(WINDOW, int(LOCAL * len(residuals)))
    square = np.square(np.pad(residuals, reach, mode="reflect"))
    total = np.concatenate([[0.0], np.cumsum(square)])
    width = 2 * reach + 1
    spread: Column = np.sqrt(
        np.maximum((total[width:] - total[:-width]) / width, (EXACT * level) ** 2)
    )
    return spread


def _noise(scaled: Column) -> float:
    """Standard deviation of scaled residuals as it enters an estimate from all of them: n residuals
    of lag-one correlation rho tell as much as n (1 - rho) / (1 + rho) independent ones (Bartlett
    1935)."""
    square = float(scaled @ scaled)
    if square == 0:
        return 0.0
    rho = min(max(float(scaled[1:] @ scaled[:-1]) / square, 0.0), MOST_CORRELATED)
    return sqrt(square / (len(scaled) - TERMS) * (1 + rho) / (1 - rho))
