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
"""At least this many successive points must be 0. A log of twenty points has room for this many,
and one or two batches without a target give fewer."""
MIN_SHARE_OF_ZEROS = 0.1
"""At least this share of the points so far must be these zeros. In a long log several batches in a
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
    quantity="training loss, compared with its smallest value before",
    unit="unit of the loss",
    view=ViewKey.LOSS,
    worse="below",
    criterion=(
        f"training loss exactly 0 for {MIN_ZEROS} points and a tenth of the log, right after "
        f"values {MIN_FALL_FACTOR:g} times the smallest one that a log can show; or for the first "
        f"{MIN_ZEROS_FROM_FIRST} points"
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
    zeros = first_zeros(evidence)
    if zeros is None:
        return []
    if zeros.before.size:
        around = zeros.before[-2 * POINTS_BEFORE :]
        last, smallest_shown = around[-POINTS_BEFORE:], smallest_shown_by(zeros.before)
        if (
            len(last) < POINTS_BEFORE
            or not np.isfinite(around).all()
            or last.min() <= MIN_SMALLEST_FACTOR * smallest_shown
        ):
            return []
        early, late = np.array_split(around, 2)
        decades_before = log10(median(early) / median(late))
        decades_at_once = log10(median(last) / smallest_shown)
        if decades_at_once <= max(log10(MIN_FALL_FACTOR), MIN_STEEPENING * decades_before):
            return []
    if evidence.sites("grad_norm"):
        # A gradient that is not 0 shows that some target contributes to the loss.
        steps, norms = evidence.series("grad_norm")
        during = norms[(steps >= zeros.onset) & (steps <= zeros.known)]
        if (np.isfinite(during) & (during != 0)).any():
            return []
    smallest = float(zeros.before.min()) if zeros.before.size else 0.0
    return [
        ZERO_LOSS.found(
            zeros.known, 0.0, site=evidence.loss_signal, limit=smallest, onset=zeros.onset
        )
    ]


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
