"""Remarks on a run that has ended: facts worth knowing that are no fault, one sentence each with
its numbers.

A remark is never a finding: no cause needs it and no verdict depends on it. What it says may be
intended, or may have several reasons that the log cannot tell apart
(`docs/what-can-be-known.md`)."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.common.arrays import median
from probes.diagnosis.curves import (
    MAD_TO_SIGMA,
    MIN_POINTS_FOR_CORRELATION,
    MIN_SEGMENT_POINTS,
    Curve,
    noise_around_trend,
)
from probes.diagnosis.evidence import Evidence
from probes.record import Column

MIN_RATES = 20
"""Points of lr from which the schedule is remarked on."""
MAX_SHARE_LEFT = 0.1
"""Share of the declared steps that may be missing, and of the peak rate that may be left, at the
end of a schedule."""
MIN_LINE_FALL_ERRORS = 3.0
"""Standard errors by which a loss that still falls at its end must fall over the whole log."""
MIN_SECOND_HALF_FALL_ERRORS = 2.0
"""Standard errors by which it must fall in the second half."""
LINE_RATIO = (0.3, 1.2)
"""Fall in the second half of a log over the fall in the first, for a loss that falls along a line.
It is 1 for an exact line, a little more with noise, and below a third for a curve that comes to
rest. Chosen on the cases of `testing.faults`."""
MIN_RISE_ERRORS = 6.0
"""Standard errors of the levels that a rise of the loss, or a small fall, must exceed."""
MIN_RISE_DRIFTS = 3.0
"""Standard deviations of drift from segment to segment that a rise must exceed. Smoothed noise
drifts."""
START_OUTLIER_SIGMAS = 2.0
"""Standard deviations by which the highest of the first points may exceed the start level."""
MIN_SHARE_GIVEN_BACK = 0.25
"""Share of what was learned that a rise must give back, as for a spike of the loss. At the end of a
log the same share of the lowest level is enough."""
MIN_SEGMENTS_HIGH = 3
"""Segments for which a rise that came back must have lasted. A shorter one is a spike."""
MIN_RELATIVE_FALL = 0.01
"""Fall of the loss relative to its start, below which a fall is remarked on."""
MIN_TIMES_BELOW_ZERO = 100
"""Times its start level that a loss must be below 0 to have no floor. The loss of a density may be
below 0 too, but keeps its order of magnitude."""
MIN_EVALUATIONS = 10
"""Evaluations whose last quarter has a median."""
LAST_OF_FEW, MIN_RISE_OF_FEW = 2, 1.2
"""With fewer evaluations, remark only if the last two are at least 1.2 times the lowest (as for
overfitting)."""
MIN_FINAL_RISE = 1.1
"""Median of the last quarter of validation loss over its lowest median of three. Waves reach
less."""
MIN_RISE_FROM_FIRST = 1.03
"""Last level of validation loss over its first evaluation, for one that rose from there on. As for
overfitting, a loss within 3 % of its minimum counts as being there."""
MIN_RISE_FROM_FIRST_Z = 3.0
"""Standard errors of that rise (`fall_z`)."""


def remarks_on(evidence: Evidence) -> tuple[str, ...]:
    """All remarks on a run; none where rules for a loss do not apply."""
    if evidence.no_loss_rules:
        return ()
    loss = evidence.curve_or_empty(evidence.loss_signal)
    on_loss = (
        (*_on_shape(loss), *_on_small_fall(loss), *_on_missing_floor(loss))
        if loss.has_segments
        else ()
    )
    val = evidence.curve_or_empty("val_loss")
    on_val = (
        (_rose_from_first(val),)
        if evidence.once(val_loss_never_fell)
        else tuple(_on_end_of_validation(val))
    )
    return (*_on_rate(evidence), *on_loss, *on_val)


def val_loss_never_fell(evidence: Evidence) -> bool:
    """Whether validation loss rose and no evaluation was lower than the first, while the training
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


def _on_rate(evidence: Evidence) -> Iterator[str]:
    """A constant rate, a rate that starts at its peak, a schedule that was cut off."""
    rate = evidence.curve_or_empty("lr")
    steps, rates = rate.steps, rate.values
    if len(rates) < MIN_RATES or not rates.any():
        return
    first, peak, last = float(rates[0]), float(rates.max()), float(rates[-1])
    if (rates == first).all():
        if evidence.facts.get("schedule") != "constant":
            yield f"lr is constant: {first:.4g} at all {len(rates)} points"
        return
    if first == peak and steps[0] <= 1:
        yield f"lr starts at its peak: {first:.4g} at step {steps[0]}"
    total = evidence.facts.get("total_steps")
    if (
        isinstance(total, int | float)
        and steps[-1] + 1 < (1 - MAX_SHARE_LEFT) * total
        and last > MAX_SHARE_LEFT * peak
    ):
        yield (
            f"the log ends before its schedule does: at step {steps[-1]} of {total:g}, with lr at "
            f"{last:.4g}"
        )


def _on_shape(loss: Curve) -> Iterator[str]:
    """A loss that rose for long, ends far above its lowest level, or still falls at its end."""
    segments, first_points = loss.segments, loss.values[:MIN_SEGMENT_POINTS]
    level, error = segments.level, segments.error
    correlated_error = loss.level_error if len(loss) >= MIN_POINTS_FOR_CORRELATION else error
    # A loss may fall far within its first segment or its first points, so its start is the highest
    # of both, without what may be noise.
    start = max(
        float(median(first_points)),
        float(first_points.max() - START_OUTLIER_SIGMAS * segments.noise[0]),
    )
    top = int((level - np.minimum.accumulate(level)).argmax())
    bottom = int(level[: top + 1].argmin())
    rise, learned = level[top] - level[bottom], start - level[bottom]
    drift = MAD_TO_SIGMA / sqrt(6) * float(median(np.abs(np.diff(level, 2))))
    least_change = max(
        MIN_RISE_ERRORS * float(np.hypot(error[top], error[bottom])),
        MIN_RISE_DRIFTS * sqrt(2) * drift,
    )
    if rise > least_change:
        is_high = level[bottom:] > (level[top] + level[bottom]) / 2
        ends_high = is_high[-1] and rise > MIN_RISE_ERRORS * float(
            np.hypot(correlated_error[top], correlated_error[bottom])
        )
        came_back = not is_high[-1] and is_high.sum() >= MIN_SEGMENTS_HIGH
        whole = min(learned, level[bottom]) if is_high[-1] and level[bottom] > 0 else learned
        if (
            learned > least_change
            and rise > MIN_SHARE_GIVEN_BACK * whole
            and (ends_high or came_back)
        ):
            what = "ends far above its lowest" if ends_high else "rose for long and came back"
            yield (
                f"the loss {what}: from {level[bottom]:.4g} around step "
                f"{segments.first_step[bottom]} to {level[top]:.4g} around step "
                f"{segments.first_step[top]}, and {level[-1]:.4g} at its end"
            )
    elif _falls_along_a_line(loss):
        (first, _), (second, _) = _falls_of_halves(loss)
        yield (
            f"still falling at its end: by {second:.4g} in the second half of the log, by "
            f"{first:.4g} in the first"
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
    """How far the least-squares line through levels [B] falls over them, and its standard error."""
    place = np.arange(len(level)) - (len(level) - 1) / 2
    weight = place / (place @ place) * len(level)
    return -float(weight @ level), float(np.linalg.norm(weight * error))


def _on_small_fall(loss: Curve) -> Iterator[str]:
    """A loss that fell, but by a tiny part of its level: the task was learned before, or the loss
    contains a large constant."""
    segments, error = loss.segments, loss.level_error
    start, end = float(loss.values[:MIN_SEGMENT_POINTS].max()), float(segments.level[-1])
    least = MIN_RISE_ERRORS * float(np.hypot(error[0], error[-1]))
    if end > 0 and start - end < MIN_RELATIVE_FALL * start and segments.level[0] - end > least:
        yield (
            f"the loss fell by no more than {100 * (1 - end / start):.2g} %: from {start:.6g} to "
            f"{end:.6g}"
        )


def _on_missing_floor(loss: Curve) -> Iterator[str]:
    """A loss that is far below 0 and falls ever faster, since nothing bounds it."""
    level = loss.segments.level
    start, middle, end = (float(level[at]) for at in (0, len(level) // 2, -1))
    if end < -MIN_TIMES_BELOW_ZERO * abs(start) and end < 2 * middle < 0:
        yield (
            f"the loss falls below 0 without end: from {start:.4g} to {end:.4g}; a cross-entropy "
            "does so whose targets are no probabilities"
        )


def _rose_from_first(val: Curve) -> str:
    return (
        f"val_loss rose from its first evaluation on: from {val.values[0]:.4g} at step "
        f"{val.steps[0]} to {val.values[-1]:.4g}; unrelated labels look like that, and good ones "
        "first evaluated too late"
    )


def _on_end_of_validation(val: Curve) -> Iterator[str]:
    """A validation loss whose last quarter lies above its lowest by more than its waves."""
    steps, values = val.steps, val.values
    if len(values) <= LAST_OF_FEW or values.min() <= 0:
        return
    if len(values) < MIN_EVALUATIONS:
        lowest = int(values.argmin())
        if values[-LAST_OF_FEW:].min() > MIN_RISE_OF_FEW * values[lowest]:
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
