"""Notices: questions that people ask about a run, each answered in one sentence from the log.

A notice is never a finding: no cause needs it and no verdict depends on it. Most notices say why
something that looks odd is normal (`Notice.reassures`). They are left out beside findings, so that
no notice contradicts a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.common.arrays import median
from probes.common.text import printable
from probes.diagnosis.base import Finding
from probes.diagnosis.curves import (
    MAD_TO_SIGMA,
    MIN_POINTS_FOR_CORRELATION,
    MIN_SEGMENT_POINTS,
    Curve,
    noise_around_trend,
)
from probes.diagnosis.evidence import Evidence
from probes.record import Column
from probes.record.metrics import direction_of, is_held_out

MIN_CHECKPOINTS = 3
"""Minimum number of evaluations for naming the checkpoint to keep."""
MIN_EVALUATIONS_FOR_NOISE = 6
"""Minimum number of evaluations for estimating their noise, from at least four second
differences."""
NOISE_EVALUATIONS = 12
"""Noise is estimated from this many evaluations around the best one, because it may be much larger
at the start of a run or after the loss has risen."""
MAX_METRICS_NAMED = 2
"""At most this many held-out metrics are named in one sentence."""
SPIKE_WINDOW = 21
"""A spike is measured from the median of this many points around it, so it is shorter than half of
them."""
MIN_SPIKE_SIGMAS = 8.0
"""A spike is higher than this many standard deviations of the points around it."""
MIN_SPIKE_SHARE = 0.2
"""A spike is higher than this share of what was learned, which is the fall from the start of the
log to its lowest level. A lower one is hard to see in a chart of the whole loss."""
MAX_SPIKE_RATE = 0.01
"""Several spikes are called normal only if they are at most this share of the points of the log."""
CHUNK = 16_384
"""Medians are computed for this many windows at a time, to limit the memory."""
MAX_ROWS_NAMED = 8
"""At most this many rows of a batch are named."""
MIN_SHARE_BELOW = 0.75
"""Validation loss counts as below training loss if it is at this share of the evaluations."""
MIN_GAP_BELOW = 0.03
"""The median gap is at least this share of the training loss."""
MAX_GAP_BELOW = 0.45
"""A larger gap, a ratio of training loss to validation loss of 1.8, has other reasons."""
MAX_FINAL_VAL = 1.2
"""A validation loss that ends above this many times its lowest is not called normal. The detector
of overfitting uses the same factor for few evaluations."""
MIN_EVALUATIONS_OF_RATIO = 4
"""Minimum number of evaluations for comparing the ratios of training loss to validation loss."""
MAX_LOG_RATIO_DEVIATION = 0.15
"""A ratio of training loss to validation loss counts as constant if its logarithm never deviates
from its median by more than this much. A sum instead of a mean multiplies the loss by the same
number throughout the run."""
MAX_DEVIATION_FROM_POWER = 0.07
"""A constant ratio of 4, 8, 16, ... within this share is taken for a count of accumulated batches
or devices, which is a power of 2 as a rule. Training loss itself may be a little lower than
validation loss."""
MAX_DEVIATION_FROM_INTEGER, MIN_RANGE_OF_VAL = 0.03, 1.5
"""Any other whole number must be met within this share, and the highest validation loss must be at
least this many times the lowest, so that the ratio stayed constant while both fell."""
MIN_EPOCH_ENDS = 2
"""Minimum number of evaluations with training loss before and after them, for finding steps. Three
epochs have two."""
MIN_POINTS_PER_EPOCH = 8
"""Minimum number of points of training loss in such an interval."""
MIN_STEP_SIGMAS = 3.0
"""The median fall at the end of an epoch exceeds the falls over as many points on both of its sides
by this many standard deviations of such a fall."""
MIN_STEP_SHARE = 0.02
"""The median fall at the end of an epoch is at least this share of the level of the loss."""
LARGE_GRAD_NORM = 10.0
"""A gradient norm above this level is large. The detector of a large first gradient uses the same
number; HEALTHY starts at 2.7 to 4.5 (docs/why.md)."""
GRAD_NORM_GROWTH = (1.5, 5.0)
"""A gradient norm that ends at this many times its lowest level has grown as it does in healthy
runs. Measured on levels that are medians of a twentieth of the log: in 177 healthy trainings of
thirteen kinds of loss, the norm ended at most 3.7 times above its lowest level, and in six healthy
public logs at most 1.9 times. Within a run it rose to at most 5.0 times its lowest level before."""
RELATIVE_NOISE = (0.15, 1.0)
"""A loss oscillates if single points deviate from their level by a share of it in this range (one
standard deviation, in the second half of the log). A larger share means that the level is near
0."""
MIN_NOISE_SHARE = 0.05
"""The deviation is also at least this share of what was learned, so that a chart of the whole loss
shows it."""
MIN_RATE_POINTS = 20
"""Minimum number of points of lr for a remark on the schedule."""
MAX_SHARE_LEFT = 0.1
"""A schedule counts as finished if at most this share of its declared steps is missing at the end
of the log, or if the last rate is at most this share of the peak rate."""
MIN_LINE_FALL_ERRORS = 3.0
"""A loss is remarked on as still falling only if it falls by more than this many standard errors
over the whole log."""
MIN_SECOND_HALF_FALL_ERRORS = 2.0
"""Such a loss must also fall by more than this many standard errors in the second half of the
log."""
LINE_RATIO = (0.3, 1.2)
"""Range of (fall in the second half of a log) / (fall in the first half) for a loss that falls
along a line. This ratio is 1 for an exact line, a little more with noise, and below a third for a
curve that levels off. The range was chosen on the cases of `testing.faults`."""
MAX_FINAL_VAL_OF_FALL = 1.03
"""More steps are not said to help if validation loss ends above this many times its lowest. A loss
within 3 % of its minimum counts as equal to it, as for overfitting."""
MIN_RISE_ERRORS = 6.0
"""A rise of the loss, or a small fall, is remarked on only if it exceeds this many standard
errors."""
MIN_RISE_DRIFTS = 3.0
"""A rise must also exceed this many standard deviations of the drift from segment to segment,
because smoothed noise drifts."""
START_OUTLIER_SIGMAS = 2.0
"""The start level is at least the highest of the first points minus this many standard deviations
of noise."""
MIN_SHARE_GIVEN_BACK = 0.25
"""A rise is remarked on only if it undoes more than this share of the fall before it. The detector
of loss spikes uses the same share. If the loss is still high at the end of the log, it is enough
that the rise exceeds this share of the lowest level."""
MIN_SEGMENTS_HIGH = 3
"""A temporary rise is remarked on only if it lasts for this many segments. A shorter rise is a
spike."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A question about a run, and how it is answered.

    name       kebab-case and unique
    question   what a person asks
    arises     the condition under which the question is answered, in words
    answer     returns the answer in one sentence with its numbers; None if the question does not
               arise
    reassures  whether the answer says that something is normal. Such an answer is left out of a
               diagnosis that has findings
    source     where the explanation or the threshold comes from; "" if it is plain arithmetic
    """

    name: str
    question: str
    arises: str
    answer: Callable[[Evidence], str | None]
    reassures: bool = True
    source: str = ""


def notices_on(evidence: Evidence, findings: Sequence[Finding] = ()) -> tuple[str, ...]:
    """The answers to all questions that arise for a run, in the order of NOTICES; () if the rules
    for a loss do not apply (`Evidence.no_loss_rules`)."""
    if evidence.no_loss_rules:
        return ()
    answers = (notice.answer(evidence) for notice in NOTICES if not (findings and notice.reassures))
    return (*filter(None, answers), *_worrying_remarks(evidence))


# Which checkpoint


def _checkpoint(evidence: Evidence) -> str | None:
    """Name the evaluation with the lowest validation loss, those that are as good, and those that
    are best by a held-out metric."""
    val = evidence.curve_or_empty("val_loss")
    metrics = _held_out_metrics(evidence)
    if len(val) < MIN_CHECKPOINTS:
        best = [
            f"{name} is best at step {metric.steps[at]}: {metric.values[at]:.4g}"
            for name, metric, at in metrics[:MAX_METRICS_NAMED]
        ]
        return f"which checkpoint to keep: {'; '.join(best)}" if best else None
    steps, values = val.steps, val.values
    if not np.ptp(values):
        return None
    lowest = int(values.argmin())
    place = {0: ", the first evaluation", len(val) - 1: ", the last evaluation"}.get(lowest, "")
    parts = [f"val_loss is lowest at step {steps[lowest]}{place}: {values[lowest]:.4g}"]
    # A loss is compared on a ratio scale, since its noise shrinks with its level.
    positive = bool(values[lowest] > 0)
    scaled = Curve(steps, np.log(values)) if positive else val
    noise = _noise_of_difference(scaled, lowest)
    as_good = np.flatnonzero(scaled.values <= scaled.values[lowest] + noise)
    usual = f"{100 * np.expm1(noise):.2g} %" if positive else f"{noise:.2g}"
    differ = f"differ from it by no more than their noise, {usual}" if noise else "are as low"
    if len(as_good) == len(values):
        parts.append(f"no evaluation differs from it by more than their noise, {usual}")
    elif len(as_good) > 1:
        parts.append(
            f"{len(as_good)} of {len(values)} evaluations, between step {steps[as_good[0]]} and "
            f"step {steps[as_good[-1]]}, {differ}"
        )
    named: set[int] = set()
    for name, metric, at in metrics:
        step, best_value = int(metric.steps[at]), float(metric.values[at])
        there = metric.values[metric.steps == steps[lowest]]
        if (
            there.size
            and abs(there[0] - best_value) > _noise_of_difference(metric, at)
            and step not in named
            and len(named) < MAX_METRICS_NAMED
        ):
            named.add(step)
            parts.append(
                f"{name} is best at step {step}: {best_value:.4g}, against {there[0]:.4g} at step "
                f"{steps[lowest]}"
            )
    return f"which checkpoint to keep: {'; '.join(parts)}"


def _held_out_metrics(evidence: Evidence) -> list[tuple[str, Curve, int]]:
    """The metrics that were measured on held-out data: name, curve, and the index of the best
    value (the first of equal ones). Metrics that never change are left out."""
    stated = evidence.facts.get("metric_direction")
    found = []
    for name in evidence.sites("metric"):
        direction = direction_of(name, stated if isinstance(stated, dict) else None)
        metric = Curve(*evidence.series("metric", name))
        if (
            direction
            and is_held_out(name)
            and len(metric) >= MIN_CHECKPOINTS
            and np.ptp(metric.values)
        ):
            best = metric.values.argmax() if direction == "up" else metric.values.argmin()
            found.append((printable(name), metric, int(best)))
    return found


def _noise_of_difference(evaluations: Curve, at: int) -> float:
    """Standard deviation of the difference of two evaluations, from the NOISE_EVALUATIONS that are
    nearest to the one at index `at`; 0 for fewer than MIN_EVALUATIONS_FOR_NOISE."""
    if len(evaluations) < MIN_EVALUATIONS_FOR_NOISE:
        return 0.0
    begin = max(0, min(at - NOISE_EVALUATIONS // 2, len(evaluations) - NOISE_EVALUATIONS))
    return sqrt(2) * noise_around_trend(evaluations.values[begin : begin + NOISE_EVALUATIONS])


# Spikes


def _spikes(evidence: Evidence) -> list[tuple[int, float, float]]:
    """The spikes of the training loss that came back: step, value, and level around it."""
    loss = evidence.curve_or_empty("loss")
    if not loss.has_segments or len(loss) < SPIKE_WINDOW:
        return []
    values, half = loss.values, SPIKE_WINDOW // 2
    windows = sliding_window_view(values, SPIKE_WINDOW)
    level = np.concatenate([median(windows[i : i + CHUNK]) for i in range(0, len(windows), CHUNK)])
    height = values[half:-half] - level
    learned = loss.start_level - float(loss.segments.level.min())
    least = MIN_SPIKE_SHARE * learned
    found: list[tuple[int, float, float]] = []
    last = -SPIKE_WINDOW
    for i in np.flatnonzero(height > least) if learned > 0 else ():
        around = values[max(0, i + half - 50) : i + half + 51]
        sigma = MAD_TO_SIGMA * float(median(np.abs(around - median(around))))
        if height[i] <= MIN_SPIKE_SIGMAS * sigma:
            continue
        spike = (int(loss.steps[i + half]), float(values[i + half]), float(level[i]))
        if i - last > half:
            found.append(spike)
        elif spike[1] > found[-1][1]:
            found[-1] = spike
        last = int(i)
    return found


def _spike(evidence: Evidence) -> str | None:
    """Say where the loss has its highest short spike, and how many there are."""
    loss, spikes = evidence.curve_or_empty("loss"), evidence.cached(_spikes)
    if not spikes or not loss.fell or len(spikes) > max(1, MAX_SPIKE_RATE * len(loss)):
        return None
    step, value, level = max(spikes, key=lambda spike: spike[1] - spike[2])
    where = f"at step {step}: {value:.4g}, where {level:.4g} is usual"
    if len(spikes) == 1:
        return (
            f"the loss has a spike {where}; one that comes back is normal, because a batch may be "
            "unlike the others"
        )
    return (
        f"the loss has {len(spikes)} spikes, the highest {where}; so few that come back are "
        "normal, because some batches are unlike the others"
    )


def _spike_batch(evidence: Evidence) -> str | None:
    """Name the rows of the batch of the highest spike."""
    spikes = evidence.cached(_spikes)
    if not spikes or not evidence.sites("batch_ids"):
        return None
    step = max(spikes, key=lambda spike: spike[1] - spike[2])[0]
    rows = []
    for site in evidence.sites("batch_ids"):
        steps, values = evidence.series("batch_ids", site)
        rows += [f"{row:.0f}" for row in values[steps == step]]
    if not rows:
        return None
    more = f" and {len(rows) - MAX_ROWS_NAMED} more" if len(rows) > MAX_ROWS_NAMED else ""
    return (
        f"the batch of the highest spike of the loss, at step {step}, held the rows "
        f"{', '.join(rows[:MAX_ROWS_NAMED])}{more}"
    )


# Training beside validation


def _at_evaluations(evidence: Evidence) -> tuple[Column, Column]:
    """Training and validation loss at each evaluation [n], [n]. The training loss is the median of
    the last quarter of the points since the evaluation before. Evaluations without such points are
    left out."""
    loss, val = evidence.curve_or_empty("loss"), evidence.curve_or_empty("val_loss")
    ends = np.searchsorted(loss.steps, val.steps, side="right")
    begins = np.r_[0, ends[:-1]]
    kept = np.flatnonzero(ends > begins) if len(val) else np.array([], dtype=int)
    train = [
        median(loss.values[end - (end - begin + 3) // 4 : end])
        for begin, end in zip(begins[kept], ends[kept], strict=True)
    ]
    return np.array(train), val.values[kept]


def _val_below_train(evidence: Evidence) -> str | None:
    """Say why validation loss is below training loss."""
    train, val = evidence.cached(_at_evaluations)
    if len(val) < MIN_CHECKPOINTS or train.min() <= 0:
        return None
    if val[-1] > MAX_FINAL_VAL * val.min():
        return None
    below, gap = int((val < train).sum()), float(median(1 - val / train))
    # A loss on the training split in evaluation mode shows whether the model is better there.
    full = evidence.curve_or_empty("train_loss")
    full_is_lower = len(full) >= MIN_CHECKPOINTS and full.values[-1] < val[-1]
    if (
        below < MIN_SHARE_BELOW * len(val)
        or not MIN_GAP_BELOW <= gap <= MAX_GAP_BELOW
        or full_is_lower
    ):
        return None
    return (
        f"validation loss is below training loss at {below} of {len(val)} evaluations, in the "
        f"median by {100 * gap:.0f} %; this is normal, because dropout and augmentation are off in "
        "evaluation, and the training loss was measured earlier, on a model that had learned less"
    )


def _times_val(evidence: Evidence) -> str | None:
    """Say that training loss is a constant multiple of validation loss."""
    train, val = evidence.cached(_at_evaluations)
    if len(val) < MIN_EVALUATIONS_OF_RATIO or min(train.min(), val.min()) <= 0:
        return None
    logs = np.log(train / val)
    log_ratio = float(median(logs))
    ratio = float(np.exp(log_ratio))
    times = max(1, round(ratio))
    off = abs(ratio / times - 1)
    is_accumulation = times >= 4 and times & (times - 1) == 0 and off <= MAX_DEVIATION_FROM_POWER
    is_multiple = (
        times >= 2
        and off <= MAX_DEVIATION_FROM_INTEGER
        and val.max() / val.min() >= MIN_RANGE_OF_VAL
    )
    constant = np.abs(logs - log_ratio).max() <= MAX_LOG_RATIO_DEVIATION
    if not constant or not (is_accumulation or is_multiple):
        return None
    return (
        f"training loss is about {times} times validation loss at all {len(val)} evaluations; a "
        f"loss that is summed over {times} accumulated batches, devices or terms looks like this, "
        f"as does one with a penalty that only training has; divide a sum by {times} before you "
        "compare the two"
    )


def _step_at_epochs(evidence: Evidence) -> str | None:
    """Say that training loss falls in steps at the ends of epochs."""
    loss, val = evidence.curve_or_empty("loss"), evidence.curve_or_empty("val_loss")
    if not loss.has_segments or len(val) < MIN_CHECKPOINTS:
        return None
    ends = np.searchsorted(loss.steps, val.steps, side="right")
    ends = ends[(ends > 0) & (ends < len(loss))]
    if len(ends) < MIN_EPOCH_ENDS:
        return None
    distance = np.diff(loss.steps[ends])
    points = int(np.diff(ends).min())
    # Where the loss is logged every few steps, an end lies between two of its points.
    if np.ptp(distance) > loss.steps[1] - loss.steps[0] or points < MIN_POINTS_PER_EPOCH:
        return None
    width = points // 4
    means = sliding_window_view(loss.values, width).mean(axis=1)
    falls = means[:-width] - means[width:]  # from the `width` points before a point to those after
    at_ends = ends - width
    # A convex curve falls more before an end than after it, so the fall at an end is compared with
    # the falls on both of its sides.
    left, right = at_ends - 2 * width, at_ends + 2 * width
    whole = (left >= 0) & (right < len(falls))
    if whole.sum() < MIN_EPOCH_ENDS:
        return None
    at_ends, sides = at_ends[whole], np.maximum(falls[left[whole]], falls[right[whole]])
    inside = np.ones(len(falls), dtype=bool)
    for at in at_ends:
        inside[max(0, at - width) : at + width + 1] = False
    inside[: at_ends[0]] = False  # before the first end the loss falls for other reasons
    sigma = MAD_TO_SIGMA * float(median(np.abs(falls[inside] - median(falls[inside]))))
    steps, excess = falls[at_ends], falls[at_ends] - sides
    size = float(median(steps))
    if (
        excess.min() <= 0
        or median(excess) < MIN_STEP_SIGMAS * sigma
        or size < MIN_STEP_SHARE * float(median(loss.values))
    ):
        return None
    return (
        f"training loss falls in steps of about {size:.2g} at the evaluations, about every "
        f"{median(np.diff(val.steps)):.0f} steps; if an epoch ends there, this is normal for "
        "repeated data, because the model remembers rows that it has seen before"
    )


# The gradient norm and the noise


def _grad_norm(evidence: Evidence) -> str | None:
    """Say that a gradient norm is large or has grown, when healthy runs show as much."""
    loss, norm = evidence.curve_or_empty(evidence.loss_signal), evidence.curve_or_empty("grad_norm")
    if not norm.has_segments or not loss.fell or norm.segments.level.min() <= 0:
        return None
    level = norm.segments.level
    lowest, end = float(level.min()), float(median(level[-3:]))
    low, high = GRAD_NORM_GROWTH
    grows = -norm.fall_z > 3
    if grows and low <= end / lowest <= high:
        return (
            f"the gradient norm grows, from {lowest:.3g} to {end:.3g}, while the loss falls; this "
            f"is normal, because in healthy runs it was measured to grow up to {high:g} times"
        )
    if end > LARGE_GRAD_NORM and end / lowest < low:
        return (
            f"the gradient norm is large, about {end:.3g}, and does not grow; its size alone is "
            "normal, because it depends on the unit of the loss and the number of parameters"
        )
    return None


def _oscillation(evidence: Evidence) -> str | None:
    """Say how far single points of the loss deviate from their level."""
    loss = evidence.curve_or_empty("loss")
    if not loss.fell or loss.segments.level.min() <= 0:
        return None
    level, noise = loss.segments.level, loss.segments.noise
    half = len(level) // 2
    share = float(median(noise[half:] / level[half:]))
    least, most = RELATIVE_NOISE
    learned = loss.start_level - float(level.min())
    if not least <= share <= most or median(noise[half:]) < MIN_NOISE_SHARE * learned:
        return None
    return (
        f"the loss oscillates: single points deviate from their level by {100 * share:.0f} % (one "
        "standard deviation, in the second half); this is normal for a loss that is measured on "
        "few rows, and four times the batch size would halve it"
    )


# The schedule and the shape of the loss


def _constant_rate(evidence: Evidence) -> str | None:
    """Say that the rate is constant, unless the record declares that."""
    rate = evidence.curve_or_empty("lr")
    if (
        not _has_schedule(rate)
        or np.ptp(rate.values)
        or evidence.facts.get("schedule") == "constant"
    ):
        return None
    fact = f"lr is constant: {rate.values[0]:.4g} at all {len(rate)} points"
    if not evidence.curve_or_empty(evidence.loss_signal).fell:
        return fact
    return (
        f"{fact}; this is normal, because Adam and SGD learn at one rate as well; a rate that "
        "falls towards the end often lowers the loss further"
    )


def _rate_starts_at_peak(evidence: Evidence) -> str | None:
    """Say that the rate starts at its peak, if the log contains the start of the run."""
    rate = evidence.curve_or_empty("lr")
    if not _has_schedule(rate) or not np.ptp(rate.values) or rate.steps[0] > 1:
        return None
    if rate.values[0] < rate.values.max():
        return None
    fact = f"lr starts at its peak: {rate.values[0]:.4g} at step {rate.steps[0]}"
    if not evidence.curve_or_empty(evidence.loss_signal).fell:
        return fact
    return f"{fact}; this is normal below a certain rate, because only larger rates need a warmup"


def _cut_schedule(evidence: Evidence) -> str | None:
    """Say that the log ends before its declared schedule does."""
    rate, total = evidence.curve_or_empty("lr"), evidence.facts.get("total_steps")
    if not _has_schedule(rate) or not np.ptp(rate.values) or not isinstance(total, int | float):
        return None
    step, last = rate.steps[-1], float(rate.values[-1])
    if step + 1 >= (1 - MAX_SHARE_LEFT) * total or last <= MAX_SHARE_LEFT * rate.values.max():
        return None
    return (
        f"the log ends before its schedule does: at step {step} of {total:g}, with lr at "
        f"{last:.4g}; this is normal if the run was stopped early, or if a checkpoint wrote the log"
    )


def _has_schedule(rate: Curve) -> bool:
    """Whether a learning rate has enough points to show a schedule and is not 0 throughout."""
    return len(rate) >= MIN_RATE_POINTS and bool(rate.values.any())


def _still_falling(evidence: Evidence) -> str | None:
    """Say that the loss falls about as fast at its end as before."""
    loss = evidence.curve_or_empty(evidence.loss_signal)
    if not loss.has_segments or _largest_rise(loss).is_clear or not _falls_along_a_line(loss):
        return None
    val = evidence.curve_or_empty("val_loss")
    if len(val) >= MIN_CHECKPOINTS and val.values[-1] > MAX_FINAL_VAL_OF_FALL * val.values.min():
        return None
    (first, _), (second, _) = _falls_of_halves(loss)
    return (
        f"the loss is still falling at its end: by {first:.4g} in the first half of the log and by "
        f"{second:.4g} in the second; this is normal, and more steps would lower the training loss "
        "further"
    )


def _came_back(evidence: Evidence) -> str | None:
    """Say that the loss rose for long and came back."""
    loss = evidence.curve_or_empty(evidence.loss_signal)
    if not loss.has_segments:
        return None
    rise = _largest_rise(loss)
    if not (
        rise.is_clear
        and rise.learned_is_clear
        and rise.came_back
        and rise.height > MIN_SHARE_GIVEN_BACK * rise.learned
    ):
        return None
    return (
        f"the loss rose for long and came back: {rise}; this is normal if the data or the learning "
        "rate changed there"
    )


class _Rise(NamedTuple):
    """The largest rise of the levels of a loss, from the segment `bottom` to the segment `top`.

    learned      fall from the start to the level of `bottom`
    is_clear     whether the rise exceeds the noise and the usual drift
    learned_is_clear  whether `learned` does as well
    is_sustained whether it also exceeds noise that is correlated
    ends_high    whether the loss ends above the middle of the rise
    came_back    whether it ends below the middle after several segments above
    text         the levels and their steps
    """

    height: float
    learned: float
    lowest: float
    is_clear: bool
    learned_is_clear: bool
    is_sustained: bool
    ends_high: bool
    came_back: bool
    text: str

    def __str__(self) -> str:
        return self.text


def _largest_rise(loss: Curve) -> _Rise:
    """The largest rise of a loss that has segments."""
    segments, first_points = loss.segments, loss.values[:MIN_SEGMENT_POINTS]
    level, error = segments.level, segments.error
    correlated_error = loss.level_error if len(loss) >= MIN_POINTS_FOR_CORRELATION else error
    # A loss may fall far within its first segment, or even within its first points. Its start is
    # therefore the median of the first points, or the highest of them minus a bound on the noise.
    start = max(
        float(median(first_points)),
        float(first_points.max() - START_OUTLIER_SIGMAS * segments.noise[0]),
    )
    top = int((level - np.minimum.accumulate(level)).argmax())
    bottom = int(level[: top + 1].argmin())
    height, learned = float(level[top] - level[bottom]), float(start - level[bottom])
    drift = MAD_TO_SIGMA / sqrt(6) * float(median(np.abs(np.diff(level, 2))))
    least_change = max(
        MIN_RISE_ERRORS * float(np.hypot(error[top], error[bottom])),
        MIN_RISE_DRIFTS * sqrt(2) * drift,
    )
    is_high = level[bottom:] > (level[top] + level[bottom]) / 2
    return _Rise(
        height,
        learned,
        float(level[bottom]),
        is_clear=height > least_change,
        learned_is_clear=learned > least_change,
        is_sustained=height
        > MIN_RISE_ERRORS * float(np.hypot(correlated_error[top], correlated_error[bottom])),
        ends_high=bool(is_high[-1]),
        came_back=not is_high[-1] and int(is_high.sum()) >= MIN_SEGMENTS_HIGH,
        text=f"from {level[bottom]:.4g} around step {segments.first_step[bottom]} to "
        f"{level[top]:.4g} around step {segments.first_step[top]}, and {level[-1]:.4g} at its end",
    )


def _falls_along_a_line(loss: Curve) -> bool:
    """Whether a loss falls about as fast in the second half of the log as in the first."""
    fall, error = _fall(loss.segments.level, loss.segments.error)
    (first, _), (second, second_error) = _falls_of_halves(loss)
    low, high = LINE_RATIO
    return (
        fall > MIN_LINE_FALL_ERRORS * error
        and second > MIN_SECOND_HALF_FALL_ERRORS * second_error
        and low * first <= second <= high * first
    )


def _falls_of_halves(loss: Curve) -> tuple[tuple[float, float], tuple[float, float]]:
    """Fall, and its standard error, in the first and in the second half of the segments."""
    level, error = loss.segments.level, loss.segments.error
    half = len(level) // 2
    return _fall(level[:half], error[:half]), _fall(level[-half:], error[-half:])


def _fall(level: Column, error: Column) -> tuple[float, float]:
    """The fall of the least-squares line through the levels [B], from the first to the last
    segment, and its standard error."""
    place = np.arange(len(level)) - (len(level) - 1) / 2
    weight = place / (place @ place) * len(level)
    return -float(weight @ level), float(np.linalg.norm(weight * error))


NOTICES: tuple[Notice, ...] = (
    Notice(
        name="checkpoint",
        question="Which checkpoint do I keep?",
        arises="validation loss, or a metric on held-out data, has three evaluations or more",
        answer=_checkpoint,
        reassures=False,
        source="the noise of an evaluation: second differences (Rice 1984), times sqrt(2)",
    ),
    Notice(
        name="spike",
        question="Is a spike of the loss normal?",
        arises=(
            "a point or a few rise by eight standard deviations and a fifth of what was learned, "
            "and come back within ten points; several, if they are at most one in a hundred points"
        ),
        answer=_spike,
    ),
    Notice(
        name="spike-batch",
        question="Which batch caused the spike?",
        arises="there is such a spike, and `batch_ids` were recorded at its step",
        answer=_spike_batch,
        reassures=False,
    ),
    Notice(
        name="times-validation",
        question="Why is training loss many times validation loss?",
        arises=(
            "the ratio does not change, and it is 4, 8, 16, ... within 7 %, or another whole "
            "number within 3 % although both losses fell by a third"
        ),
        answer=_times_val,
        reassures=False,
        source=(
            "trainers that report the sum over accumulated batches: huggingface/transformers "
            "#34511, #35438"
        ),
    ),
    Notice(
        name="validation-below-training",
        question="Why is validation loss below training loss?",
        arises="it is at three of four evaluations, by 3 % to 45 % in the median",
        answer=_val_below_train,
        source="the FAQ of Keras: why is my training loss much higher than my testing loss",
    ),
    Notice(
        name="step-at-epoch",
        question="Why does training loss fall in steps?",
        arises="it falls more at the evaluations, which have a constant distance, than beside them",
        answer=_step_at_epochs,
        source="huggingface/transformers #18730, hiyouga/LlamaFactory #7485",
    ),
    Notice(
        name="gradient-norm",
        question="My gradient norm is large or grows: is that normal?",
        arises=("the loss fell, and the norm ends at 1.5 to 5 times its lowest level or above 10"),
        answer=_grad_norm,
        source=(
            "177 healthy trainings of thirteen kinds of loss (at most 3.7 times at their end) and "
            "six healthy public logs (at most 5.0 times at any time)"
        ),
    ),
    Notice(
        name="oscillation",
        question="Why does the loss oscillate?",
        arises=(
            "the loss fell, and in the second half its noise is 15 % to 100 % of its level and at "
            "least 5 % of what was learned"
        ),
        answer=_oscillation,
    ),
    Notice(
        name="constant-rate",
        question="Should the learning rate be constant?",
        arises="the learning rate is the same at all points, twenty or more",
        answer=_constant_rate,
    ),
    Notice(
        name="rate-starts-at-peak",
        question="Do I need a warmup?",
        arises="the log begins at step 0 or 1 with the highest learning rate",
        answer=_rate_starts_at_peak,
        source="the sweep in docs/why.md; Goyal et al. 2017",
    ),
    Notice(
        name="schedule-cut",
        question="Was the run stopped too early?",
        arises="a tenth of the declared steps or more is missing, and the rate is still high",
        answer=_cut_schedule,
    ),
    Notice(
        name="still-falling",
        question="Would more steps help?",
        arises=(
            "the loss falls about as fast in the second half of the log as in the first, and "
            "validation loss ends within 3 % of its lowest"
        ),
        answer=_still_falling,
    ),
    Notice(
        name="came-back",
        question="Why did the loss rise and come back?",
        arises="a rise gives back a quarter of what was learned, for three segments or more",
        answer=_came_back,
    ),
)
"""All questions, in the order in which their answers are listed."""


# Remarks that worry. They are no notices: each is to become a finding or a reason why a run cannot
# be judged.

MIN_RELATIVE_FALL = 0.01
"""A fall of the loss by less than this share of its start is remarked on as small."""
MIN_TIMES_BELOW_ZERO = 100
"""A loss counts as having no lower bound if it ends below 0 by more than this many times its start
level. The negative log-likelihood of a continuous density may also be below 0, but keeps its order
of magnitude."""
MIN_EVALUATIONS = 10
"""Minimum number of evaluations for using the median of the last quarter."""
FEW_EVALUATIONS_LAST, FEW_EVALUATIONS_MIN_RISE = 2, 1.2
"""With fewer than MIN_EVALUATIONS evaluations, remark only if the last 2 are more than 1.2 times
the minimum. The overfitting detector uses the same factor."""
MIN_FINAL_RISE = 1.1
"""Validation loss is remarked on only if the median of its last quarter is more than this many
times the minimum of the running median over three evaluations. Ordinary fluctuations stay below
it."""
MIN_RISE_FROM_FIRST = 1.03
"""Validation loss counts as rising from its first evaluation only if its last level is more than
this many times its first value. As for overfitting, a loss within 3 % of its minimum counts as
equal to it."""
MIN_RISE_FROM_FIRST_Z = 3.0
"""The rise from the first evaluation must exceed this many standard errors (`fall_z`)."""


def val_loss_never_fell(evidence: Evidence) -> bool:
    """Whether validation loss rose and was never below its first evaluation, although the training
    loss fell."""
    if evidence.no_loss_rules:
        return False
    val = evidence.curve_or_empty("val_loss")
    if not val.has_segments or not evidence.curve_or_empty(evidence.loss_signal).fell:
        return False
    rose = (
        val.segments.level[-1] > MIN_RISE_FROM_FIRST * val.values[0]
        and -val.fall_z > MIN_RISE_FROM_FIRST_Z
    )
    return bool(rose and 0 < val.values[0] <= val.values.min())


def _worrying_remarks(evidence: Evidence) -> tuple[str, ...]:
    """The remarks on a loss or a validation loss that does not end near its best."""
    loss = evidence.curve_or_empty(evidence.loss_signal)
    on_loss = (
        (*_on_high_end(loss), *_on_small_fall(loss), *_on_missing_floor(loss))
        if loss.has_segments
        else ()
    )
    val = evidence.curve_or_empty("val_loss")
    on_val = tuple(_on_end_of_validation(val))
    if evidence.cached(val_loss_never_fell):
        on_val = (
            f"val_loss rose from its first evaluation on: from {val.values[0]:.4g} at step "
            f"{val.steps[0]} to {val.values[-1]:.4g}; either the labels are unrelated to the "
            "inputs, or the first evaluation came too late",
        )
    return (*on_loss, *on_val)


def _on_high_end(loss: Curve) -> Iterator[str]:
    """Remark on a loss that ends far above its lowest level."""
    rise = _largest_rise(loss)
    whole = min(rise.learned, rise.lowest) if rise.lowest > 0 else rise.learned
    if (
        rise.is_clear
        and rise.learned_is_clear
        and rise.ends_high
        and rise.is_sustained
        and rise.height > MIN_SHARE_GIVEN_BACK * whole
    ):
        yield f"the loss ends far above its lowest: {rise}"


def _on_small_fall(loss: Curve) -> Iterator[str]:
    """Remark on a loss that fell by only a tiny part of its level. Either the task was learned
    before the log began, or the loss contains a large constant."""
    segments, error = loss.segments, loss.level_error
    start, end = float(loss.values[:MIN_SEGMENT_POINTS].max()), float(segments.level[-1])
    least = MIN_RISE_ERRORS * float(np.hypot(error[0], error[-1]))
    if end > 0 and start - end < MIN_RELATIVE_FALL * start and segments.level[0] - end > least:
        yield (
            f"the loss fell by no more than {100 * (1 - end / start):.2g} %: from {start:.6g} to "
            f"{end:.6g}"
        )


def _on_missing_floor(loss: Curve) -> Iterator[str]:
    """Remark on a loss that is far below 0 and falls ever faster, so it has no lower bound."""
    level = loss.segments.level
    start, middle, end = (float(level[at]) for at in (0, len(level) // 2, -1))
    if end < -MIN_TIMES_BELOW_ZERO * abs(start) and end < 2 * middle < 0:
        yield (
            f"the loss falls below 0 without end: from {start:.4g} to {end:.4g}; a cross-entropy "
            "does this if its targets are not probabilities"
        )


def _on_end_of_validation(val: Curve) -> Iterator[str]:
    """Remark on a validation loss that ends above its minimum by more than its usual
    fluctuation."""
    steps, values = val.steps, val.values
    if len(values) <= FEW_EVALUATIONS_LAST or values.min() <= 0:
        return
    if len(values) < MIN_EVALUATIONS:
        lowest = int(values.argmin())
        if values[-FEW_EVALUATIONS_LAST:].min() > FEW_EVALUATIONS_MIN_RISE * values[lowest]:
            yield _ends_above(float(values[-1]), float(values[lowest]), int(steps[lowest]))
        return
    medians = median(sliding_window_view(values, 3))
    last = max(3, len(values) // 4)
    lowest = int(medians[: len(medians) - last + 1].argmin())
    end = float(median(values[-last:]))
    if (
        medians[-last:].min() > medians[lowest] + noise_around_trend(values)
        and end > MIN_FINAL_RISE * medians[lowest]
    ):
        yield _ends_above(end, float(medians[lowest]), int(steps[lowest + 1]))


def _ends_above(end: float, lowest: float, step: int) -> str:
    return (
        f"val_loss ends {100 * (end / lowest - 1):.0f} % above its lowest: at {end:.4g}, after "
        f"{lowest:.4g} around step {step}"
    )
