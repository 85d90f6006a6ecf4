"""A loss that jumps and stays up: it gives back, within one step, a good part of all that was learned.

A batch unlike the others is one point; a model that was damaged needs several steps to recover. So two points in a row
have to stand above the median of the points before them, by several times the most that any single one has risen. One
point alone is enough only if it is far beyond all that was seen, and worse than the start. Rises that were seen, rather
than a standard deviation, tell what is usual: noise is skewed, has heavy tails, and grows as a model gets confident.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.course import ERRORS, OF_MEDIAN, TO_SIGMA, Column, finite
from probes.findings import CannotJudgeError, Detector, Evidence, Finding, worsening

SYMPTOM = "loss-spike"
WINDOW = 20
"""Points before a jump whose median it is measured from; as many as make a loss a core signal."""
MEMORY = 100
"""Points before a jump whose highest rise says what is usual of late: noise comes and goes with the level."""
START = 5
"""Points whose median is what the loss was before anything was learned."""
GIVEN_BACK = 0.25
"""Share of what was learned so far, from the start down to the window's median, that the jump gives back."""
OF_TWO = 2.5
"""Times the highest rise among MEMORY points that two points in a row stay above; scripts/spikes.py, seeds 0-49."""
OF_ONE = 8.0
"""As many, and of the highest rise ever, that a point alone rises: a heavy tail gets there; scripts/spikes.py."""
RESTART = 3.0
"""Growth of the learning rate over its median of MEMORY points, by which a rise is meant: a warm restart. A linear
warmup doubles it at most."""
USUAL = 3.0
"""Standard deviations that count as a rise seen, where none so high was: a short log has seen few."""
CHUNK = 16_384
SOURCE = "a quarter of all that was learned, lost in one step, by two points in a row far above any rise before"


class Rises(NamedTuple):
    """What each point is measured by, [n]; NaN where too few came before.

    level     median of the points before it
    highest   how far any of the points before it rose above its own level, of late
    ever      and ever
    """

    level: Column
    highest: Column
    ever: Column


def judge(evidence: Evidence) -> list[Finding]:
    steps, losses = finite(*evidence.series("loss"))
    if len(losses) <= WINDOW:
        raise CannotJudgeError(f"{len(losses)} finite points of loss; {WINDOW + 1} are needed")
    shares, onsets = np.zeros(len(losses)), np.arange(len(losses))
    for onset, known, share in _spikes(losses):
        if share > shares[known] and not _restarted(evidence, int(steps[onset])):
            shares[known], onsets[known] = share, onset
    return [
        Finding(SYMPTOM, "", int(steps[i]), float(shares[i]), GIVEN_BACK, "above", SOURCE, int(steps[onsets[i]]))
        for i in worsening(shares, GIVEN_BACK, "above")
    ]


def _spikes(losses: Column) -> Iterator[tuple[int, int, float]]:
    """Where a spike begins, where it could be known, and the share of what was learned that it gives back."""
    rises = _rises(losses)
    start = float(np.median(losses[:START]))
    learned = start - rises.level
    one = losses - rises.level
    two = np.minimum(losses, np.r_[losses[1:], -np.inf]) - rises.level
    stays = (two > np.maximum(OF_TWO * rises.highest, rises.ever)) & (two > GIVEN_BACK * learned)
    alone = (one > OF_ONE * rises.ever) & (losses > start)
    for i in np.flatnonzero((stays | alone) & (learned > 0)):
        if i < WINDOW:
            continue
        sigma = TO_SIGMA / sqrt(2) * float(np.median(np.abs(np.diff(losses[max(0, i - MEMORY) : i]))))
        if learned[i] <= ERRORS * OF_MEDIAN / sqrt(START) * sigma:
            continue
        if stays[i] and two[i] > OF_TWO * USUAL * sigma:
            yield int(i), int(i) + 1, float(two[i] / learned[i])
        elif alone[i] and one[i] > OF_ONE * USUAL * sigma:
            yield int(i), int(i), float(one[i] / learned[i])


def _rises(losses: Column) -> Rises:
    level = _before(losses)
    rise = np.nan_to_num(losses - level, nan=-np.inf)
    padded = np.r_[np.full(MEMORY, -np.inf), rise]
    highest = sliding_window_view(padded, MEMORY)[: len(losses)].max(axis=1)
    return Rises(level, highest, np.r_[-np.inf, np.maximum.accumulate(rise)[:-1]])


def _before(values: Column) -> Column:
    """Median of the up to WINDOW values before each value, of START at least; NaN where there are fewer."""
    medians = np.full(len(values), np.nan)
    for end in range(START, min(WINDOW, len(values))):
        medians[end] = np.median(values[:end])
    windows = sliding_window_view(values, WINDOW)[:-1]
    for begin in range(0, len(windows), CHUNK):
        medians[WINDOW + begin : WINDOW + begin + CHUNK] = np.median(windows[begin : begin + CHUNK], axis=1)
    return medians


def _restarted(evidence: Evidence, step: int) -> bool:
    """Whether the learning rate was raised far above what it was of late, and not for a step alone."""
    if not evidence.sites("lr"):
        return False
    steps, rates = finite(*evidence.series("lr"))
    end = int(np.searchsorted(steps, step, side="right"))
    recent = rates[max(0, end - MEMORY) : end]
    return bool(len(recent) > 1 and recent[-1] > RESTART * np.median(recent[:-1]))


LIMITS = {SYMPTOM: f"share given back above {GIVEN_BACK:g}; {SOURCE}"}
DETECTOR = Detector("loss-spike", judge, LIMITS)
