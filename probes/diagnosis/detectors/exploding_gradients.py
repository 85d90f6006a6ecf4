"""A gradient norm that grows by an order of magnitude over many points, ahead of a loss that ends
high.

One outlying norm is none. A rise that does no harm is none either: weights sharpen in healthy runs.
And where the norm rises with the loss and no sooner, the loss is why: the gradient of what is wrong
is large."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.curves import FEWEST, POINTS, beginning, course, finite, training_loss
from probes.diagnosis.detectors import divergence
from probes.diagnosis.evidence import CannotJudgeError, Evidence

SYMPTOM = "grad-norm-rising"
RISE = 10.0
"""Norm over its lowest level; sound runs sharpen, and decay of weights under a falling rate lifts
it, by five or so."""
STRETCHES = 3
"""In how many, of twenty, it must be that high; in a short log, in as many as a quarter of its
own."""
AHEAD = 2.0
"""By which it must have risen while the loss was no higher than where it began."""
ERRORS = 4.0
"""Standard errors of the logarithm of the norm, for a rise over few points."""
SOURCE = "ten times its lowest level in three stretches of the run, twice it before the loss rose, which ends high"


def judge(evidence: Evidence) -> list[Finding]:
    steps, norms = finite(*evidence.series("grad_norm"))
    steps, norms = steps[norms > 0], norms[norms > 0]
    path = course(steps, np.log(norms))
    if path is None:
        raise CannotJudgeError(
            f"{len(norms)} norms that are finite and not 0; {FEWEST * POINTS} are needed"
        )
    if not divergence.judge(evidence):
        return []
    low = int(path.level.argmin())
    rises = path.level - path.level[low]
    errors = ERRORS * np.hypot(path.error, path.error[low])
    later = np.arange(len(rises)) > low
    high = later & (rises >= np.maximum(np.log(RISE), errors))
    ahead = (
        later & (rises >= np.maximum(np.log(AHEAD), errors)) & (path.end <= _still_low(evidence))
    )
    if high.sum() < min(STRETCHES, len(rises) // FEWEST) or not ahead.any():
        return []
    times, onset = float(np.exp(np.median(rises[high]))), int(path.begin[ahead.argmax()])
    return [Finding(SYMPTOM, "", int(evidence.steps[-1]), times, RISE, "above", SOURCE, onset)]


def _still_low(evidence: Evidence) -> int:
    """The last step of the last stretch in which the loss is no higher than where it began, by its
    noise."""
    _, losses, path = training_loss(evidence)
    there = np.flatnonzero(path.level <= beginning(path, losses) + path.sigma)
    return int(path.end[there[-1]]) if len(there) else -1


DETECTOR = Detector("exploding-gradients", judge, {SYMPTOM: SOURCE}, at_end=True)
