"""A batch loss that jumps: it gives back, within one step, a good part of all that was learned.

The jump is measured against the median of the points before it, and their noise by the median difference of neighbours,
so that points which are sick themselves, or fall steeply, neither hide nor invent one (Hampel 1974; Rice 1984).
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.findings import CannotJudgeError, Detector, Evidence, Finding, worsening
from probes.record import Column

SYMPTOM = "loss-spike"
WINDOW = 20
"""Points before the jump whose median it is compared with; as many as make a loss a core signal."""
MEMORY = 100
"""Differences of neighbouring points, at most, from which their noise is told: of a hundred it is known to an eighth,
of twenty so badly that in a hundred thousand steps of noise some are taken for a jump."""
START = 5
"""Points whose median is what the loss was before anything was learned."""
GIVEN_BACK = 0.25
"""Share of what was learned so far, from the start down to the window's median, that the jump gives back."""
DEVIATIONS = 6.0
"""Standard deviations of the noise that the jump must exceed as well, and so must what was learned."""
TO_SIGMA = 1.4826
"""Median of absolute deviations -> standard deviation, for Gaussian noise (Hampel 1974)."""
CHUNK = 16_384
SOURCE = "a quarter of all that was learned, lost in one step and by over 6 sigma of the noise before it"


def judge(evidence: Evidence) -> list[Finding]:
    steps, losses = evidence.series("loss")
    finite = np.isfinite(losses)
    steps, losses = steps[finite], losses[finite]
    if len(losses) <= WINDOW:
        raise CannotJudgeError(f"{len(losses)} finite points of loss; {WINDOW + 1} are needed")
    shares = _given_back(losses)
    return [
        Finding(SYMPTOM, "", int(steps[i]), float(shares[i]), GIVEN_BACK, "above", SOURCE)
        for i in worsening(shares, GIVEN_BACK, "above")
    ]


def _given_back(losses: Column) -> Column:
    """Share of the fall so far that each loss gives back; 0 where that is within the noise, or nothing was learned."""
    level = _before(losses, WINDOW)
    # Differences carry the noise twice and the trend hardly at all.
    noise = TO_SIGMA / sqrt(2) * _before(np.abs(np.diff(losses, prepend=losses[:1])), MEMORY)
    learned, jump = np.median(losses[:START]) - level, losses - level
    real = (learned > DEVIATIONS * noise) & (jump > DEVIATIONS * noise)
    shares: Column = np.divide(jump, learned, out=np.zeros(len(losses)), where=real)
    return shares


def _before(values: Column, length: int) -> Column:
    """Median of the up to `length` values before each value, of WINDOW at least; NaN where there are fewer."""
    medians = np.full(len(values), np.nan)
    for end in range(WINDOW, min(length, len(values))):
        medians[end] = np.median(values[:end])
    windows = sliding_window_view(values, length)[:-1] if len(values) > length else np.empty((0, length))
    for begin in range(0, len(windows), CHUNK):
        medians[length + begin : length + begin + CHUNK] = np.median(windows[begin : begin + CHUNK], axis=1)
    return medians


DETECTOR = Detector("loss-spike", judge, {SYMPTOM: f"share given back above {GIVEN_BACK:g}; {SOURCE}"})
