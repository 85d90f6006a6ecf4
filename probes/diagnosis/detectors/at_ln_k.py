"""A loss that rests at ln K, K small: what a model of K balanced classes scores that knows nothing
of its input.

That is so because it does not learn, or because there is nothing to learn. No vocabulary need be
stated, since a loss that is flat from first to last lies that near to one of the levels by chance
once or twice in a hundred times (`ABOVE`), and one that fell and came to rest once in two hundred
(`OVER`). Where it is stated, its level alone counts."""

from __future__ import annotations

from decimal import Decimal
from math import log, sqrt

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.curves import POINTS, Course, course, fell, finite, training_loss
from probes.diagnosis.evidence import Evidence
from probes.record import Column

SYMPTOM = "loss-at-ln-k"
CLASSES = range(2, 11)
"""Numbers of classes that are thought of when none is stated."""
ABOVE, BELOW = 0.015, 0.01
"""How far off ln K the mean may lie, as a share of 1 / K, the distance to the next level. Above,
since the noise of the updates keeps what such a model predicts a little off even; below, since
classes are never quite balanced. Of the levels from 0.1 to 3 that is 1.7 %."""
OVER, UNDER = 0.002, 0.005
"""As much for a loss that came down to ln K, whose whole second half lies so near. Of the levels
from 0.1 to 3 that is 0.5 %, and the loss of a model that knows something of its input is hardly
ever as flat."""
BESIDE = 0.05
"""As much for the training loss beside a validation loss that is there from first to last: it is
measured on fewer rows, and under dropout."""
ERRORS = 4.0
"""Standard errors by which a stretch may lie off: 1 of 16,000 does, and there are 20."""
BATCH = 8
"""Rows behind a point of loss, at least. A model whose logits are off even by s lies s^2 / 2 above
ln K, and its loss of one row varies by s: so ABOVE bounds the noise as well, far below that of a
model which knows something."""
DIGITS = 6
"""Decimals of a loss beyond which it does not count as rounded."""
SOURCE = (
    "a mean loss within 1.5 % of the way to the next such level, never off it and never falling"
)
SOURCE_OF_VAL = (
    "a validation loss so near from first to last, and the training loss within 5 % of that way"
)
SOURCE_OF_REST = (
    "the second half within 0.2 % of the way to the next such level, having come down to it"
)


def judge(evidence: Evidence) -> list[Finding]:
    _, losses, path = training_loss(evidence)
    val, end = _validation(evidence), int(evidence.steps[-1])
    for k in _counts(evidence):
        limit = log(k) - BELOW / k
        if _rests(losses, path, k):
            return [
                Finding(
                    SYMPTOM, evidence.of_loss, end, float(losses.mean()), limit, "above", SOURCE
                )
            ]
        if _came_down(losses, val, path, k):
            tight, onset = log(k) - UNDER / k, int(path.begin[len(path.level) // 2])
            level = float(path.level[-1])
            return [
                Finding(
                    SYMPTOM, evidence.of_loss, end, level, tight, "above", SOURCE_OF_REST, onset
                )
            ]
        along = course(np.arange(len(val)), val)
        if along and abs(_late(losses) - log(k)) <= BESIDE / k and _rests(val, along, k):
            return [
                Finding(SYMPTOM, "val_loss", end, float(val.mean()), limit, "above", SOURCE_OF_VAL)
            ]
    return []


def _validation(evidence: Evidence) -> Column:
    """The finite values of validation's loss, none where it was not recorded."""
    return finite(*evidence.series("val_loss"))[1] if evidence.sites("val_loss") else np.empty(0)


def _late(values: Column) -> float:
    """The level of the second half."""
    return float(np.median(values[len(values) // 2 :]))


def _rests(losses: Column, path: Course, k: int) -> bool:
    """Whether a loss is at ln K from first to last."""
    mean, spread = float(losses.mean()), float(losses.std())
    error = max(spread / sqrt(len(losses)), resolution(losses) / 2)
    above, below, off = ABOVE / k, BELOW / k, path.level - log(k)
    rests = np.abs(off) <= above + ERRORS * np.maximum(
        path.error, spread / sqrt(len(losses) / len(off))
    )
    near = -below <= mean - log(k) <= above and error <= below
    return bool(
        near
        and np.median(path.sigma) <= sqrt(2 * above / BATCH)
        and rests.all()
        and not fell(losses)
    )


def _came_down(losses: Column, val: Column, path: Course, k: int) -> bool:
    """Whether the loss began above ln K and rests there, and validation, where there is any, does
    not say otherwise."""
    half, rest = len(path.level) // 2, losses[len(losses) // 2 :]
    off, mean = path.level[half:] - log(k), float(rest.mean()) - log(k)
    error = max(float(rest.std()) / sqrt(len(rest)), resolution(losses) / 2)
    flat = (np.maximum(off, -off * OVER / UNDER) <= OVER / k + ERRORS * path.error[half:]).all()
    near = flat and -UNDER / k <= mean <= OVER / k and error <= OVER / k
    if not near or losses[:POINTS].max() <= log(k) + ABOVE / k:
        return False
    return not len(val) or abs(_late(val) - log(k)) <= ABOVE / k


def _counts(evidence: Evidence) -> range:
    """Of classes: the one that is stated, or all that are thought of."""
    if evidence.facts.get("vocab_size") is None:
        return CLASSES
    evidence.uniform()
    k = int(evidence.number("vocab_size"))
    return range(k, k + 1)


def resolution(values: Column) -> float:
    """The step of a rounded log, by the decimals of its first points; 0 where it is not rounded."""
    decimals = max(-int(Decimal(repr(float(v))).as_tuple().exponent) for v in values[:100])
    return 10.0**-decimals if decimals <= DIGITS else 0.0


LIMITS = {
    SYMPTOM: f"ln K for K from 2 to 10, or of the stated vocabulary; {SOURCE}; {SOURCE_OF_REST}; or {SOURCE_OF_VAL}"
}
DETECTOR = Detector("at-ln-k", judge, LIMITS, at_end=True)
