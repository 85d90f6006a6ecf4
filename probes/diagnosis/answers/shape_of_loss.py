"""A loss that is still falling at its end, or that rose for long and came back."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.curves import (
    MAD_TO_SIGMA,
    MIN_SEGMENT_POINTS,
    Curve,
)
from probes.diagnosis.evidence import Evidence
from probes.record import Column

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
MIN_EVALUATIONS = 3
"""With fewer evaluations, validation loss does not show whether it has risen."""
MAX_FINAL_VAL_OF_FALL = 1.03
"""If validation loss ends above this many times its lowest value, there is no remark that more
steps would lower the loss. A loss within 3 % of its minimum counts as equal to it, as for
overfitting."""
MIN_RISE_ERRORS = 6.0
"""A rise of the loss is remarked on only if the rise, and also the fall before it, exceeds this
many standard errors."""
MIN_RISE_DRIFTS = 3.0
"""A rise must also exceed this many standard deviations of the drift from segment to segment,
because smoothed noise drifts."""
START_OUTLIER_SIGMAS = 2.0
"""The start level of a loss is the median of its first points, or the highest of them minus this
many standard deviations of noise, whichever is higher."""
MIN_SHARE_GIVEN_BACK = 0.25
"""A rise is remarked on only if it undoes more than this share of the fall before it. The detector
of loss spikes uses the same share."""
MIN_SEGMENTS_HIGH = 3
"""A temporary rise is remarked on only if it lasts for this many segments. A shorter rise is a
spike."""


def still_falling(evidence: Evidence) -> str | None:
    """Say that the loss falls about as fast at its end as before."""
    loss = evidence.curve_or_empty(evidence.loss_signal)
    if not loss.has_segments or largest_rise(loss).is_clear:
        return None
    level, errors = loss.segments.level, loss.segments.error
    half = len(level) // 2
    fall, error = _fall(level, errors)
    first, _ = _fall(level[:half], errors[:half])
    second, second_error = _fall(level[-half:], errors[-half:])
    low, high = LINE_RATIO
    falls_along_a_line = (
        fall > MIN_LINE_FALL_ERRORS * error
        and second > MIN_SECOND_HALF_FALL_ERRORS * second_error
        and low * first <= second <= high * first
    )
    if not falls_along_a_line:
        return None
    val = evidence.curve_or_empty("val_loss")
    if len(val) >= MIN_EVALUATIONS and val.values[-1] > MAX_FINAL_VAL_OF_FALL * val.values.min():
        return None
    return (
        f"the loss is still falling at its end: by {first:.4g} in the first half of the log and by "
        f"{second:.4g} in the second; this is normal, and more steps would lower the training loss "
        "further"
    )


def came_back(evidence: Evidence) -> str | None:
    """Say that the loss rose for long and came back."""
    loss = evidence.curve_or_empty(evidence.loss_signal)
    if not loss.has_segments:
        return None
    rise = largest_rise(loss)
    if not (
        rise.is_clear
        and rise.learned_is_clear
        and rise.came_back
        and rise.height > MIN_SHARE_GIVEN_BACK * rise.learned
    ):
        return None
    return (
        f"the loss rose for long and came back: {rise.text}; this is normal if the data or "
        "the learning rate changed there"
    )


class Rise(NamedTuple):
    """The largest rise of the levels of a loss, from the segment `bottom` to the segment `top`.

    height            difference of the two levels
    learned           fall from the start of the log to the level of `bottom`
    is_clear          whether `height` exceeds the noise and the usual drift
    learned_is_clear  whether `learned` exceeds them as well
    came_back         whether the loss ends below the middle of the two levels, after several
                      segments above that middle
    text              the two levels and the last one, with their steps
    """

    height: float
    learned: float
    is_clear: bool
    learned_is_clear: bool
    came_back: bool
    text: str


def largest_rise(loss: Curve) -> Rise:
    """The largest rise of a loss that has segments."""
    segments, first_points = loss.segments, loss.values[:MIN_SEGMENT_POINTS]
    level, error = segments.level, segments.error
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
    return Rise(
        height,
        learned,
        is_clear=height > least_change,
        learned_is_clear=learned > least_change,
        came_back=not is_high[-1] and int(is_high.sum()) >= MIN_SEGMENTS_HIGH,
        text=f"from {level[bottom]:.4g} around step {segments.first_step[bottom]} to "
        f"{level[top]:.4g} around step {segments.first_step[top]}, and {level[-1]:.4g} at its end",
    )


def _fall(level: Column, error: Column) -> tuple[float, float]:
    """The fall of the least-squares line through the levels [B], from the first to the last
    segment, and its standard error."""
    place = np.arange(len(level)) - (len(level) - 1) / 2
    weight = place / (place @ place) * len(level)
    return -float(weight @ level), float(np.linalg.norm(weight * error))
