"""Remarks on a run that has ended: facts that are worth knowing but are not faults. Each remark is
one sentence with its numbers.

A remark is never a finding: no cause needs it and no verdict depends on it. The fact may be
intended, or it may have several possible reasons that the log cannot distinguish
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


def remarks_on(evidence: Evidence) -> tuple[str, ...]:
    """All remarks on a run; () if the rules for a loss do not apply (`Evidence.no_loss_rules`)."""
    if evidence.no_loss_rules:
        return ()
    loss = evidence.curve_or_empty(evidence.loss_signal)
    on_loss = (
        (*_on_shape(loss), *_on_small_fall(loss), *_on_missing_floor(loss))
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
    return (*_on_rate(evidence), *on_loss, *on_val)


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


def _on_rate(evidence: Evidence) -> Iterator[str]:
    """Remark on a constant rate, a rate that starts at its peak, or a schedule that was cut off."""
    rate = evidence.curve_or_empty("lr")
    steps, rates = rate.steps, rate.values
    if len(rates) < MIN_RATE_POINTS or not rates.any():
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
    """Remark on a loss that rose for a long time, ends far above its lowest level, or is still
    falling at its end."""
    segments, first_points = loss.segments, loss.values[:MIN_SEGMENT_POINTS]
    level, error = segments.level, segments.error
    correlated_error = loss.level_error if len(loss) >= MIN_POINTS_FOR_CORRELATION else error
    # A loss may fall far within its first segment, or even within its first points. Its start is
    # therefore the median of the first points, or the highest of them minus a bound on the noise.
    start = max(
        float(median(first_points)),
        float(first_points.max() - START_OUTLIER_SIGMAS * segments.noise[0]),
    )
    # The largest rise: from the segment `bottom` to the segment `top`.
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
            f"the loss is still falling at its end: by {first:.4g} in the first half of the log "
            f"and by {second:.4g} in the second"
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
