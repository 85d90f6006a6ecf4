"""Finds a loss that ends high: above where it began, or back where it began although much had been
learned.

Only the end of the run is judged. The loss must be high for a long time and far above its usual
level, which excludes two harmless rises. After a warmup or a resumption the loss may rise, but it
comes down again. When the task becomes harder at some step, the loss rises, but only by a part of
its level. Most levels are medians of segments (`probes.diagnosis.curves`), on which outliers have
little influence."""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_SEGMENT_POINTS, Curve, Segments, fall_z
from probes.diagnosis.detectors.overfitting import MIN_EVALUATIONS, validation_end
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.diagnosis.levels import MIN_RISE_OVER_NOISE, levels_of, ratio
from probes.record import Column

MIN_RELATIVE_RISE = 0.5
"""A loss that ends above its start must have risen by this share of its start level. Harder data
and a learning rate that is warmed up again raise a loss less."""
MIN_RISE_OR_LEARNED_SIGMAS = 2.0
"""The rise, or what was learned, must exceed this many standard deviations of a single point."""
MIN_RISE_Z = 3.0
"""The rise along the whole run must be at least this many standard errors (`fall_z`)."""
MIN_TURN_DOWN_Z = 3.0
"""A loss that falls by more than this many standard errors along its last half has turned down."""
MIN_FINAL_SHARE_OF_PEAK = 0.25
"""A loss that ends below this share of its highest rise has already turned down, so it is not
diverging."""
END_SHARE = 0.25
"""The loss must be high over this last part of the run, given as a share of the run."""
MIN_RELATIVE_LEARNED = 0.1
"""Much was learned if the loss fell by more than this share of its start level. By its noise
alone, a smoothed loss falls by less."""
MIN_LEARNED_ERRORS = 3.0
"""Much was learned only if the loss also fell by more than this many standard errors of its
levels."""
MIN_SHARE_LOST = 0.9
"""A loss that is back where it began has lost more than this share of what was learned."""
MIN_SHARE_OF_HIGH_POINTS = 0.8
"""At least this share of the points in the last part of the run must lie above the middle between
the lowest level and the start level. A spike just before the end has fewer such points."""
MIN_SHARE_CLIMBED_THROUGHOUT, MIN_SHARE_CLIMBED = 0.25, 0.5
"""A loss climbs to its end if every segment in the last part of the run has lost more than
MIN_SHARE_CLIMBED_THROUGHOUT of what was learned, and the last segment more than
MIN_SHARE_CLIMBED."""
MIN_CLIMB_Z = 6.0
"""A climb to the end must be at least this many standard errors (`fall_z`). Harder data make the
loss step up, not climb."""
MIN_THROWN_FACTOR = 3.0
"""The first updates have raised a loss if the median of the points after the first one is more than
this many times the first value. The loss must then stay above its first value."""
MAX_RELATIVE_NOISE = 0.1
"""A loss that the first updates raised is judged only if its noise in the second half is at most
this share of its last level. With more noise, the first value alone is not a reliable start
level."""
MIN_EXPLOSION_FACTOR = 10.0
"""Each of the last points of an explosion must be more than this many times the largest loss before
them. Neither outliers nor harder data raise a loss by so much."""
MIN_EXPLODED_POINTS = 3
"""An explosion has at least this many points. It covers at most a quarter of the log; a longer one
raises the segment medians that the other rules judge."""
MIN_TIMES_START = 1.5
"""A loss ends far above its start if its end is above this many times the start (`Levels.start`).
This is the rise of MIN_RELATIVE_RISE on a ratio scale."""
MIN_TIMES_LOWEST = 2.0
"""A loss has lost what it learned if every level of its last quarter is above this many times its
lowest level. Harder data and a restart of the learning rate raise a loss by less."""
MIN_FEW_POINTS, MIN_POINTS_FOR_NOISE, MIN_TIMES_WITHOUT_NOISE = 3, 6, 10.0
"""A loss with fewer than MIN_FEW_POINTS points is not judged. With fewer than MIN_POINTS_FOR_NOISE
points, its noise is not known, so the loss must rise to MIN_TIMES_WITHOUT_NOISE times its start or
its lowest level."""
MAX_GOOD_VALIDATION = 1.05
"""If the last evaluation is within this factor of the lowest, a training loss that ends high shows
harder batches and not a worse model."""
# Criteria for a training loss that ends high. The source of a finding is the criterion it meets.
ABOVE_START = "ends above where it began by half of that level, and has not turned down"
BACK_AT_START = (
    "is back where it began for the last quarter of the run: all that was learned is lost"
)
EXPLOSION = "ends with three or more points that are ten times as high as all points before"
CLIMB_AT_END = (
    "climbs for the last quarter of the run and has lost half of what was learned at its end"
)
THROWN_AT_START = (
    "is thrown to three times its first value by the first updates, and stays above that value"
)
FAR_ABOVE_START = (
    "ends more than 50 % above its first value, by more than its noise on a ratio scale"
)
FAR_ABOVE_LOWEST = (
    "stays at more than twice its lowest level for the last quarter of the run, by more than its "
    "noise on a ratio scale"
)
BOTH_ROSE = "has risen since the lowest evaluation, and validation loss ends 20 % above its lowest"
ENDS_HIGH = Symptom(
    name="loss-ends-high",
    quantity="how high the training loss ends, in the measure of the criterion that it meets",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    criterion="training loss "
    + "; or ".join(
        (
            ABOVE_START,
            THROWN_AT_START,
            EXPLOSION,
            BACK_AT_START,
            CLIMB_AT_END,
            FAR_ABOVE_START,
            FAR_ABOVE_LOWEST,
            BOTH_ROSE,
        )
    ),
    source="after a warmup the loss comes down again, and harder data raise it by less",
    sentence={"en": "The loss rises from step {onset} on and ends high: what was learned is lost."},
)
ENDS_ABOVE_START = Symptom(
    name="loss-ends-above-start",
    quantity="how high the training loss ends, in the measure of the criterion that it meets",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    criterion="training loss "
    + "; or ".join((ABOVE_START, THROWN_AT_START, EXPLOSION, FAR_ABOVE_START)),
    source="missing gradients may let a loss return to its start level, but not exceed it",
    sentence={"en": "The loss ends above where it began: training made the model worse."},
)


class HighEnd(NamedTuple):
    """How high a loss ends.

    above_start   whether the loss ends above where it began
    observed      how high it ends, in the unit of `limit`
    limit         the height above which a loss ends high
    source        the criterion that the loss meets
    onset         the step at which its high end begins
    """

    above_start: bool
    observed: float
    limit: float
    source: str
    onset: int


def judge(evidence: Evidence) -> list[Finding]:
    end = evidence.cached(high_end)
    if end is None:
        return []
    return [
        symptom.found(
            evidence.last_step, end.observed, limit=end.limit, source=end.source, onset=end.onset
        )
        for symptom in ((ENDS_HIGH, ENDS_ABOVE_START) if end.above_start else (ENDS_HIGH,))
    ]


def high_end(evidence: Evidence) -> HighEnd | None:
    """How high the training loss ends; None when it does not end high. Raises CannotJudgeError when
    there are too few points."""
    loss = evidence.curve(evidence.loss_signal)
    if len(loss) < MIN_FEW_POINTS:
        raise CannotJudgeError(
            f"{len(loss)} finite points of {evidence.loss_signal}; {MIN_FEW_POINTS} are needed"
        )
    rules = (_above_start, _thrown_up_at_start, _explodes, _loses_what_it_learned)
    for rule in rules if loss.has_segments else ():
        if end := rule(loss):
            return end
    val = evidence.curve_or_empty("val_loss")
    val_ends_well = (
        len(val) >= MIN_EVALUATIONS
        and 0 < val.values[-1] <= MAX_GOOD_VALIDATION * val.values.min()
        and val.steps[-1] >= evidence.last_step * (1 - END_SHARE)
    )
    if not val_ends_well and (end := _far_above(loss)):
        return end
    if len(val) < MIN_EVALUATIONS:
        return None
    # The validation loss may end well above its lowest value, and the training loss may have risen
    # since then as well.
    val_end = evidence.cached(validation_end)
    if val_end is None or val_end.train != "rose":
        return None
    return HighEnd(False, val_end.rise, val_end.limit, BOTH_ROSE, val_end.onset)


def _far_above(loss: Curve) -> HighEnd | None:
    """The end of a loss that lies far above its first value, or far above its lowest level, by more
    than its noise on a ratio scale; None for other losses. The observed value is a ratio."""
    levels = levels_of(loss)
    if levels is None:
        return None
    noise = MIN_RISE_OVER_NOISE * levels.noise
    if len(loss) < MIN_POINTS_FOR_NOISE:
        noise = log(MIN_TIMES_WITHOUT_NOISE)
    above_start = levels.end_level - levels.start
    if levels.end_above_start > 0 and above_start > max(log(MIN_TIMES_START), noise):
        return HighEnd(
            True,
            ratio(above_start),
            MIN_TIMES_START,
            FAR_ABOVE_START,
            int(levels.first_step[-levels.end]),
        )
    if levels.end_above_lowest > max(log(MIN_TIMES_LOWEST), noise):
        return HighEnd(
            False,
            ratio(levels.end_above_lowest),
            MIN_TIMES_LOWEST,
            FAR_ABOVE_LOWEST,
            int(levels.first_step[levels.lowest]),
        )
    return None


def _above_start(loss: Curve) -> HighEnd | None:
    """The end of a loss that is above its start; None for other losses. The observed value is the
    rise divided by the smallest rise that is a finding."""
    segments, start = loss.segments, loss.start_level
    lowest = float(segments.level.min())
    needed = max(
        MIN_RELATIVE_RISE * abs(start),
        start - lowest,
        MIN_RISE_OR_LEARNED_SIGMAS * segments.noise[0],
    )
    rises = segments.level - start
    high_throughout_end = (rises[_first_end_segment(segments) :] > needed).all()
    if not high_throughout_end or rises[-1] < MIN_FINAL_SHARE_OF_PEAK * rises.max():
        return None
    if loss.fall_z > -MIN_RISE_Z or _turned_down(loss.values):
        return None
    # If the loss starts at 0 without noise, `needed` is 0, and any rise is infinitely large.
    observed = float(rises[-1] / needed) if needed else np.inf
    onset = _first_step_of_high_end(segments, rises > needed)
    return HighEnd(True, observed, 1.0, ABOVE_START, onset)


def _thrown_up_at_start(loss: Curve) -> HighEnd | None:
    """The end of a loss that the first updates raised far above its first value and that stays
    above it; None for other losses."""
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
        True, float(early / first), MIN_THROWN_FACTOR, THROWN_AT_START, int(segments.first_step[0])
    )


def _explodes(loss: Curve) -> HighEnd | None:
    """The end of a loss whose last points are far above all earlier points, but are too few to
    raise the level of a segment; None for other losses."""
    losses, count = loss.values, len(loss)
    # times[i]: how far all points after point i lie above all points up to i.
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
    return HighEnd(True, float(times.max()), MIN_EXPLOSION_FACTOR, EXPLOSION, int(onset))


def _loses_what_it_learned(loss: Curve) -> HighEnd | None:
    """The end of a loss that is back where it began, or that climbs to its end; None for other
    losses. The observed value is the share that is lost of what was learned, which is the fall from
    the start to the lowest segment."""
    segments, error = loss.segments, loss.level_error
    low, end = int(segments.level.argmin()), _first_end_segment(segments)
    lowest = float(segments.level[low])
    learned = loss.start_level - lowest
    much = max(
        MIN_RELATIVE_LEARNED * abs(loss.start_level),
        MIN_RISE_OR_LEARNED_SIGMAS * max(segments.noise[0], segments.noise[low]),
        MIN_LEARNED_ERRORS * float(np.hypot(max(error[0], error[-1]), error[low])),
    )
    if learned <= much or end <= low:
        return None
    shares = (segments.level - lowest) / learned
    halfway = (lowest + loss.start_level) / 2
    end_points = loss.values[-round(END_SHARE * len(loss)) :]
    if (
        shares[end:].min() > MIN_SHARE_LOST
        and np.mean(end_points > halfway) >= MIN_SHARE_OF_HIGH_POINTS
    ):
        onset = _first_step_of_high_end(segments, shares > MIN_SHARE_LOST)
        return HighEnd(False, float(median(shares[end:])), MIN_SHARE_LOST, BACK_AT_START, onset)
    if shares[end:].min() <= MIN_SHARE_CLIMBED_THROUGHOUT or shares[-1] <= MIN_SHARE_CLIMBED:
        return None
    since_lowest = loss.values[round((low + 1) / len(shares) * len(loss)) :]
    least_z = MIN_CLIMB_Z / loss.correlation_length**0.5
    if fall_z(since_lowest) > -least_z or _turned_down(since_lowest):
        return None
    onset = int(segments.first_step[low + 1])
    return HighEnd(False, float(shares[-1]), MIN_SHARE_CLIMBED, CLIMB_AT_END, onset)


def _first_end_segment(segments: Segments) -> int:
    """Index of the first segment in the last part of the run (END_SHARE)."""
    return len(segments.level) - max(1, round(END_SHARE * len(segments.level)))


def _turned_down(losses: Column) -> bool:
    """Whether the last half of a loss falls."""
    return fall_z(losses[len(losses) // 2 :]) > MIN_TURN_DOWN_Z


def _first_step_of_high_end(segments: Segments, is_high: np.ndarray) -> int:
    """First step of the last unbroken run of high segments."""
    low = np.flatnonzero(~is_high)
    return int(segments.first_step[low[-1] + 1 if len(low) else 0])


DETECTOR = Detector("divergence", judge, (ENDS_HIGH, ENDS_ABOVE_START), at_end=True)
