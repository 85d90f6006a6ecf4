"""Short spikes of the training loss, and the batch of the highest one."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.common.arrays import median
from probes.diagnosis.curves import MAD_TO_SIGMA
from probes.diagnosis.evidence import Evidence

SPIKE_WINDOW = 21
"""The height of a spike is measured from the median of this many points around it. A rise that
lasts for half of these points or longer raises the median, so it does not count as a spike."""
MIN_SPIKE_SIGMAS = 8.0
"""A spike is higher than this many standard deviations of the points around it."""
MIN_SPIKE_SHARE = 0.2
"""A spike is higher than this share of what was learned, which is the fall from the start of the
log to its lowest level. A lower one is hard to see in a chart of the whole loss."""
MAX_SPIKE_RATE = 0.01
"""Several spikes are called normal only if they are at most this share of the points of the log."""
CHUNK = 16_384
"""Medians are computed for this many windows at a time, to limit the memory."""
MAX_ROWS_NAMED = 8
"""At most this many rows of a batch are named."""


def spike(evidence: Evidence) -> str | None:
    """Say where the loss has its highest short spike, and how many there are."""
    loss, spikes = evidence.curve_or_empty("loss"), evidence.cached(_spikes)
    if not spikes or not loss.fell or len(spikes) > max(1, MAX_SPIKE_RATE * len(loss)):
        return None
    step, value, level = max(spikes, key=lambda each: each[1] - each[2])
    where = f"at step {step}: {value:.4g}, where {level:.4g} is usual"
    if len(spikes) == 1:
        return (
            f"the loss has a spike {where}; one that comes back is normal, because a batch may be "
            "unlike the others"
        )
    return (
        f"the loss has {len(spikes)} spikes, the highest {where}; a few spikes that come back are "
        "normal, because some batches are unlike the others"
    )


def spike_batch(evidence: Evidence) -> str | None:
    """Name the rows of the batch of the highest spike."""
    spikes = evidence.cached(_spikes)
    if not spikes or not evidence.sites("batch_ids"):
        return None
    step = max(spikes, key=lambda each: each[1] - each[2])[0]
    rows = []
    for site in evidence.sites("batch_ids"):
        steps, values = evidence.series("batch_ids", site)
        rows += [f"{row:.0f}" for row in values[steps == step]]
    if not rows:
        return None
    more = f" and {len(rows) - MAX_ROWS_NAMED} more" if len(rows) > MAX_ROWS_NAMED else ""
    return (
        f"the batch of the highest spike of the loss, at step {step}, held the rows "
        f"{', '.join(rows[:MAX_ROWS_NAMED])}{more}"
    )


def _spikes(evidence: Evidence) -> list[tuple[int, float, float]]:
    """The spikes of the training loss that came back: step, value, and level around it."""
    loss = evidence.curve_or_empty("loss")
    if not loss.has_segments or len(loss) < SPIKE_WINDOW:
        return []
    values, half = loss.values, SPIKE_WINDOW // 2
    windows = sliding_window_view(values, SPIKE_WINDOW)
    level = np.concatenate([median(windows[i : i + CHUNK]) for i in range(0, len(windows), CHUNK)])
    height = values[half:-half] - level
    learned = loss.start_level - float(loss.segments.level.min())
    least = MIN_SPIKE_SHARE * learned
    found: list[tuple[int, float, float]] = []
    last = -SPIKE_WINDOW
    for i in np.flatnonzero(height > least) if learned > 0 else ():
        around = values[max(0, i + half - 50) : i + half + 51]
        sigma = MAD_TO_SIGMA * float(median(np.abs(around - median(around))))
        if height[i] <= MIN_SPIKE_SIGMAS * sigma:
            continue
        point = (int(loss.steps[i + half]), float(values[i + half]), float(level[i]))
        if i - last > half:
            found.append(point)
        elif point[1] > found[-1][1]:
            found[-1] = point
        last = int(i)
    return found
