"""Validation loss whose trend has turned up while the training loss goes on falling: rows are
learned by heart.

At the learning rates of real runs a validation loss wanders by several percent from one evaluation
to the next and may stay up for dozens of them before it falls again, so neither a point nor a short
mean tells a rise. The trend through all evaluations does, once it is steeper than its own error
(`docs/why.md` has what sooner answers cost).

Of fewer evaluations, as of one an epoch, no trend is known, and only how the run ended tells: all
of the last ones far above the lowest, which nobody would call a wave, and the training loss clearly
below what it was there."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.curves import POINTS, TO_SIGMA, finite
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.val_trend import stop_of, trend_of
from probes.record import Column, Steps

SYMPTOM = "val-loss-rising"
RISE = 1.03
"""End of the trend over its lowest point; a run within 3 % of its minimum counts as having ended
there."""
ERRORS = 6.0
"""Standard errors of that rise. So many because the question is asked over and over of curves that
wander: at 6 one of 180 level ones is called risen, at 4 twelve (`studies/val_trend.py`), and no
choosing run before its minimum."""
EVALUATIONS = 40
"""Ten for each term of the trend: with fewer, its own error is not known well enough to be counted
in."""
FEW = 5
"""Evaluations below which nothing is said."""
FAR = 1.2
"""Times the lowest evaluation, above which all of the last ones have to lie when there are fewer
than EVALUATIONS. A curve that ends well wanders by a tenth, on held-out rows as few as fifty
(`studies/few_evaluations.py`)."""
LAST, SHARE = 2, 0.25
"""The last ones: so many at least, and such a share of all."""
WAVES = 4.0
"""Standard deviations of a single evaluation, by which their median has to lie above it as well."""
SURE = 3.0
"""Standard errors, by which the training loss has to have fallen since the turn."""
CLEARLY = 0.95
"""Times what the training loss was around the lowest evaluation, below which it has to be since."""
GROWTH = 1.02
"""The trend is fitted again whenever there are this many times as many evaluations: linear time in
all."""
SOURCE = "trend of val loss 3 % and 6 standard errors above its lowest point, train loss below what it was there"
SOURCE_OF_FEW = (
    "last quarter of fewer than 40 evaluations all 20 % above the lowest, train loss clearly below"
)


def judge(evidence: Evidence) -> list[Finding]:
    """By the trend, once there are EVALUATIONS."""
    (steps, val), train, floor = _losses(evidence)
    for count in counts(len(val)):
        seen, losses = steps[:count], val[:count]
        # What is not above 0 has no relative rise, and what lies below its floor did not get there
        # by learning.
        trend = trend_of(seen, losses) if losses.min() > floor else None
        if (
            trend
            and trend.rise > RISE
            and trend.errors > ERRORS
            and _falls(train, trend.turn, int(seen[-1]))
        ):
            stop = stop_of(seen, losses).step
            return [Finding(SYMPTOM, "", int(seen[-1]), trend.rise, RISE, "above", SOURCE, stop)]
    return []


def judge_few(evidence: Evidence) -> list[Finding]:
    """Of fewer: whether all of the last ones lie far above the lowest, and the training loss far
    below."""
    (steps, val), train, floor = _losses(evidence)
    lowest, last = int(val.argmin()), max(LAST, ceil(SHARE * len(val)))
    if len(val) >= EVALUATIONS or val[lowest] <= floor or len(val) - last <= lowest:
        return []
    height, middle = float(val[-last:].min()), float(np.median(val[-last:]))
    if height <= FAR * val[lowest] or middle - val[lowest] <= WAVES * _noise(val):
        return []
    turn = int(steps[lowest])
    if not _falls(train, turn, int(steps[-1]), CLEARLY):
        return []
    rise = float(height / val[lowest])
    return [Finding(SYMPTOM, "", int(evidence.steps[-1]), rise, FAR, "above", SOURCE_OF_FEW, turn)]


def _losses(evidence: Evidence) -> tuple[tuple[Steps, Column], tuple[Steps, Column], float]:
    """The finite points of validation and of training, and what validation cannot be below."""
    val = finite(*evidence.series("val_loss"))
    train = finite(*evidence.series("train_loss" if evidence.sites("train_loss") else "loss"))
    if len(val[1]) < FEW:
        raise CannotJudgeError(f"{len(val[1])} evaluations of val_loss; {FEW} are needed")
    return val, train, evidence.rung("val", "floor") or 0.0


def counts(available: int) -> Iterator[int]:
    """Numbers of evaluations at which the trend is fitted, up to those available."""
    count = EVALUATIONS
    while count <= available:
        yield count
        count = max(count + 1, int(count * GROWTH))


def _falls(train: tuple[Steps, Column], turn: int, now: int, times: float = 1.0) -> bool:
    """Whether the training loss is lower over the later half of the time since the turn than
    `times` it was around.

    Not as far around as its first steps, where it was high before anything was learned.
    """
    steps, losses = train
    half = (now - turn) / 2
    if not len(steps):
        return False
    away = np.abs(steps - turn)
    near = away <= min(half, turn - steps[0]) / 2
    then = losses[near if near.sum() >= POINTS else away <= half / 2]
    since = losses[(steps >= now - half) & (steps <= now)]
    if not len(then) or not len(since):
        return False
    error = _noise(losses[steps <= now]) * sqrt(1 / len(then) + 1 / len(since))
    return bool(since.mean() < times * then.mean() and then.mean() - since.mean() > SURE * error)


def _noise(values: Column) -> float:
    """Deviation of one value around a curve that falls or rises, by second differences; 0 of fewer
    than FEW."""
    return (
        TO_SIGMA / sqrt(6) * float(np.median(np.abs(np.diff(values, 2))))
        if len(values) >= FEW
        else 0.0
    )


DETECTOR = Detector("overfitting", judge, {SYMPTOM: SOURCE})
OF_FEW = Detector("overfitting-of-few", judge_few, {SYMPTOM: SOURCE_OF_FEW}, at_end=True)
