"""Training loss beside validation loss: which one is lower, and whether training
loss falls suddenly at the end of each epoch."""

from __future__ import annotations

from math import log

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.common.arrays import median
from probes.diagnosis.curves import MAD_TO_SIGMA
from probes.diagnosis.evidence import Evidence
from probes.record import Column

MIN_EVALUATIONS = 3
"""Minimum number of evaluations for comparing the two losses."""
MIN_SHARE_BELOW = 0.75
"""Validation loss counts as lower if it is lower at this share of the evaluations."""
MIN_GAP_BELOW = 0.03
"""Validation loss counts as lower only if the median gap is at least this share of training
loss."""
MAX_GAP_BELOW = 0.45
"""A larger gap has other reasons. Training loss is then more than 1 / (1 - 0.45) = 1.8 times
validation loss."""
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
"""If a constant ratio is within this share of 4, 8, 16, ..., training loss is taken for a sum over
accumulated batches or devices, whose number is usually a power of 2. The ratio need not be exact,
because the mean training loss may be a little lower than validation loss."""
MAX_DEVIATION_FROM_INTEGER, MIN_RANGE_OF_VAL = 0.03, 1.5
"""If a constant ratio is within MAX_DEVIATION_FROM_INTEGER of another whole number, the highest
validation loss must also be at least MIN_RANGE_OF_VAL times the lowest. This shows that the ratio
stayed constant while both losses fell."""
MIN_EPOCH_ENDS = 2
"""Training loss is checked for sudden falls at the ends of epochs only if at least this many
evaluations have training loss both before and after them. A run of three epochs has two such
evaluations."""
MIN_POINTS_PER_EPOCH = 8
"""Minimum number of points of training loss between two of these evaluations."""
MIN_STEP_SIGMAS = 3.0
"""The fall at the end of an epoch is compared with the falls just before and just after it, which
are measured over as many points. By how much it exceeds the larger of these two is its excess. The
median excess of all epochs must be at least this many standard deviations of the falls within
epochs."""
MIN_STEP_SHARE = 0.02
"""The median fall at the end of an epoch is at least this share of the level of the loss."""


def val_below_train(evidence: Evidence) -> str | None:
    """Say why validation loss is below training loss."""
    train, val = evidence.cached(_at_evaluations)
    if len(val) < MIN_EVALUATIONS or train.min() <= 0:
        return None
    if val[-1] > MAX_FINAL_VAL * val.min():
        return None
    below, gap = int((val < train).sum()), float(median(1 - val / train))
    # `train_loss` is measured in evaluation mode. If it ends below validation loss, the model is
    # better on training rows than on validation rows, and nothing needs an explanation.
    full = evidence.curve_or_empty("train_loss")
    full_is_lower = len(full) >= MIN_EVALUATIONS and full.values[-1] < val[-1]
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


MAX_TIMES = 1e6
"""No run adds up more losses than this. A larger ratio has another reason, and may be infinite."""


def times_val(evidence: Evidence) -> str | None:
    """Say that training loss is a constant multiple of validation loss."""
    train, val = evidence.cached(_at_evaluations)
    if len(val) < MIN_EVALUATIONS_OF_RATIO or min(train.min(), val.min()) <= 0:
        return None
    logs = np.log(train) - np.log(val)
    log_ratio = float(median(logs))
    if log_ratio > log(MAX_TIMES):
        return None
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
        f"training loss is about {times} times validation loss at all {len(val)} evaluations; "
        f"this happens if it is summed over {times} accumulated batches, devices or terms, or if "
        f"only training loss contains a penalty; divide a sum by {times} before you compare the "
        "two losses"
    )


def step_at_epochs(evidence: Evidence) -> str | None:
    """Say that training loss falls in steps at the ends of epochs."""
    loss, val = evidence.curve_or_empty("loss"), evidence.curve_or_empty("val_loss")
    if not loss.has_segments or len(val) < MIN_EVALUATIONS:
        return None
    ends = np.searchsorted(loss.steps, val.steps, side="right")
    ends = ends[(ends > 0) & (ends < len(loss))]
    if len(ends) < MIN_EPOCH_ENDS:
        return None
    distance = np.diff(loss.steps[ends])
    points = int(np.diff(ends).min())
    # The distances may differ by one logging interval: if the loss is logged every few steps, an
    # epoch may end between two of its points.
    if np.ptp(distance) > loss.steps[1] - loss.steps[0] or points < MIN_POINTS_PER_EPOCH:
        return None
    width = points // 4
    means = sliding_window_view(loss.values, width).mean(axis=1)
    # falls[i]: from the mean of the `width` points from i on to the mean of the next `width` points
    falls = means[:-width] - means[width:]
    at_ends = ends - width
    # A convex curve falls more before the end of an epoch than after it, so the fall at the end is
    # compared with the falls on both sides of it.
    left, right = at_ends - 2 * width, at_ends + 2 * width
    whole = (left >= 0) & (right < len(falls))
    if whole.sum() < MIN_EPOCH_ENDS:
        return None
    at_ends, sides = at_ends[whole], np.maximum(falls[left[whole]], falls[right[whole]])
    inside = np.ones(len(falls), dtype=bool)
    for at in at_ends:
        inside[max(0, at - width) : at + width + 1] = False
    inside[: at_ends[0]] = False  # in the first epoch the loss falls for other reasons
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
