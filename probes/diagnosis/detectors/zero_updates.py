"""Finds updates that are exactly 0 in every recorded matrix although the learning rate is above 0:
no step changes the weights.

This happens when the optimizer holds other parameters than the model, when a gradient scaler skips
every step, and when the weights have too few digits to take up an update (bfloat16).

Four harmless runs look similar. A learning rate far below its peak gives updates that round to 0. A
run that accumulates gradients changes its weights at every k-th row only. A frozen layer stands
still beside others that move, or beside others that were not recorded; the loss then falls. A
regression on the full batch converges until its updates round to 0; its gradient is then small as
well."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_POINTS, fell
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Steps

MIN_ROWS = 20
"""At least this many of the last rows must have no update. A gradient scaler starts at 2^16 and
halves after each overflow, so it may skip 17 steps of a sound run until its scale is 1."""
MIN_SHARE_OF_ROWS = 0.1
"""These rows must also be at least this share of all rows that count. The same share is used for a
learning rate that becomes 0 long before the end."""
MIN_SHARE_OF_PEAK_RATE = 0.1
"""A row counts only if its learning rate is above this share of the peak. At much lower rates, at
the start of a warmup and at the end of a schedule, an update may be lost to the rounding of the
weights."""
MIN_SHARE_OF_GRADIENT = 0.1
"""If the loss fell before the updates became 0, the gradient norm must still be this share of its
level before. A smaller norm shows that the run has converged."""
SMALLEST_RATIO = float(np.finfo(np.float64).tiny)
UPDATE_ZERO = Symptom(
    name="update-zero",
    quantity="largest update/weight ratio of a matrix",
    unit="ratio",
    view=ViewKey.UPDATE_WEIGHT_RATIO,
    worse="below",
    limit=SMALLEST_RATIO,
    criterion=(
        f"update/weight ratio exactly 0 in every recorded matrix for the last {MIN_ROWS} rows and "
        "a tenth of the run, at a learning rate above a tenth of its peak, while the loss is not 0 "
        "and does not fall; if the loss fell before, the gradient norm is still a tenth of what it "
        "was"
    ),
    source=(
        "a step at a learning rate above 0 changes the weights; a gradient scaler skips at most 17 "
        "steps until its scale is 1"
    ),
    sentence={"en": "From step {onset} on no update changes any recorded matrix."},
)


def judge(evidence: Evidence) -> list[Finding]:
    onset = evidence.cached(unmoved_since)
    if onset is None or not gradient_left(evidence, onset) >= MIN_SHARE_OF_GRADIENT:
        return []
    return [UPDATE_ZERO.found(evidence.last_step, 0.0, onset=onset)]


def unmoved_since(evidence: Evidence) -> int | None:
    """The step from which no recorded matrix changes to the end of the run, while the loss is not 0
    and does not fall; None if there is no such step.

    Raises CannotJudgeError if updates or losses are missing or are too few."""
    steps, is_moved = _moved(evidence)
    if len(steps) < MIN_ROWS:
        raise CannotJudgeError(
            f"{len(steps)} rows of update_weight_ratio at a learning rate above a tenth of its "
            f"peak; {MIN_ROWS} are needed"
        )
    # The lengths of all runs of rows without an update. The last run is at the end of the record.
    ends = np.r_[-1, np.flatnonzero(is_moved), len(is_moved)]
    lengths = np.diff(ends) - 1
    still = int(lengths[-1])
    least = max(MIN_ROWS, MIN_SHARE_OF_ROWS * len(is_moved), lengths[:-1].max(initial=0) + 1)
    if still < least:
        return None
    onset = int(steps[-still])
    loss = evidence.training_loss()
    since = loss.values[loss.steps >= onset]
    if len(since) < MIN_POINTS:
        raise CannotJudgeError(
            f"no update since step {onset}, and {len(since)} points of loss since then; "
            f"{MIN_POINTS} are needed to see whether it falls"
        )
    return None if fell(since) or not since.all() else onset


def gradient_left(evidence: Evidence, onset: int) -> float:
    """The gradient norm from step `onset` on, as a share of its level before. Infinite if the loss
    never fell, since the run cannot have converged then. NaN if the norm was not recorded."""
    if not evidence.training_loss().fell:
        return np.inf
    norm = evidence.curve_or_empty("grad_norm")
    before, since = norm.values[norm.steps < onset], norm.values[norm.steps >= onset]
    if not len(since) or not before.any():
        return np.nan
    return float(median(since) / median(before[before > 0]))


def _moved(evidence: Evidence) -> tuple[Steps, npt.NDArray[np.bool_]]:
    """The steps of the rows that count, and whether any recorded matrix changed: [n], [n]."""
    sites = evidence.sites("update_weight_ratio")
    if not sites:
        raise CannotJudgeError("update_weight_ratio was not recorded")
    is_measured = np.zeros(len(evidence.steps), dtype=bool)
    is_moved = is_measured.copy()
    for site in sites:
        steps, ratios = evidence.series("update_weight_ratio", site)
        rows = np.searchsorted(evidence.steps, steps)
        is_measured[rows] = True
        is_moved[rows] |= ratios != 0  # NaN counts as a change, since it is another fault
    if evidence.sites("lr"):
        steps, rates = evidence.series("lr")
        peak = rates[np.isfinite(rates)].max(initial=0.0)
        is_low = ~(rates > MIN_SHARE_OF_PEAK_RATE * peak)
        is_measured[np.searchsorted(evidence.steps, steps[is_low])] = False
    return evidence.steps[is_measured], is_moved[is_measured]


DETECTOR = Detector("zero-updates", judge, (UPDATE_ZERO,), at_end=True)
