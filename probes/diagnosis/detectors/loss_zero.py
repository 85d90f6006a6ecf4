"""Finds a loss that is exactly 0 and stays 0, either from one point to the next or from the first
point on. In such a run no target contributes to the loss.

This happens when every label is masked. Some trainers also write 0 where the loss was NaN. Three
harmless runs look similar. The rounded loss of an easy task also reaches 0, but through small
values, and a small gradient remains. A hinge (margin) loss and a policy loss are 0 at some steps
before they stay 0."""

from __future__ import annotations

from math import ceil, log10
from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import smallest_shown_by
from probes.diagnosis.evidence import Evidence
from probes.record import Column

MIN_ZEROS = 5
"""At least this many successive points must be 0. A log of twenty points can hold this many zeros.
One or two batches without a target give fewer zeros."""
MIN_PROVEN_ZEROS = 3
"""This many zeros are enough in two cases. In the first, they are the first points of the log, and
the gradient norm is exactly 0 at all of them as well. (A policy that starts as a copy of its
reference has a loss of 0, but a gradient.) In the second, training and validation loss both end
with zeros."""
MIN_FEW_BEFORE, MIN_SHARE_OF_FEW = 2, 0.5
"""If there are fewer than POINTS_BEFORE points before the first 0, at least MIN_FEW_BEFORE are
needed, and the last of them must be at least MIN_SHARE_OF_FEW of the largest. A loss that has
hardly fallen does not become exactly 0 within one more point by learning."""
MIN_SHARE_BEFORE_ZERO = 0.01
"""If training and validation loss both end with zeros, the last value of each before its zeros must
be at least this share of its largest value. The loss of an easy task comes to 0 through smaller
values."""
MIN_SHARE_OF_ZEROS = 0.1
"""The zeros must be at least this share of the points so far. In a long log several batches in a
row may have no target."""
MIN_ZEROS_FROM_FIRST = 20
"""At least this many zeros are needed when no point came before them. The loss of a policy that
starts as a copy of its reference is 0 at first and then changes."""
POINTS_BEFORE = 5
"""This many points before the first 0 show how the loss got there."""
MIN_FALL_FACTOR = 300.0
"""The median of the POINTS_BEFORE points must be more than this many times the smallest value that
the log can show. This factor and the next two were chosen on easy tasks, hinge losses and masked
targets, seeds 0-29."""
MIN_SMALLEST_FACTOR = 100.0
"""The smallest of the POINTS_BEFORE points must be more than this many times the smallest value
that the log can show. The loss of an easy task passes through small values."""
MIN_STEEPENING = 8.0
"""The final drop must be more than this many times the drop over the points before it. Both are
measured in decades; 0 counts as the smallest value that the log can show."""
ZERO_LOSS = Symptom(
    name="loss-zero",
    quantity="training loss, compared with its smallest value before the zeros",
    unit="unit of the loss",
    view=ViewKey.LOSS,
    worse="below",
    criterion=(
        f"training loss exactly 0 for {MIN_ZEROS} points and a tenth of the log, if the values "
        f"just before are over {MIN_FALL_FACTOR:g} times the smallest value that a log can show; "
        f"or for the first {MIN_ZEROS_FROM_FIRST} points; or for the first {MIN_PROVEN_ZEROS} "
        "points, if the gradient norm is 0 as well; or training and validation loss exactly 0 for "
        f"their last {MIN_PROVEN_ZEROS} points, if neither came to 0 through small values"
    ),
    source=(
        "a loss that learning brings to 0 passes through small values and keeps a gradient; "
        "factors chosen on seeds 0-29"
    ),
    sentence={"en": "From step {onset} on the training loss is exactly 0."},
)


class Zeros(NamedTuple):
    """The first uninterrupted zeros of a loss.

    onset     step of the first zero
    known     step at which there were enough zeros
    end       step of the last zero
    before    absolute values of the loss before the first zero, [n]
    """

    onset: int
    known: int
    end: int
    before: Column


def judge(evidence: Evidence) -> list[Finding]:
    if proven := _zeros_without_gradient(evidence) or _zeros_of_both_losses(evidence):
        return proven
    zeros = first_zeros(evidence)
    if zeros is None:
        return []
    if zeros.before.size:
        around = zeros.before[-2 * POINTS_BEFORE :]
        last, smallest_shown = around[-POINTS_BEFORE:], smallest_shown_by(zeros.before)
        if len(last) < POINTS_BEFORE:
            # With so few points, a loss that had fallen may have come to 0 through small values
            # between two of them. A loss that had hardly fallen has not.
            if len(last) < MIN_FEW_BEFORE or not last[-1] >= MIN_SHARE_OF_FEW * last.max():
                return []
        elif not np.isfinite(around).all() or last.min() <= MIN_SMALLEST_FACTOR * smallest_shown:
            return []
        early, late = np.array_split(around, 2)
        decades_before = log10(median(early) / median(late))
        decades_at_once = log10(median(last) / smallest_shown)
        if decades_at_once <= max(log10(MIN_FALL_FACTOR), MIN_STEEPENING * decades_before):
            return []
    if evidence.sites("grad_norm"):
        # A gradient that is not 0, and changes, shows that some target contributes to the loss. A
        # norm that is the same at every step was not measured, or was clipped.
        steps, norms = evidence.series("grad_norm")
        during = norms[(steps >= zeros.onset) & (steps <= zeros.known)]
        during = during[np.isfinite(during) & (during != 0)]
        if during.size and (during.size == 1 or np.ptp(during)):
            return []
    smallest = float(zeros.before.min()) if zeros.before.size else 0.0
    return [
        ZERO_LOSS.found(
            zeros.known, 0.0, site=evidence.loss_signal, limit=smallest, onset=zeros.onset
        )
    ]


def _zeros_without_gradient(evidence: Evidence) -> list[Finding]:
    """A finding when the loss and the gradient norm are exactly 0 at the first MIN_PROVEN_ZEROS
    points."""
    if not evidence.sites("grad_norm"):
        return []
    steps, losses = evidence.series(evidence.loss_signal)
    if len(losses) < MIN_PROVEN_ZEROS or losses[:MIN_PROVEN_ZEROS].any():
        return []
    first = steps[:MIN_PROVEN_ZEROS]
    at, norms = evidence.series("grad_norm")
    if not np.isin(first, at).all() or norms[np.isin(at, first)].any():
        return []
    known = int(first[-1])
    return [ZERO_LOSS.found(known, 0.0, site=evidence.loss_signal, limit=0.0, onset=int(first[0]))]


def _zeros_of_both_losses(evidence: Evidence) -> list[Finding]:
    """A finding when training and validation loss are both exactly 0 at their last
    MIN_PROVEN_ZEROS points, and neither came there through small values."""
    train, val = evidence.curve(evidence.loss_signal), evidence.curve_or_empty("val_loss")
    known = 0
    for curve in (train, val):
        above = np.flatnonzero(curve.values)
        onset = int(above[-1]) + 1 if len(above) else 0
        if len(curve) - onset < MIN_PROVEN_ZEROS:
            return []
        known = max(known, int(curve.steps[onset + MIN_PROVEN_ZEROS - 1]))
        before = np.abs(curve.values[:onset])
        before = before[before > 0]
        if not len(before):
            continue
        fall = log10(before[-1] / smallest_shown_by(before))
        usual = log10(before[0] / before[-1]) / max(1, len(before) - 1)
        # Two points do not show how fast the loss fell before.
        few = len(before) < MIN_PROVEN_ZEROS
        if before[-1] < MIN_SHARE_BEFORE_ZERO * before.max() or fall <= (
            log10(MIN_FALL_FACTOR) if few else max(1.0, MIN_STEEPENING * usual)
        ):
            return []
    first = np.flatnonzero(train.values)
    onset = int(train.steps[first[-1] + 1 if len(first) else 0])
    smallest = float(np.abs(train.values[train.values != 0]).min()) if len(first) else 0.0
    return [ZERO_LOSS.found(known, 0.0, site=evidence.loss_signal, limit=smallest, onset=onset)]


def first_zeros(evidence: Evidence, from_first: int = MIN_ZEROS_FROM_FIRST) -> Zeros | None:
    """The first zeros of the training loss; None when there are too few in a row.

    Later zeros do not count, since a loss that leaves 0 shows that 0 is a valid value. `from_first`
    zeros are needed when no point came before them. Raises CannotJudgeError without a loss."""
    steps, losses = evidence.series(evidence.loss_signal)
    is_zero = losses == 0
    first = int(is_zero.argmax())
    nonzero_after = np.flatnonzero(~is_zero[first:])
    length = int(nonzero_after[0]) if nonzero_after.size else len(losses) - first
    needed = (
        max(MIN_ZEROS, ceil(first * MIN_SHARE_OF_ZEROS / (1 - MIN_SHARE_OF_ZEROS)))
        if first
        else from_first
    )
    if length < needed:
        return None
    onset, known, end = (int(steps[first + i]) for i in (0, needed - 1, length - 1))
    return Zeros(onset, known, end, np.abs(losses[:first]))


DETECTOR = Detector("loss-zero", judge, (ZERO_LOSS,))
