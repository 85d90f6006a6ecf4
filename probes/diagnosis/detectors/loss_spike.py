"""A loss that jumps and stays up: it gives back, within one step, a good part of all that was
learned.

A batch unlike the others is one point; a model that was damaged needs several steps to recover. So
two points in a row have to stand above the median of the points before them, by several times the
most that any single one has risen. Rises that were seen, rather than a standard deviation, tell
what is usual: noise is skewed, has heavy tails, and grows as a model gets confident, so that a
single point may well be beyond the start."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.diagnosis.base import Detector, Finding, worsening
from probes.diagnosis.curves import ERRORS, OF_MEDIAN, TO_SIGMA, finite, memory
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column

SYMPTOM = "loss-spike"
WINDOW = 20
"""Points before a jump whose median it is measured from; as many as make a loss a core signal."""
MEMORY = 100
"""Points before a jump whose highest rise says what is usual of late: noise comes and goes with the
level."""
START = 5
"""Points whose median is what the loss was before anything was learned."""
GIVEN_BACK = 0.25
"""Share of what was learned so far, from the start down to the window's median, that the jump gives
back."""
OF_TWO = 2.5
"""Times the highest rise among MEMORY points that two points in a row stay above;
studies/spikes.py, seeds 0-49."""
OF_SMOOTHED = 8.0
"""As many in a loss that was smoothed, which stays up after a single outlier as well."""
RESTART = 3.0
"""Growth of the learning rate over its median of MEMORY points, by which a rise is meant: a warm
restart. A linear warmup doubles it at most."""
USUAL = 3.0
"""Standard deviations that count as a rise seen, where none so high was: a short log has seen
few."""
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
    shares = np.zeros(len(losses))
    for i, share in _spikes(losses):
        if not _restarted(evidence, int(steps[i])):
            shares[i + 1] = share
    return [
        Finding(
            SYMPTOM,
            "",
            int(steps[i]),
            float(shares[i]),
            GIVEN_BACK,
            "above",
            SOURCE,
            int(steps[i - 1]),
        )
        for i in worsening(shares, GIVEN_BACK, "above")
    ]


def _spikes(losses: Column) -> Iterator[tuple[int, float]]:
    """The first of the two points of each spike, and the share of what was learned that it gives
    back."""
    rises = _rises(losses)
    learned = float(np.median(losses[:START])) - rises.level
    up = np.minimum(losses, np.r_[losses[1:], -np.inf]) - rises.level
    high = (
        (up > np.maximum(OF_TWO * rises.highest, rises.ever))
        & (up > GIVEN_BACK * learned)
        & (learned > 0)
    )
    for i in WINDOW + np.flatnonzero(high[WINDOW:]):
        before = losses[max(0, i - MEMORY) : i]
        sigma = TO_SIGMA / sqrt(2) * float(np.median(np.abs(np.diff(before))))
        times = (
            OF_TWO
            if memory((losses - rises.level)[max(START, i - MEMORY) : i]) == 1
            else OF_SMOOTHED
        )
        if learned[i] > ERRORS * OF_MEDIAN / sqrt(START) * sigma and up[i] > times * max(
            rises.highest[i], USUAL * sigma
        ):
            yield int(i), float(up[i] / learned[i])


def _rises(losses: Column) -> Rises:
    level = _before(losses)
    rise = np.nan_to_num(losses - level, nan=-np.inf)
    padded = np.r_[np.full(MEMORY, -np.inf), rise]
    highest = sliding_window_view(padded, MEMORY)[: len(losses)].max(axis=1)
    return Rises(level, highest, np.r_[-np.inf, np.maximum.accumulate(rise)[:-1]])


def _before(values: Column) -> Column:
    """Median of the up to WINDOW values before each value, of START at least; NaN where there are
    fewer."""
    medians = np.full(len(values), np.nan)
    for end in range(START, min(WINDOW, len(values))):
        medians[end] = np.median(values[:end])
    windows = sliding_window_view(values, WINDOW)[:-1]
    for begin in range(0, len(windows), CHUNK):
        medians[WINDOW + begin : WINDOW + begin + CHUNK] = np.median(
            windows[begin : begin + CHUNK], axis=1
        )
    return medians


def _restarted(evidence: Evidence, step: int) -> bool:
    """Whether the learning rate was raised far above what it was of late, and not for a step
    alone."""
    if not evidence.sites("lr"):
        return False
    steps, rates = finite(*evidence.series("lr"))
    end = int(np.searchsorted(steps, step, side="right"))
    recent = rates[max(0, end - MEMORY) : end]
    return bool(len(recent) > 1 and recent[-1] > RESTART * np.median(recent[:-1]))


LIMITS = {SYMPTOM: f"share given back above {GIVEN_BACK:g}; {SOURCE}"}
DETECTOR = Detector("loss-spike", judge, LIMITS)
