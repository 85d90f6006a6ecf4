"""Validation loss whose trend has turned up while the training loss goes on falling: rows are learned by heart.

At the learning rates of real runs a validation loss wanders by several percent from one evaluation to the next and may
stay up for dozens of them before it falls again, so neither a point nor a short mean tells a rise. The trend through
all evaluations does, once it is steeper than its own error (`docs/why.md` has what sooner answers cost).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from probes.findings import CannotJudgeError, Detector, Evidence, Finding
from probes.record import Column, Steps
from probes.turning import stop_of, trend_of

SYMPTOM = "val-loss-rising"
RISE = 1.03
"""End of the trend over its lowest point; a run within 3 % of its minimum counts as having ended there."""
ERRORS = 6.0
"""Standard errors of that rise. So many because the question is asked over and over of curves that wander: at 6 one of
180 level ones is called risen, at 4 twelve (`scripts/turning.py`), and no choosing run before its minimum."""
EVALUATIONS = 40
"""Ten for each term of the trend: with fewer, its own error is not known well enough to be counted in."""
GROWTH = 1.02
"""The trend is fitted again whenever there are this many times as many evaluations: linear time in all."""
SOURCE = "trend of val loss 3 % and 6 standard errors above its lowest point, train loss below what it was there"


def judge(evidence: Evidence) -> list[Finding]:
    steps, val = _finite(*evidence.series("val_loss"))
    train = _finite(*evidence.series("train_loss" if evidence.sites("train_loss") else "loss"))
    if len(val) < EVALUATIONS:
        raise CannotJudgeError(f"{len(val)} evaluations of val_loss; {EVALUATIONS} are needed")
    floor = evidence.rung("val", "floor") or 0.0
    for count in counts(len(val)):
        seen, losses = steps[:count], val[:count]
        # What is not above 0 has no relative rise, and what lies below its floor did not get there by learning.
        trend = trend_of(seen, losses) if losses.min() > floor else None
        if trend and trend.rise > RISE and trend.errors > ERRORS and _falls(train, trend.turn, int(seen[-1])):
            stop = stop_of(seen, losses).step
            return [Finding(SYMPTOM, "", int(seen[-1]), trend.rise, RISE, "above", SOURCE, stop)]
    return []


def counts(available: int) -> Iterator[int]:
    """Numbers of evaluations at which the trend is fitted, up to those available."""
    count = EVALUATIONS
    while count <= available:
        yield count
        count = max(count + 1, int(count * GROWTH))


def _falls(train: tuple[Steps, Column], turn: int, now: int) -> bool:
    """Whether the training loss is lower over the later half of the time since the turn than it was around it."""
    steps, losses = train
    half = (now - turn) / 2
    then, since = losses[np.abs(steps - turn) <= half / 2], losses[(steps >= now - half) & (steps <= now)]
    return bool(len(then) and len(since) and since.mean() < then.mean())


def _finite(steps: Steps, values: Column) -> tuple[Steps, Column]:
    kept = np.isfinite(values)
    return steps[kept], values[kept]


DETECTOR = Detector("overfitting", judge, {SYMPTOM: SOURCE})
