"""Which checkpoint to keep."""

from __future__ import annotations

from math import sqrt

import numpy as np

from probes.common.text import printable
from probes.diagnosis.curves import (
    Curve,
    noise_around_trend,
)
from probes.diagnosis.evidence import Evidence
from probes.record.metrics import direction_of, is_held_out

MIN_CHECKPOINTS = 3
"""Minimum number of evaluations for naming the checkpoint to keep."""
MIN_EVALUATIONS_FOR_NOISE = 6
"""Minimum number of evaluations for estimating their noise, from at least four second
differences."""
NOISE_EVALUATIONS = 12
"""Noise is estimated from this many evaluations around the best one, because it may be much larger
at the start of a run or after the loss has risen."""
MAX_METRICS_NAMED = 2
"""At most this many held-out metrics are named in one sentence."""


def checkpoint_to_keep(evidence: Evidence) -> str | None:
    """Name the evaluation with the lowest validation loss, those that are as good, and those that
    are best by a held-out metric."""
    val = evidence.curve_or_empty("val_loss")
    metrics = _held_out_metrics(evidence)
    if len(val) < MIN_CHECKPOINTS:
        best = [
            f"{name} is best at step {metric.steps[at]}: {metric.values[at]:.4g}"
            for name, metric, at in metrics[:MAX_METRICS_NAMED]
        ]
        return f"which checkpoint to keep: {'; '.join(best)}" if best else None
    steps, values = val.steps, val.values
    if not np.ptp(values):
        return None
    lowest = int(values.argmin())
    place = {0: ", the first evaluation", len(val) - 1: ", the last evaluation"}.get(lowest, "")
    parts = [f"val_loss is lowest at step {steps[lowest]}{place}: {values[lowest]:.4g}"]
    # A loss is compared on a ratio scale, since its noise shrinks with its level.
    positive = bool(values[lowest] > 0)
    scaled = Curve(steps, np.log(values)) if positive else val
    noise = _noise_of_difference(scaled, lowest)
    as_good = np.flatnonzero(scaled.values <= scaled.values[lowest] + noise)
    usual = f"{100 * np.expm1(noise):.2g} %" if positive else f"{noise:.2g}"
    differ = f"differ from it by no more than their noise, {usual}" if noise else "are as low"
    if len(as_good) == len(values):
        parts.append(f"no evaluation differs from it by more than their noise, {usual}")
    elif len(as_good) > 1:
        parts.append(
            f"{len(as_good)} of {len(values)} evaluations, between step {steps[as_good[0]]} and "
            f"step {steps[as_good[-1]]}, {differ}"
        )
    named: set[int] = set()
    for name, metric, at in metrics:
        step, best_value = int(metric.steps[at]), float(metric.values[at])
        there = metric.values[metric.steps == steps[lowest]]
        if (
            there.size
            and abs(there[0] - best_value) > _noise_of_difference(metric, at)
            and step not in named
            and len(named) < MAX_METRICS_NAMED
        ):
            named.add(step)
            parts.append(
                f"{name} is best at step {step}: {best_value:.4g}, against {there[0]:.4g} at step "
                f"{steps[lowest]}"
            )
    return f"which checkpoint to keep: {'; '.join(parts)}"


def _held_out_metrics(evidence: Evidence) -> list[tuple[str, Curve, int]]:
    """The metrics that were measured on held-out data: name, curve, and the index of the best
    value (the first of equal ones). Metrics that never change are left out."""
    stated = evidence.facts.get("metric_direction")
    found = []
    for name in evidence.sites("metric"):
        direction = direction_of(name, stated)
        metric = Curve(*evidence.series("metric", name))
        if (
            direction
            and is_held_out(name)
            and len(metric) >= MIN_CHECKPOINTS
            and np.ptp(metric.values)
        ):
            best = metric.values.argmax() if direction == "up" else metric.values.argmin()
            found.append((printable(name), metric, int(best)))
    return found


def _noise_of_difference(evaluations: Curve, at: int) -> float:
    """Standard deviation of the difference of two evaluations, from the NOISE_EVALUATIONS that are
    nearest to the one at index `at`; 0 for fewer than MIN_EVALUATIONS_FOR_NOISE."""
    if len(evaluations) < MIN_EVALUATIONS_FOR_NOISE:
        return 0.0
    begin = max(0, min(at - NOISE_EVALUATIONS // 2, len(evaluations) - NOISE_EVALUATIONS))
    return sqrt(2) * noise_around_trend(evaluations.values[begin : begin + NOISE_EVALUATIONS])
