"""Validation loss that has risen for good while the training loss goes on falling: the model learns its rows by heart.

At the learning rates of real runs a validation loss wanders by several percent between neighbouring evaluations and
stays up for dozens of them before it falls again. So thirds are compared: the mean over the last third of the
evaluations so far with the lowest mean over any stretch of that length (`docs/why.md` has what narrower windows do).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from probes.findings import CannotJudgeError, Detector, Evidence, Finding
from probes.record import Column, Steps
from probes.turning import turn_of

SYMPTOM = "val-loss-rising"
PART = 3
RISE = 1.03
"""Rise of the last third over the lowest; three standard errors of the mean of a third of 40 evaluations, and the
distance within which a run counts as having ended at its minimum."""
EVALUATIONS = 15
"""Thirds of five evaluations, the window of smoothing, are the shortest to be compared."""
GROWTH = 1.02
"""The comparison is made again whenever there are this many times as many evaluations: linear time in all."""
SOURCE = "mean val loss of the last third over 3 % above that of the lowest third, with the train loss below its then"


def judge(evidence: Evidence) -> list[Finding]:
    steps, val = _finite(*evidence.series("val_loss"))
    train = _finite(*evidence.series("train_loss" if evidence.sites("train_loss") else "loss"))
    if len(val) < EVALUATIONS:
        raise CannotJudgeError(f"{len(val)} evaluations of val_loss; {EVALUATIONS} are needed")
    if val.min() <= 0:
        raise CannotJudgeError("val_loss is not above 0 throughout; a relative rise has no meaning")
    floor = evidence.rung("val", "floor") or 0.0
    for count in _counts(len(val)):
        length = count // PART
        means = _means(val[:count], length)
        lowest = int(means.argmin())
        rise = float(means[-1] / means[lowest])
        risen = rise > RISE and means[-1] > floor  # what lies below its floor did not get there by learning
        if risen and _falls(train, steps[lowest : lowest + length], steps[count - length : count]):
            stop = turn_of(steps[:count], val[:count]).stop
            return [Finding(SYMPTOM, "", int(steps[count - 1]), rise, RISE, "above", SOURCE, stop)]
    return []


def _counts(available: int) -> Iterator[int]:
    count = EVALUATIONS
    while count <= available:
        yield count
        count = max(count + 1, int(count * GROWTH))


def _means(values: Column, length: int) -> Column:
    """Mean over every stretch of that length: [n] -> [n - length + 1]."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    means: Column = (total[length:] - total[:-length]) / length
    return means


def _falls(train: tuple[Steps, Column], then: Steps, now: Steps) -> bool:
    """Whether the training loss is lower in the one stretch of steps than in the other."""
    steps, losses = train
    spans = [losses[(steps >= span[0]) & (steps <= span[-1])] for span in (then, now)]
    return all(map(len, spans)) and bool(spans[1].mean() < spans[0].mean())


def _finite(steps: Steps, values: Column) -> tuple[Steps, Column]:
    kept = np.isfinite(values)
    return steps[kept], values[kept]


DETECTOR = Detector("overfitting", judge, {SYMPTOM: SOURCE})
