"""A learning rate that is constant, starts at its peak or was cut off."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.curves import (
    Curve,
)
from probes.diagnosis.evidence import Evidence

MIN_RATE_POINTS = 20
"""Minimum number of points of lr for a remark on the schedule."""
MAX_SHARE_LEFT = 0.1
"""A schedule counts as finished if at most this share of its declared steps is missing at the end
of the log, or if the last rate is at most this share of the peak rate."""


def constant_rate(evidence: Evidence) -> str | None:
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
        f"{fact}; this is normal, because Adam and SGD also learn at a constant rate; a rate that "
        "falls towards the end often lowers the loss further"
    )


def rate_starts_at_peak(evidence: Evidence) -> str | None:
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


def cut_schedule(evidence: Evidence) -> str | None:
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
