"""Finds a gradient norm that grows by an order of magnitude over many points before the loss rises,
in a run whose loss ends high.

A single outlying norm does not count. Growth does not count either if the loss does not end high:
in healthy runs the norm also grows, because the loss surface becomes sharper. When the norm rises
only together with the loss, the loss is the reason: a model that is far off has a large
gradient."""

from __future__ import annotations

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_POINTS, MIN_SEGMENTS, Curve
from probes.diagnosis.detectors.divergence import high_end
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MIN_GROWTH = 10.0
"""Minimum ratio of the norm to its lowest level. In healthy runs the norm grows by a factor
of about five, because the loss surface becomes sharper or because weights decay under a falling
learning rate."""
MIN_GROWN_SEGMENTS = 3
"""At least this many of the twenty segments must reach MIN_GROWTH. A short log has fewer segments;
a quarter of them must reach it."""
MIN_GROWTH_BEFORE_LOSS = 2.0
"""Minimum ratio that the norm must reach while the loss is no higher than at its start."""
MIN_GROWTH_ERRORS = 4.0
"""Each of the two growths must exceed this many standard errors of the logarithm of the norm."""
RISING = Symptom(
    name="grad-norm-rising",
    quantity="gradient norm divided by its lowest level",
    unit="ratio",
    view=ViewKey.GRADIENT_NORM,
    worse="above",
    limit=MIN_GROWTH,
    criterion=(
        "the loss ends high, and the gradient norm is at least ten times its lowest level in 15 % "
        "of the run and had reached twice its lowest level before the loss rose"
    ),
    source="in healthy runs the norm grows by a factor of about five",
    sentence={
        "en": "From step {onset} on the gradient norm grows, to {observed} times its lowest level."
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    norm = evidence.curve("grad_norm")
    positive = norm.values > 0
    log_norm = Curve(norm.steps[positive], np.log(norm.values[positive]))
    if not log_norm.has_segments:
        raise CannotJudgeError(
            f"{len(log_norm)} norms that are finite and not 0; {MIN_POINTS} are needed"
        )
    if not evidence.cached(high_end):
        return []
    # The loss counts as risen after the last segment whose level is at most the start level plus
    # the noise of a single point.
    loss = evidence.training_loss()
    low_losses = np.flatnonzero(loss.segments.level <= loss.start_level + loss.segments.noise)
    last_low_step = loss.segments.last_step[low_losses[-1]] if len(low_losses) else -1
    segments = log_norm.segments
    low = int(segments.level.argmin())
    later = np.arange(len(segments.level)) > low
    growth = segments.level - segments.level[low]
    errors = MIN_GROWTH_ERRORS * np.hypot(segments.error, segments.error[low])
    grown = later & (growth >= np.maximum(np.log(MIN_GROWTH), errors))
    before_loss = (
        later
        & (growth >= np.maximum(np.log(MIN_GROWTH_BEFORE_LOSS), errors))
        & (segments.last_step <= last_low_step)
    )
    needed = min(MIN_GROWN_SEGMENTS, len(growth) // MIN_SEGMENTS)
    if grown.sum() < needed or not before_loss.any():
        return []
    times = float(np.exp(median(growth[grown])))
    onset = int(segments.first_step[before_loss.argmax()])
    return [RISING.found(evidence.last_step, times, onset=onset)]


DETECTOR = Detector("exploding-gradients", judge, (RISING,), at_end=True)
