"""Finds a validation loss whose trend has turned up while the training loss goes on falling: rows
are learned by heart.

At the learning rates of real runs a validation loss varies by several percent from one evaluation
to the next, and may stay up for dozens of evaluations before it falls again. So neither a single
point nor a mean of a few points shows a rise. The trend through all evaluations shows it, once its
rise exceeds its own error (`docs/why.md` says what earlier methods cost).

With few evaluations, such as one an epoch, no trend is known and only the end of the run is judged.
Each of the last evaluations must exceed the lowest one by more than the usual variation of a
validation loss. The training loss must be clearly lower than at the lowest evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_SEGMENT_POINTS, Curve, noise_around_trend
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.val_trend import stop_of, trend_of
from probes.record import Column

MIN_TREND_RISE = 1.03
"""The trend must end above this many times its lowest point. A run that ends within 3 % of its
minimum counts as having ended there."""
MIN_TREND_RISE_ERRORS = 6.0
"""The rise of the trend must exceed this many standard errors. The limit is high because the test
is repeated as evaluations are added (REFIT_GROWTH), on noisy curves. With 6, one of 180 level
curves counts as risen; with 4, twelve do (`studies/val_trend.py`). On the seeds used to choose
limits, no run counts as risen before its minimum."""
MIN_EVALUATIONS_OF_TREND = 40
"""A trend needs this many evaluations, ten for each of its terms. With fewer, the error of the
trend is not known well enough."""
MIN_EVALUATIONS = 5
"""Fewer evaluations are not judged, and noise is not estimated from fewer values."""
MIN_END_RISE = 1.2
"""With fewer than MIN_EVALUATIONS_OF_TREND evaluations, each of the last ones must be above this
many times the lowest. A curve that ends well varies by a tenth, even on fifty held-out rows
(`studies/few_evaluations.py`)."""
MIN_LAST_EVALUATIONS, LAST_SHARE = 2, 0.25
"""The last evaluations are this share of all evaluations (LAST_SHARE), but at least
MIN_LAST_EVALUATIONS."""
MIN_END_RISE_SIGMAS = 4.0
"""The median of the last evaluations must exceed the lowest by more than this many standard
deviations of a single evaluation."""
MAX_END_TRAIN_LEVEL = 0.95
"""With few evaluations, the training loss must end below this share of its level at the lowest
evaluation."""
MIN_TRAIN_FALL_ERRORS = 3.0
"""The training loss must have fallen by more than this many standard errors since validation loss
was lowest."""
REFIT_GROWTH = 1.02
"""The trend is fitted again each time the number of evaluations has grown by this factor. The total
cost is then linear in that number."""
VAL_RISING = Symptom(
    name="val-loss-rising",
    quantity="validation loss at the end over its lowest value",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MIN_TREND_RISE,
    criterion=(
        "the trend of validation loss ends 3 % and 6 standard errors above its lowest point; or, "
        "with fewer than 40 evaluations, every evaluation in the last quarter is 20 % above the "
        "lowest one; in both cases the training loss has fallen since the lowest point"
    ),
    source=(
        "a run within 3 % of its lowest validation loss counts as having ended there; with 6 "
        "standard errors one of 180 level curves counts as risen"
    ),
    sentence={
        "en": (
            "Validation loss is lowest at step {onset} and has risen to {observed} times that, "
            "while the training loss goes on falling."
        )
    },
)
SOURCE_WITH_FEW_EVALUATIONS = (
    "fewer than 40 evaluations show no trend; a validation loss that ends well varies by a tenth"
)


def judge(evidence: Evidence) -> list[Finding]:
    """Judge by the trend, from MIN_EVALUATIONS_OF_TREND evaluations on."""
    val, train, floor = _losses(evidence)
    for count in fit_counts(len(val)):
        steps, losses = val.steps[:count], val.values[:count]
        # A loss that is not above 0 has no relative rise, and a loss below its floor got there by a
        # leak and not by learning.
        trend = trend_of(steps, losses) if losses.min() > floor else None
        if (
            trend
            and trend.rise > MIN_TREND_RISE
            and trend.rise_errors > MIN_TREND_RISE_ERRORS
            and _train_falls(train, trend.turn, int(steps[-1]))
        ):
            stop = stop_of(steps, losses).step
            return [VAL_RISING.found(steps[-1], trend.rise, onset=stop)]
    return []


def judge_few_evaluations(evidence: Evidence) -> list[Finding]:
    """Judge the end of a run with fewer evaluations than a trend needs."""
    val, train, floor = _losses(evidence)
    losses, lowest = val.values, int(val.values.argmin())
    last = max(MIN_LAST_EVALUATIONS, ceil(LAST_SHARE * len(val)))
    if len(val) >= MIN_EVALUATIONS_OF_TREND or losses[lowest] <= floor or len(val) - last <= lowest:
        return []
    rise, median_rise = losses[-last:].min(), median(losses[-last:]) - losses[lowest]
    if rise <= MIN_END_RISE * losses[lowest] or median_rise <= MIN_END_RISE_SIGMAS * _noise(losses):
        return []
    turn = int(val.steps[lowest])
    if not _train_falls(train, turn, int(val.steps[-1]), MAX_END_TRAIN_LEVEL):
        return []
    return [
        VAL_RISING.found(
            evidence.last_step,
            float(rise / losses[lowest]),
            limit=MIN_END_RISE,
            source=SOURCE_WITH_FEW_EVALUATIONS,
            onset=turn,
        )
    ]


def fit_counts(available: int) -> Iterator[int]:
    """Numbers of evaluations at which the trend is fitted, up to those available."""
    count = MIN_EVALUATIONS_OF_TREND
    while count <= available:
        yield count
        count = max(count + 1, int(count * REFIT_GROWTH))


def _losses(evidence: Evidence) -> tuple[Curve, Curve, float]:
    """Validation loss, training loss, and the floor of validation loss (0 where none is known)."""
    val, train = evidence.curve("val_loss"), evidence.curve(evidence.evaluated_loss_signal)
    if len(val) < MIN_EVALUATIONS:
        raise CannotJudgeError(f"{len(val)} evaluations of val_loss; {MIN_EVALUATIONS} are needed")
    return val, train, evidence.rung("val", "floor") or 0.0


def _train_falls(train: Curve, turn: int, now: int, max_level: float = 1.0) -> bool:
    """Whether the training loss has fallen since `turn`, the step of the lowest validation loss.

    The loss is averaged over two windows: around the turn, and over the later half of the time
    since then. The later mean must be below `max_level` times the earlier one, by more than the
    noise. The earlier window excludes the first steps, where the loss is high because nothing was
    learned yet."""
    steps, losses = train.steps, train.values
    half = (now - turn) / 2
    if not len(steps):
        return False
    distance = np.abs(steps - turn)
    near = distance <= min(half, turn - steps[0]) / 2
    around = losses[near if near.sum() >= MIN_SEGMENT_POINTS else distance <= half / 2]
    since = losses[(steps >= now - half) & (steps <= now)]
    if not len(around) or not len(since):
        return False
    error = _noise(losses[steps <= now]) * sqrt(1 / len(around) + 1 / len(since))
    fall = around.mean() - since.mean()
    return bool(since.mean() < max_level * around.mean() and fall > MIN_TRAIN_FALL_ERRORS * error)


def _noise(values: Column) -> float:
    """Standard deviation of a single value; 0 if there are too few values to estimate it."""
    return noise_around_trend(values) if len(values) >= MIN_EVALUATIONS else 0.0


DETECTOR = Detector("overfitting", judge, (VAL_RISING,))
DETECTOR_FOR_FEW_EVALUATIONS = Detector(
    "overfitting-of-few", judge_few_evaluations, (VAL_RISING,), at_end=True
)
