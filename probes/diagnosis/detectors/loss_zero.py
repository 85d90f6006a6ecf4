"""A loss that is exactly 0 from one point to the next, or from the first on, and stays so: no
target counts.

It is what is left when every label is masked, and what some trainers write where the loss was NaN.
An easy task whose loss is rounded gets to 0 as well, but through small numbers, and keeps a small
gradient; so do a margin that is met and a policy's loss, which are 0 now and then before they stay
so."""

from __future__ import annotations

from math import ceil, log10
from typing import NamedTuple

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import Evidence
from probes.record import Column

SYMPTOM = "loss-zero"
ZEROS = 5
"""Successive points: all that a log of twenty has time for, and more than a batch or two without a
target."""
SHARE = 0.1
"""Of the points so far, which they must be as well: a long log has batches without a target in a
row."""
FROM_FIRST = 20
"""As many when nothing came before: the loss of a policy that is its own reference begins at 0 and
then leaves it."""
LAST = 5
"""Points before the first 0 from which it must have fallen; with fewer, the way there was not
seen."""
FALL = 300.0
"""Times the least that the log can show: by so much the median of those points lies above it.
Chosen with the next two on easy tasks, met margins and masked targets, seeds 0-29."""
LEAST = 100.0
"""As many times for the smallest of them: small numbers are the way of an easy task."""
STEEPER = 8.0
"""Times what it fell along the LAST points before them, in decades: by so much at least it falls at
once."""
DIGITS = 6
"""After the point, beyond which a log is not rounded but full."""
PRECISION = 2.0**-23
"""Of float32, relative: what a log that is not rounded can show beside the larger of its values."""
LARGER = 0.9
"""Quantile of the values that is one of these."""
SOURCE = "a loss that is learned comes to 0 through small values, and keeps a gradient"


class Zeros(NamedTuple):
    """The first zeros of a loss, which stay: from `onset` to `end`; at `known` they had stayed for
    long enough.

    before    the values that came before them, [n]
    """

    onset: int
    known: int
    end: int
    before: Column


def first_zeros(evidence: Evidence, from_first: int = FROM_FIRST) -> Zeros | None:
    """Only the first, since zeros that are left show how a loss gets there. Raises CannotJudgeError
    without a loss.

    `from_first` is how many there have to be when nothing came before.
    """
    steps, losses = evidence.series(evidence.of_loss)
    is_zero = losses == 0
    first = int(is_zero.argmax())
    left = np.flatnonzero(~is_zero[first:])
    length = int(left[0]) if left.size else len(losses) - first
    needed = max(ZEROS, ceil(first * SHARE / (1 - SHARE))) if first else from_first
    if length < needed:
        return None
    onset, known, end = (int(steps[first + i]) for i in (0, needed - 1, length - 1))
    return Zeros(onset, known, end, np.abs(losses[:first]))


def _from_afar(before: Column) -> bool:
    """Whether values [n] are no way to 0: none at all, or so many that the way would have been
    seen, and it was not."""
    if not before.size:
        return True
    last, shown = before[-LAST:], _shown(before)
    if (
        len(last) < LAST
        or not np.isfinite(before[-2 * LAST :]).all()
        or last.min() <= LEAST * shown
    ):
        return False
    early, late = np.array_split(before[-2 * LAST :], 2)
    fallen = log10(np.median(early) / np.median(late))
    return log10(np.median(last) / shown) > max(log10(FALL), STEEPER * fallen)


def _shown(values: Column) -> float:
    """The least that a log can show besides 0: a unit of its last digit, or what float32 keeps
    beside its larger ones, since a loss of 0 is 1 less 1 in some place; the largest may be on its
    way to infinity."""
    finite = values[np.isfinite(values)]
    full = PRECISION * float(np.quantile(finite, LARGER)) if finite.size else 0.0
    for digits in range(DIGITS + 1):
        scaled = finite * 10.0**digits
        if (np.abs(scaled - np.round(scaled)) <= PRECISION * scaled).all():
            return max(full, 10.0**-digits)
    return full


def _learns(evidence: Evidence, zeros: Zeros) -> bool:
    """Whether a gradient arrives all the same."""
    if not evidence.sites("grad_norm"):
        return False
    steps, norms = evidence.series("grad_norm")
    during = norms[(steps >= zeros.onset) & (steps <= zeros.known)]
    return bool((np.isfinite(during) & (during != 0)).any())


def judge(evidence: Evidence) -> list[Finding]:
    zeros = first_zeros(evidence)
    if zeros is None or not _from_afar(zeros.before) or _learns(evidence, zeros):
        return []
    least = float(zeros.before.min()) if zeros.before.size else 0.0
    return [
        Finding(SYMPTOM, evidence.of_loss, zeros.known, 0.0, least, "below", SOURCE, zeros.onset)
    ]


DETECTOR = Detector(
    SYMPTOM,
    judge,
    {
        SYMPTOM: f"exactly 0 for {ZEROS} points and a tenth of the log, from {FALL:g} times the least that it shows, "
        f"or for {FROM_FIRST} points from the first on; {SOURCE}"
    },
)
