"""A loss that ends high: above where it began, or back there although much had been learned.

The end of the run decides. It must be high for long and by much, which excludes two harmless
rises: a bump after a warmup or a resumption comes back, and a task that gets harder by a step lifts
the loss by a part of its level. All levels are medians of segments (`probes.diagnosis.curves`), so
no single point and no outliers decide."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_SEGMENT_POINTS, Curve, Segments, fall_z
from probes.diagnosis.evidence import Evidence
from probes.record import Column

MIN_RELATIVE_RISE = 0.5
"""Rise above the start level, as a share of that level, for a loss that ends above its start.
Harder data and a rate that is warmed up again lift a loss less."""
MIN_RISE_OR_LEARNED_SIGMAS = 2.0
"""Standard deviations of a single point that the rise, or what was learned, must exceed."""
MIN_RISE_Z = 3.0
"""Standard errors of a rise along the whole run (`fall_z`)."""
MIN_TURN_DOWN_Z = 3.0
"""Standard errors of a fall along the last half, from which a loss has turned down."""
MIN_FINAL_SHARE_OF_PEAK = 0.25
"""Share of its highest rise at which a loss must end. One that ends lower has turned down."""
END_SHARE = 0.25
"""Share of the run, at its end, over which the loss must be high."""
MIN_RELATIVE_LEARNED = 0.1
"""Share of its start level by which a loss must have fallen for much to be lost. A smoothed loss
varies by less."""
MIN_LEARNED_ERRORS = 3.0
"""Standard errors of the levels by which it must have fallen."""
MIN_SHARE_LOST = 0.9
"""Share of what was learned that a loss which is back at its start has lost."""
MIN_SHARE_OF_HIGH_POINTS = 0.8
"""Share of the points of the end that must have lost half of what was learned. A spike just before
the end has fewer."""
MIN_SHARE_CLIMBED_THROUGHOUT, MIN_SHARE_CLIMBED = 0.25, 0.5
"""Share of what was learned that a loss which climbs to its end has lost over the whole end, and in
its last segment."""
MIN_CLIMB_Z = 6.0
"""Standard errors of that climb (`fall_z`). Harder data make a step, not a climb."""
MIN_THROWN_FACTOR = 3.0
"""Times its first value to which the first updates must throw a loss that then stays above it."""
MAX_RELATIVE_NOISE = 0.1
"""Noise over level at the end of such a loss, up to which its first value alone says where it
began."""
MIN_EXPLOSION_FACTOR = 10.0
"""Times the largest loss before that each of the last points must be. Neither outliers nor data do
that."""
MIN_EXPLODED_POINTS = 3
"""Points of such an explosion at least. They are a quarter of the log at most, since a longer one
shows in the segments."""
ABOVE = "ends half its level above where it began, and has not turned down"
BACK = "back where it began for a quarter of the run, all that was learned lost"
EXPLODES = "its last three points and more at ten times all before"
CLIMBS = "half of what was learned lost on a climb of a quarter of the run, to its end"
THREW = "thrown to three times its first value by the first updates, and never below it again"
ENDS_HIGH = Symptom(
    name="loss-ends-high",
    quantity="height of the training loss at its end, as its source says",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    criterion="training loss " + "; or ".join((ABOVE, THREW, EXPLODES, BACK, CLIMBS)),
    source="a bump after a warmup comes back, and harder data lift the loss by less",
    sentence={"en": "The loss rises from step {onset} on and ends high: what was learned is lost."},
)
ENDS_ABOVE_START = Symptom(
    name="loss-ends-above-start",
    quantity="height of the training loss at its end, as its source says",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    criterion="training loss " + "; or ".join((ABOVE, THREW, EXPLODES)),
    source="a model that no gradient reaches is as bad as at its start, and no worse",
    sentence={"en": "The loss ends above where it began: training made the model worse."},
)


class HighEnd(NamedTuple):
    """How high a loss ends, in the unit of its limit. `above_start`: whether that is above where it
    began."""

    above_start: bool
    observed: float
    limit: float
    source: str
    onset: int


def judge(evidence: Evidence) -> list[Finding]:
    end = evidence.once(high_end)
    if end is None:
        return []
    return [
        symptom.found(
            evidence.last_step, end.observed, limit=end.limit, source=end.source, onset=end.onset
        )
        for symptom in ((ENDS_HIGH, ENDS_ABOVE_START) if end.above_start else (ENDS_HIGH,))
    ]


def high_end(evidence: Evidence) -> HighEnd | None:
    """How high the training loss ends; None when it does not end high. Raises CannotJudgeError for
    too few points."""
    loss = evidence.training_loss()
    for rule in (_above_start, _thrown, _explodes, _back_at_start, _climbs):
        if end := rule(loss):
            return end
    return None


def _above_start(loss: Curve) -> HighEnd | None:
    """A loss that ends above its start: by how many times as much as is needed."""
    segments, start = loss.segments, loss.start_level
    lowest = float(segments.level.min())
    needed = max(
        MIN_RELATIVE_RISE * abs(start),
        start - lowest,
        MIN_RISE_OR_LEARNED_SIGMAS * segments.noise[0],
    )
    rises = segments.level - start
    high_throughout_end = (rises[_end_begins(segments) :] > needed).all()
    if not high_throughout_end or rises[-1] < MIN_FINAL_SHARE_OF_PEAK * rises.max():
        return None
    if loss.fall_z > -MIN_RISE_Z or _turned_down(loss.values):
        return None
    observed = float(rises[-1] / needed) if needed else np.inf
    return HighEnd(True, observed, 1.0, ABOVE, _first_step_of_high_end(segments, rises > needed))


def _thrown(loss: Curve) -> HighEnd | None:
    """A loss that the first updates threw far above its first value, where it stays."""
    first, segments = float(loss.values[0]), loss.segments
    half = len(segments.level) // 2
    if (
        first <= 0
        or segments.level[half:].min() <= first
        or median(segments.noise[half:]) > MAX_RELATIVE_NOISE * segments.level[-1]
    ):
        return None
    early = median(loss.values[1 : 1 + MIN_SEGMENT_POINTS])
    if (
        loss.correlation_length > 1
        or early <= MIN_THROWN_FACTOR * first
        or _turned_down(loss.values)
    ):
        return None
    return HighEnd(
        True, float(early / first), MIN_THROWN_FACTOR, THREW, int(segments.first_step[0])
    )


def _explodes(loss: Curve) -> HighEnd | None:
    """A loss whose last points are far above all before, but too few to show in a segment."""
    losses, count = loss.values, len(loss)
    largest_before = np.maximum.accumulate(np.abs(losses))[:-1]
    smallest_from_here = np.minimum.accumulate(losses[::-1])[::-1][1:]
    times = np.divide(
        smallest_from_here, largest_before, out=np.zeros(count - 1), where=largest_before > 0
    )
    first = count - 1 - count // 4
    times = times[first : count - MIN_EXPLODED_POINTS]
    if not times.size or times.max() <= MIN_EXPLOSION_FACTOR:
        return None
    onset = loss.steps[first + 1 + int(np.argmax(times > MIN_EXPLOSION_FACTOR))]
    return HighEnd(True, float(times.max()), MIN_EXPLOSION_FACTOR, EXPLODES, int(onset))


def _back_at_start(loss: Curve) -> HighEnd | None:
    """A loss that has lost what it had learned for good: the share that is lost at its end."""
    segments, shares = loss.segments, _shares_lost(loss)
    end = _end_begins(segments)
    if shares is None or end <= segments.level.argmin() or shares[end:].min() <= MIN_SHARE_LOST:
        return None
    halfway = (float(segments.level.min()) + loss.start_level) / 2
    end_points = loss.values[-round(END_SHARE * len(loss)) :]
    if np.mean(end_points > halfway) < MIN_SHARE_OF_HIGH_POINTS:
        return None
    onset = _first_step_of_high_end(segments, shares > MIN_SHARE_LOST)
    return HighEnd(False, float(median(shares[end:])), MIN_SHARE_LOST, BACK, onset)


def _climbs(loss: Curve) -> HighEnd | None:
    """A loss that is losing what it had learned up to its end: the share that is lost by then."""
    segments, shares = loss.segments, _shares_lost(loss)
    end, low = _end_begins(segments), int(segments.level.argmin())
    if (
        shares is None
        or end <= low
        or shares[end:].min() <= MIN_SHARE_CLIMBED_THROUGHOUT
        or shares[-1] <= MIN_SHARE_CLIMBED
    ):
        return None
    since_lowest = loss.values[round((low + 1) / len(shares) * len(loss)) :]
    needed = MIN_CLIMB_Z / loss.correlation_length**0.5
    if fall_z(since_lowest) > -needed or _turned_down(since_lowest):
        return None
    return HighEnd(
        False, float(shares[-1]), MIN_SHARE_CLIMBED, CLIMBS, int(segments.first_step[low + 1])
    )


def _shares_lost(loss: Curve) -> Column | None:
    """Share of what was learned, from the start to the lowest segment, that each segment has lost:
    [B]. None where little was learned."""
    segments, error = loss.segments, loss.level_error
    low = int(segments.level.argmin())
    learned = loss.start_level - float(segments.level[low])
    needed = max(
        MIN_RELATIVE_LEARNED * abs(loss.start_level),
        MIN_RISE_OR_LEARNED_SIGMAS * max(segments.noise[0], segments.noise[low]),
        MIN_LEARNED_ERRORS * float(np.hypot(max(error[0], error[-1]), error[low])),
    )
    if learned <= needed:
        return None
    shares: Column = (segments.level - segments.level[low]) / learned
    return shares


def _end_begins(segments: Segments) -> int:
    """The first of the segments that are the end of the run."""
    return len(segments.level) - max(1, round(END_SHARE * len(segments.level)))


def _turned_down(losses: Column) -> bool:
    """Whether the last half of a loss falls."""
    return fall_z(losses[len(losses) // 2 :]) > MIN_TURN_DOWN_Z


def _first_step_of_high_end(segments: Segments, is_high: np.ndarray) -> int:
    """First step of the last unbroken run of high segments."""
    low = np.flatnonzero(~is_high)
    return int(segments.first_step[low[-1] + 1 if len(low) else 0])


DETECTOR = Detector("divergence", judge, (ENDS_HIGH, ENDS_ABOVE_START), at_end=True)
