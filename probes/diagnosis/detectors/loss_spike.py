"""Finds a loss that jumps and stays up. Within one step it gives back (loses again) a good part of
what was learned.

An unusual batch raises a single point, while a damaged model needs several steps to recover. So two
points in a row must lie above the median of the points before them, by several times the largest
recent rise of a single point. Observed rises measure the usual noise better than a standard
deviation does, because the noise of a loss is skewed, has heavy tails and grows as a model gets
confident. A single high point is not a spike, even if it is above the initial loss."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey, worsening
from probes.diagnosis.curves import (
    MEDIAN_ERROR_FACTOR,
    MIN_FALL_ERRORS,
    Curve,
    noise_at_lag,
)
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column

LEVEL_POINTS = 20
"""A jump starts from a level that is the median of this many points before it."""
RECENT_POINTS = 100
"""The largest rise among this many points before a jump is the measure of the noise there, which
changes with the level."""
START_POINTS = 5
"""The loss before anything was learned is the median of this many first points of a log."""
MIN_SHARE_GIVEN_BACK_AT_ONCE = 0.25
"""A jump must give back more than this share of what was learned so far, which is the fall from the
start to the level before the jump."""
MIN_TIMES_LARGEST_RISE = 2.5
"""Two points in a row must exceed this many times the largest recent rise. Chosen by
studies/spikes.py on seeds 0-49."""
MIN_TIMES_LARGEST_RISE_SMOOTHED = 8.0
"""The factor for a loss that was smoothed. In such a loss a single outlier raises several
points."""
MIN_RATE_GROWTH_OF_RESTART = 3.0
"""A rise of the loss is intended, as at a warm restart, if the learning rate is more than this many
times the median of the RECENT_POINTS rates before it. A linear warmup doubles the rate at most."""
MIN_LARGEST_RISE_IN_SIGMAS = 3.0
"""Lower bound on the largest recent rise, in standard deviations. A short log may not yet contain a
typical large rise."""
CHUNK = 16_384
"""Medians are computed for this many windows at a time, to limit the memory."""
SPIKE = Symptom(
    name="loss-spike",
    quantity="share of what was learned that a jump of the loss gives back",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MIN_SHARE_GIVEN_BACK_AT_ONCE,
    criterion=(
        "a quarter of what was learned is lost within one step: two points in a row rise by 2.5 "
        "times the largest rise among the hundred points before"
    ),
    source=(
        "a sound run never gives back so much so suddenly: no alarm on 100 trainings, logged at "
        "any interval (studies/spikes.py)"
    ),
    sentence={
        "en": (
            "At step {onset} the loss jumps up and gives back a share of {observed} of what was "
            "learned."
        )
    },
)


class Rises(NamedTuple):
    """The values that each point is compared with, [n]. Where too few points came before it,
    `level` is NaN and the others are -inf.

    level     median of the LEVEL_POINTS points before it
    recent    largest rise among the RECENT_POINTS points before it, each above its own level
    largest   largest rise among all points before it
    """

    level: Column
    recent: Column
    largest: Column


def judge(evidence: Evidence) -> list[Finding]:
    loss, rate = evidence.curve("loss"), evidence.curve_or_empty("lr")
    if len(loss) <= LEVEL_POINTS:
        raise CannotJudgeError(f"{len(loss)} finite points of loss; {LEVEL_POINTS + 1} are needed")
    losses, rises = loss.values, _rises(loss.values)
    learned = float(median(losses[:START_POINTS])) - rises.level
    height = np.minimum(losses, np.r_[losses[1:], -np.inf]) - rises.level
    candidates = (
        (height > np.maximum(MIN_TIMES_LARGEST_RISE * rises.recent, rises.largest))
        & (height > MIN_SHARE_GIVEN_BACK_AT_ONCE * learned)
        & (learned > 0)
    )
    shares = np.zeros(len(loss))
    for i in LEVEL_POINTS + np.flatnonzero(candidates[LEVEL_POINTS:]):
        noise = noise_at_lag(losses[max(0, i - RECENT_POINTS) : i])
        detrended = (losses - rises.level)[max(START_POINTS, i - RECENT_POINTS) : i]
        smoothed = Curve(np.arange(len(detrended)), detrended).correlation_length > 1
        times = MIN_TIMES_LARGEST_RISE_SMOOTHED if smoothed else MIN_TIMES_LARGEST_RISE
        usual_rise = max(rises.recent[i], MIN_LARGEST_RISE_IN_SIGMAS * noise)
        start_error = MEDIAN_ERROR_FACTOR / sqrt(START_POINTS) * noise
        end = int(np.searchsorted(rate.steps, loss.steps[i], side="right"))
        rates = rate.values[max(0, end - RECENT_POINTS) : end]
        restarts = len(rates) > 1 and rates[-1] > MIN_RATE_GROWTH_OF_RESTART * median(rates[:-1])
        if (
            learned[i] > MIN_FALL_ERRORS * start_error
            and height[i] > times * usual_rise
            and not restarts
        ):
            # The spike is known at the second of its two high points.
            shares[i + 1] = height[i] / learned[i]
    return [
        SPIKE.found(loss.steps[i], float(shares[i]), onset=int(loss.steps[i - 1]))
        for i in worsening(shares, MIN_SHARE_GIVEN_BACK_AT_ONCE, "above")
    ]


def _rises(losses: Column) -> Rises:
    """What each of the losses [n] is compared with.

    The median is NaN for the first START_POINTS points. For a point with fewer than LEVEL_POINTS
    points before it, the median is over all of these."""
    level = np.full(len(losses), np.nan)
    for end in range(START_POINTS, min(LEVEL_POINTS, len(losses))):
        level[end] = median(losses[:end])
    windows = sliding_window_view(losses, LEVEL_POINTS)[:-1]
    for begin in range(0, len(windows), CHUNK):
        chunk = windows[begin : begin + CHUNK]
        level[LEVEL_POINTS + begin : LEVEL_POINTS + begin + CHUNK] = median(chunk)
    rise = np.nan_to_num(losses - level, nan=-np.inf)
    padded = np.r_[np.full(RECENT_POINTS, -np.inf), rise]
    recent = sliding_window_view(padded, RECENT_POINTS)[: len(losses)].max(axis=1)
    return Rises(level, recent, np.r_[-np.inf, np.maximum.accumulate(rise)[:-1]])


DETECTOR = Detector("loss-spike", judge, (SPIKE,))
