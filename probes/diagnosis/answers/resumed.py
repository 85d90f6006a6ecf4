"""A loss that jumps where the run was resumed."""

from __future__ import annotations

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.curves import Curve, median_error, noise_at_lag
from probes.diagnosis.evidence import Evidence, finite_number
from probes.record import Column

MIN_GAP_FACTOR = 10.0
"""A distance between two steps of at least this many times the usual one counts as a restart if the
loss rises there: rows between them were lost or were never written. A loss that is lower after such
a distance has gone on falling."""
MIN_POINTS_AROUND, MAX_POINTS_AROUND = 5, 20
"""The level before and after a restart is the median of this many points. Their noise is measured
on the smaller of up to MAX_POINTS_AROUND points before and after it."""
MIN_JUMP_ERRORS = 6.0
"""A jump exceeds this many standard errors of the two levels, and the largest difference of two
neighbouring levels of as many points within one side."""
MIN_JUMP_SHARE = 0.02
"""A jump is at least this share of the level before it, or nobody sees it in a chart."""
MIN_RATE_CHANGE = 1.1
"""The learning rate changed at the restart if it differs by more than this factor."""


def jump_after_resuming(evidence: Evidence) -> str | None:
    """Name the restart with the largest jump of the loss, and where the loss is back."""
    loss = evidence.curve_or_empty(evidence.loss_signal)
    stated = evidence.facts.get("resumed_at")
    steps = map(finite_number, stated if isinstance(stated, list | tuple) else ())
    resumed = {int(np.searchsorted(loss.steps, step)) for step in steps if step is not None}
    distance = np.diff(loss.steps)
    gaps = set((np.flatnonzero(distance >= MIN_GAP_FACTOR * median(distance)) + 1).tolist())
    jumps = {
        place: size
        for place in resumed | gaps
        if MIN_POINTS_AROUND <= place <= len(loss) - MIN_POINTS_AROUND
        and ((size := _jump_at(loss, place)) > 0 or (size < 0 and place in resumed))
    }
    if not jumps:
        return None
    place = max(sorted(jumps), key=lambda one: abs(jumps[one]))
    before, after = _levels_around(loss, place)
    step = int(loss.steps[place])
    where = "the run was resumed" if place in resumed else "steps are missing"
    parts = [f"the loss jumps where {where}, at step {step}: from {before:.4g} to {after:.4g}"]
    if jumps[place] > 0:
        back = np.flatnonzero(loss.values[place:] <= before)
        parts.append(
            f"it is back at step {loss.steps[place + back[0]]}"
            if len(back)
            else "it does not come back to its level before"
        )
    parts.append(
        f"{_rate_around(evidence, step)}the usual reasons after a restart are an optimizer state, "
        "a schedule or an order of the data that was not restored, or a running mean that begins "
        "again"
    )
    return "; ".join(parts)


def _levels_around(loss: Curve, place: int) -> tuple[float, float]:
    """The median of the points just before and just after a restart."""
    before = loss.values[place - MIN_POINTS_AROUND : place]
    after = loss.values[place : place + MIN_POINTS_AROUND]
    return float(median(before)), float(median(after))


def _jump_at(loss: Curve, place: int) -> float:
    """The difference of the levels after and before a restart; 0 if it is no clear jump."""
    before, after = _levels_around(loss, place)
    sides = (
        loss.values[max(0, place - MAX_POINTS_AROUND) : place],
        loss.values[place : place + MAX_POINTS_AROUND],
    )
    noise = max(map(noise_at_lag, sides))
    usual = max(map(_largest_change, sides))
    error = MIN_JUMP_ERRORS * np.sqrt(2) * float(median_error(noise, MIN_POINTS_AROUND))
    size = after - before
    return size if abs(size) > max(error, usual, MIN_JUMP_SHARE * abs(before)) else 0.0


def _largest_change(values: Column) -> float:
    """The largest difference of two neighbouring levels of MIN_POINTS_AROUND points; 0 if there are
    fewer points than two levels need."""
    count = len(values) // MIN_POINTS_AROUND
    levels = median(values[: count * MIN_POINTS_AROUND].reshape(count, MIN_POINTS_AROUND))
    return float(np.abs(np.diff(levels)).max(initial=0.0))


def _rate_around(evidence: Evidence, step: int) -> str:
    """The change of the learning rate at a restart, in words; "" if there was none."""
    rate = evidence.curve_or_empty("lr")
    place = int(np.searchsorted(rate.steps, step))
    if not 0 < place < len(rate):
        return ""
    before, after = float(rate.values[place - 1]), float(rate.values[place])
    if before == after or max(before, after) <= MIN_RATE_CHANGE * min(before, after):
        return ""
    return f"lr goes from {before:.4g} to {after:.4g} there; "
