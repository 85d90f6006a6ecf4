"""Finds a validation loss whose trend has turned up while the training loss goes on falling: rows
are learned by heart.

At the learning rates of real runs a validation loss varies by several percent from one evaluation
to the next, and may stay up for dozens of evaluations before it falls again. So neither a single
point nor a mean of a few points shows a rise. The trend through all evaluations shows it, once its
rise exceeds its own error (`docs/why.md` says what earlier methods cost).

With few evaluations, such as one an epoch, no trend is known. Once a run has ended, its last
evaluations are compared with the lowest one, which they must exceed by more than the usual
variation of a validation loss. If the training loss has risen since then as well, the run has not
overfitted but diverged (`divergence`)."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt
from typing import Literal, NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.common.text import printable
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_SEGMENT_POINTS, Curve, noise_around_trend, noise_at_lag
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.val_trend import stop_of, trend_of
from probes.record import Column
from probes.record.metrics import direction_of, is_held_out

MIN_TREND_RISE = 1.03
"""The trend must end above this many times its lowest point. A run that ends within 3 % of its
minimum counts as having ended there."""
MIN_TREND_RISE_ERRORS = 6.0
"""The rise of the trend must exceed this many standard errors. The limit is high because the test
is repeated as evaluations are added (REFIT_GROWTH), on noisy curves. With 6, one of 180 flat
curves counts as risen; with 4, twelve do (`studies/val_trend.py`). On the seeds used to choose
limits, no run counts as risen before its minimum."""
MIN_EVALUATIONS_OF_TREND = 40
"""A trend needs this many evaluations, ten for each of its terms. With fewer, the error of the
trend is not known well enough."""
MIN_EVALUATIONS = 3
"""Minimum number of evaluations for judging the end: the lowest one and two higher ones after
it."""
MIN_EVALUATIONS_FOR_NOISE = 5
"""Minimum number of values for estimating their noise, from three second differences."""
MIN_END_RISE = 1.2
"""Each of the last evaluations must be above this many times the lowest. In a run that does not
overfit, they vary by a tenth, even on fifty held-out rows (`studies/few_evaluations.py`)."""
MIN_LAST_EVALUATIONS, LAST_SHARE = 2, 0.25
"""The last evaluations are this share of all evaluations (LAST_SHARE), but at least
MIN_LAST_EVALUATIONS."""
MIN_END_RISE_SIGMAS = 4.0
"""The median of the last evaluations must exceed the lowest by more than this many standard
deviations of a single evaluation."""
MIN_RISE_OVER_LEARNED = 0.01
"""The rise must exceed this share of what was learned: a loss that came down from 2 to 0.00001 has
lost nothing at 0.00002."""
MIN_RISES_IN_A_ROW, MIN_RISE_IN_A_ROW = 5, 1.1
"""It is also enough if the loss rises at each evaluation since the lowest one, MIN_RISES_IN_A_ROW
times or more, and ends above MIN_RISE_IN_A_ROW times the lowest. Six values in random order are in
increasing order once in 720."""
MIN_FEW_RISES, MIN_FEW_RISE = 2, 1.3
"""Two rises are enough if the loss ends above 1.3 times the lowest and the training loss has fallen
since then: fine-tuning often has three epochs, and the second is the best."""
MIN_TRAIN_CHANGE_ERRORS = 3.0
"""The training loss has fallen, or risen, since the turn if it changed by more than this many
standard errors."""
MIN_TRAIN_RISE_OVER_LEARNED = 0.002
"""A training loss that rises by less than this share of what was learned has not risen. One that
came down from 2 to 0.001 may be at 0.003."""
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
        "the trend of validation loss ends 3 % and 6 standard errors above its lowest point, and "
        "the training loss has fallen since then; or, once the run has ended, every evaluation in "
        "the last quarter is 20 % above the lowest one and the training loss has not risen since "
        "then; or validation loss rises at each of five or more evaluations since the lowest one, "
        "to 10 % above it, while the training loss does not rise; or validation loss rises at each "
        "of two or more evaluations since the lowest one, to 30 % above it, while the training "
        "loss falls"
    ),
    source=(
        "a run within 3 % of its lowest validation loss counts as having ended there; with 6 "
        "standard errors one of 180 flat curves counts as risen"
    ),
    sentence={
        "en": (
            "Validation loss is lowest at step {onset} and has risen to {observed} times that, "
            "while the training loss does not rise."
        )
    },
)
SOURCE_OF_END = "the last evaluations of a run that does not overfit vary by a tenth"
SOURCE_OF_RISES = "the loss rises at five evaluations in a row or more; by chance once in 720"


def judge(evidence: Evidence) -> list[Finding]:
    return list(evidence.cached(_risen_trend))


def _risen_trend(evidence: Evidence) -> list[Finding]:
    """Judge by the trend, from MIN_EVALUATIONS_OF_TREND evaluations on."""
    val, train = evidence.curve("val_loss"), evidence.curve(evidence.evaluated_loss_signal)
    if len(val) < MIN_EVALUATIONS:
        raise CannotJudgeError(f"{len(val)} evaluations of val_loss; {MIN_EVALUATIONS} are needed")
    floor = evidence.rung("val", "floor") or 0.0
    for count in fit_counts(len(val)):
        steps, losses = val.steps[:count], val.values[:count]
        # A loss that is not above 0 has no relative rise, and a loss below its floor got there by a
        # leak and not by learning.
        trend = trend_of(steps, losses) if losses.min() > floor else None
        if (
            trend
            and trend.rise > MIN_TREND_RISE
            and trend.rise_errors > MIN_TREND_RISE_ERRORS
            and _is_substantial(losses[-1] - losses.min(), losses, train)
            and _train_since(train, trend.turn, int(steps[-1])) == "fell"
        ):
            stop = stop_of(steps, losses).step
            return [VAL_RISING.found(steps[-1], trend.rise, onset=stop)]
    return []


def judge_end(evidence: Evidence) -> list[Finding]:
    """Judge the end of a run, however many evaluations there are."""
    end = evidence.cached(validation_end)
    if end is None or end.train == "rose":
        return []
    if end.train != "unknown" and evidence.cached(_risen_trend):
        return []  # already found by its trend
    return [
        VAL_RISING.found(
            evidence.last_step, end.rise, limit=end.limit, source=end.source, onset=end.onset
        )
    ]


class ValidationEnd(NamedTuple):
    """The end of a validation loss that lies well above its lowest value.

    rise     the end divided by the lowest value
    limit    the value that the rise exceeds
    source   where the limit comes from
    onset    step of the lowest value
    train    what the training loss has done since then; "unknown" if too little was recorded
    """

    rise: float
    limit: float
    source: str
    onset: int
    train: Literal["fell", "stood", "rose", "unknown"]


def validation_end(evidence: Evidence) -> ValidationEnd | None:
    """The end of the validation loss if it lies well above its lowest value, else None. Raises
    CannotJudgeError with fewer than MIN_EVALUATIONS evaluations."""
    val = evidence.curve("val_loss")
    if len(val) < MIN_EVALUATIONS:
        raise CannotJudgeError(f"{len(val)} evaluations of val_loss; {MIN_EVALUATIONS} are needed")
    losses, lowest = val.values, int(val.values.argmin())
    if losses[lowest] <= (evidence.rung("val", "floor") or 0.0):
        return None
    last = max(MIN_LAST_EVALUATIONS, ceil(LAST_SHARE * len(val)))
    least = losses[-last:].min() / losses[lowest]
    higher = median(losses[-last:]) - losses[lowest]
    since = losses[lowest:]
    onset, train = int(val.steps[lowest]), evidence.curve_or_empty(evidence.evaluated_loss_signal)
    course = _train_since(train, onset, int(val.steps[-1]))
    if not _is_substantial(higher, losses, train):
        return None
    if (
        len(val) - last > lowest
        and least > MIN_END_RISE
        and higher > MIN_END_RISE_SIGMAS * min(_noise(losses), noise_at_lag(losses))
    ):
        rise, limit, source = float(least), MIN_END_RISE, SOURCE_OF_END
    elif course in ("fell", "stood") and (np.diff(since) > 0).all():
        rise, source = float(since[-1] / since[0]), SOURCE_OF_RISES
        if len(since) > MIN_RISES_IN_A_ROW and rise > MIN_RISE_IN_A_ROW:
            limit = MIN_RISE_IN_A_ROW
        elif course == "fell" and len(since) > MIN_FEW_RISES and rise > MIN_FEW_RISE:
            limit = MIN_FEW_RISE
        else:
            return None
    else:
        return None
    return ValidationEnd(rise, limit, source, onset, course)


def metric_best_later(evidence: Evidence) -> tuple[str, str] | None:
    """Meaning and remedy of overfitting in a run of which every held-out metric, such as accuracy,
    is best after the step of the lowest validation loss; None for other runs.

    A classifier that becomes too confident raises its loss on the rows that it gets wrong, and may
    still get more rows right."""
    val, stated = evidence.curve_or_empty("val_loss"), evidence.facts.get("metric_direction")
    stop, found = int(val.steps[val.values.argmin()]), []
    for name in evidence.sites("metric"):
        metric, direction = Curve(*evidence.series("metric", name)), direction_of(name, stated)
        if direction is None or not is_held_out(name) or len(metric) < MIN_EVALUATIONS:
            continue
        scores = metric.values if direction == "up" else -metric.values
        best, until_stop = int(scores.argmax()), scores[metric.steps <= stop]
        # The noise of a metric is estimated from the differences of neighbouring evaluations.
        if not len(until_stop) or scores[best] - until_stop.max() <= noise_around_trend(scores):
            return None
        found.append((printable(name), int(metric.steps[best])))
    if not found:
        return None
    name, best_step = found[0]
    return (
        f"overfit by loss: validation loss is lowest at step {stop} and has risen since, but "
        f"{name} is best later, at step {best_step}",
        f"choose the checkpoint by the measure that counts for you: step {stop} by loss, step "
        f"{best_step} by {name}; regularise, or train on more data, to lower the loss as well",
    )


def fit_counts(available: int) -> Iterator[int]:
    """Numbers of evaluations at which the trend is fitted, up to those available."""
    count = MIN_EVALUATIONS_OF_TREND
    while count <= available:
        yield count
        count = max(count + 1, int(count * REFIT_GROWTH))


def _train_since(train: Curve, turn: int, now: int) -> Literal["fell", "stood", "rose", "unknown"]:
    """What the training loss has done since `turn`, the step of the lowest validation loss.

    The loss is averaged over two windows: around the turn, and over the later half of the time
    since then. A change counts if it exceeds the noise. The earlier window excludes the first
    steps, where the loss is high because nothing was learned yet."""
    steps, losses = train.steps, train.values
    half = (now - turn) / 2
    if not len(steps):
        return "unknown"
    distance = np.abs(steps - turn)
    near = distance <= min(half, turn - steps[0]) / 2
    around = losses[near if near.sum() >= MIN_SEGMENT_POINTS else distance <= half / 2]
    since = losses[(steps >= now - half) & (steps <= now)]
    if not len(around) or not len(since):
        return "unknown"
    so_far = losses[steps <= now]
    if len(so_far) < MIN_EVALUATIONS_FOR_NOISE and (
        since.min() <= around.max() and around.min() <= since.max()
    ):
        return "stood"  # the noise is not known, and the two windows overlap
    error = _noise(so_far) * sqrt(1 / len(around) + 1 / len(since))
    change = float(since.mean() - around.mean())
    if abs(change) <= MIN_TRAIN_CHANGE_ERRORS * error or change == 0:
        return "stood"
    if change < 0:
        return "fell"
    learned = float(losses[0] - losses.min())
    return "rose" if change > MIN_TRAIN_RISE_OVER_LEARNED * learned else "stood"


def _is_substantial(rise: float, val: Column, train: Curve) -> bool:
    """Whether a rise of validation loss exceeds MIN_RISE_OVER_LEARNED of what was learned."""
    start = max(float(val[0]), *train.values[:1].tolist(), 0.0)
    return bool(rise > MIN_RISE_OVER_LEARNED * (start - val.min()))


def _noise(values: Column) -> float:
    """Standard deviation of a single value; 0 if there are too few values to estimate it."""
    enough = len(values) >= MIN_EVALUATIONS_FOR_NOISE
    return noise_around_trend(values) if enough else 0.0


DETECTOR = Detector("overfitting", judge, (VAL_RISING,))
DETECTOR_OF_END = Detector("validation-end", judge_end, (VAL_RISING,), at_end=True)
