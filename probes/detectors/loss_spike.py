"""A batch loss that jumps: it gives back, within one step, a good part of all that was learned.

The jump is measured against the median of the points before it and counted in their median absolute deviation, so that
a window which holds a spike itself, or is noisy throughout, does not hide or invent one (Hampel 1974).
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.findings import CannotJudgeError, Detector, Evidence, Finding, worsening
from probes.record import Column

SYMPTOM = "loss-spike"
WINDOW = 20
"""Points before the jump; as many as make a loss a core signal."""
GIVEN_BACK = 0.25
"""Share of what was learned so far, from the first loss down to the window's median, that the jump gives back."""
DEVIATIONS = 6.0
"""Robust standard deviations of the window that the jump must exceed as well."""
TO_SIGMA = 1.4826
"""Median absolute deviation -> standard deviation, for Gaussian noise (Hampel 1974)."""
CHUNK = 65_536
SOURCE = "a quarter of all that was learned, lost in one step and by over 6 robust sigma of the 20 points before it"


def judge(evidence: Evidence) -> list[Finding]:
    steps, losses = evidence.series("loss")
    if len(losses) <= WINDOW:
        raise CannotJudgeError(f"{len(losses)} points of loss; {WINDOW + 1} are needed")
    finite = np.isfinite(losses)
    steps, losses = steps[finite], losses[finite]
    shares = _given_back(losses)
    return [
        Finding(SYMPTOM, "", int(steps[WINDOW + i]), float(shares[i]), GIVEN_BACK, "above", SOURCE)
        for i in worsening(shares, GIVEN_BACK, "above")
    ]


def _given_back(losses: Column) -> Column:
    """Share of the fall so far that each loss after the first window gives back; 0 where that is within the noise."""
    windows = sliding_window_view(losses, WINDOW)[:-1] if len(losses) > WINDOW else np.empty((0, WINDOW))
    shares = np.zeros(len(windows))
    for begin in range(0, len(windows), CHUNK):
        part = windows[begin : begin + CHUNK]
        median = np.median(part, axis=1)
        sigma = TO_SIGMA * np.median(np.abs(part - median[:, None]), axis=1)
        jump = losses[WINDOW + begin : WINDOW + begin + len(part)] - median
        learned = losses[0] - median
        out = (jump > DEVIATIONS * sigma) & (learned > 0)
        shares[begin : begin + CHUNK] = np.divide(jump, learned, out=np.zeros(len(part)), where=out)
    return shares


DETECTOR = Detector("loss-spike", judge, {SYMPTOM: f"share given back above {GIVEN_BACK:g}; {SOURCE}"})
