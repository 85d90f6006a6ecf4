"""The one way this project smooths a curve of evaluations: a centred mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from probes.record import Record

WINDOW = 5
"""Evaluations in the mean; wide enough to steady the minimum of val, narrow enough not to move it."""


def centred_mean(values: npt.ArrayLike, window: int = WINDOW) -> npt.NDArray[np.float64]:
    """Mean of `window` neighbours at each point that has them all: [n] -> [n - window + 1], first at (window - 1) / 2.

    A run's smoothed end is therefore the mean of its last `window` evaluations. Raises ValueError for an even window
    or for fewer values than one window.
    """
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
