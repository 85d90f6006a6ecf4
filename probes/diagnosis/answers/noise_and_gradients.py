"""The size and growth of the gradient norm, and how far the loss oscillates."""

from __future__ import annotations

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.evidence import Evidence

LARGE_GRAD_NORM = 10.0
"""A gradient norm above this level is large. The detector of a large first gradient uses the same
number; HEALTHY starts at 2.7 to 4.5 (docs/why.md)."""
GRAD_NORM_GROWTH = (1.5, 5.0)
"""A gradient norm that ends at this many times its lowest level has grown as it does in healthy
runs. Measured on levels that are medians of a twentieth of the log: in the 298 healthy trainings of
`studies.innocent_runs` whose logs hold gradient norms, the norm ended at most 3.7 times above its
lowest level (2.5 times in 98 % of them), and in six healthy public logs at most 1.9 times. Before
its end, the norm of one of these public logs was 5.0 times its lowest level."""
MIN_GROWTH_ERRORS = 6.0
"""The growth must exceed this many standard errors of the two levels."""
RELATIVE_NOISE = (0.15, 1.0)
"""A loss oscillates if single points deviate from their level by a share of it in this range (one
standard deviation, in the second half of the log). A larger share means that the level is near
0."""
MIN_NOISE_SHARE = 0.05
"""The deviation is also at least this share of what was learned, so that a chart of the whole loss
shows it."""


def grad_norm(evidence: Evidence) -> str | None:
    """Say that a gradient norm is large or has grown, when healthy runs show as much."""
    loss, norm = evidence.curve_or_empty(evidence.loss_signal), evidence.curve_or_empty("grad_norm")
    if not norm.has_segments or not loss.fell or norm.segments.level.min() <= 0:
        return None
    level = norm.segments.level
    lowest, end = float(level.min()), float(median(level[-3:]))
    low, high = GRAD_NORM_GROWTH
    error = norm.segments.error
    least = MIN_GROWTH_ERRORS * float(np.hypot(error[level.argmin()], error[-1]))
    if end - lowest > least and low <= end / lowest <= high:
        return (
            f"the gradient norm grows, from {lowest:.3g} to {end:.3g}, while the loss falls; this "
            f"is normal, because in healthy runs it was measured to grow up to {high:g} times"
        )
    if end > LARGE_GRAD_NORM and end / lowest < low:
        return (
            f"the gradient norm is large, about {end:.3g}, and does not grow; its size alone is "
            "normal, because it depends on the unit of the loss and the number of parameters"
        )
    return None


def oscillation(evidence: Evidence) -> str | None:
    """Say how far single points of the loss deviate from their level."""
    loss = evidence.curve_or_empty("loss")
    if not loss.fell or loss.segments.level.min() <= 0:
        return None
    level, noise = loss.segments.level, loss.segments.noise
    half = len(level) // 2
    share = float(median(noise[half:] / level[half:]))
    least, most = RELATIVE_NOISE
    learned = loss.start_level - float(level.min())
    if not least <= share <= most or median(noise[half:]) < MIN_NOISE_SHARE * learned:
        return None
    return (
        f"the loss oscillates: single points deviate from their level by {100 * share:.0f} % (one "
        "standard deviation, in the second half); this is normal for a loss that is measured on "
        "few rows, and four times the batch size would halve it"
    )
