"""Where a validation loss stops falling and begins to rise: the turn of its trend, and the step to have stopped at."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.smoothing import WINDOW, centred_mean

SETTLED = 1.25
"""The trend is fitted from where the smoothed curve first comes within this factor of its minimum: the fall before it
is steeper than any trend's and says nothing of the turn."""
WITHIN = 1.01
"""Steps whose smoothed loss is this close to the minimum are as good a place to stop."""
TERMS = 4

Steps = npt.NDArray[np.integer]
Column = npt.NDArray[np.floating]


class Turn(NamedTuple):
    """The turn of a validation loss, all in steps.

    turn   where its trend is lowest: the better estimate of where generalisation began to suffer
    stop   of the evaluations whose smoothed loss is within 1 % of the lowest, the one nearest to the turn
    first, last   of those evaluations
    """

    turn: int
    stop: int
    first: int
    last: int


def turn_of(steps: Steps, losses: Column) -> Turn:
    """The turn of a curve of evaluations: steps [n], finite losses [n] above 0.

    Raises ValueError for fewer evaluations than one smoothing window.
    """
    smooth = centred_mean(losses)
    at = steps[WINDOW // 2 : len(steps) - WINDOW // 2]
    good = at[smooth <= WITHIN * smooth.min()]
    turn = _trend_minimum(steps, losses, int(np.argmax(smooth <= SETTLED * smooth.min())) + WINDOW // 2)
    return Turn(turn, int(good[np.argmin(np.abs(good - turn))]), int(good[0]), int(good[-1]))


def _trend_minimum(steps: Steps, losses: Column, begin: int) -> int:
    """Least squares of a + b ln t + c t + d (ln t)^2 from `begin` on: a fall that slows down and a rise that sets in.

    The two shapes of a rise, one that goes on steadily and one that slows down, let the fit follow curves that are
    neither: on three families of curves with the noise of our runs its minimum costs at most 1 % (docs/why.md).
    """
    steps, losses = steps[begin:], losses[begin:]
    if len(steps) <= TERMS:
        return int(steps[losses.argmin()])
    time = (steps + 1.0) / (steps[-1] + 1.0)
    log = np.log(time)
    basis = np.stack([np.ones_like(time), log, time, log * log], axis=1)
    trend = basis @ np.linalg.lstsq(basis, losses, rcond=None)[0]
    return int(steps[trend.argmin()])
