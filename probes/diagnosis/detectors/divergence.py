"""A loss that ends high: above where it began, or back there although much had been learned.

Both ask how the run ended. A bump after a warmup or a resumption comes back, and a task that gets
harder by a step lifts the loss by a part of its level: neither is meant, so the end must be high
for long and by much. All levels are medians of stretches (`probes.diagnosis.curves`), so that no
single point and no tail of the noise decides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.curves import (
    POINTS,
    Course,
    beginning,
    falling,
    memory,
    training_loss,
    wander,
)
from probes.diagnosis.evidence import Evidence
from probes.record import Column

SYMPTOM = "loss-ends-high"
ABOVE_START = "loss-ends-above-start"
"""Beside it where the loss is worse than what a model starts with, which one without a gradient is
not."""
RISE = 0.5
"""Of the level at which it began, by which a loss must end above it; harder data and a re-warmed
rate lift it less."""
SIGMAS = 2.0
"""Standard deviations of a single point: by so much at least it must rise, or have been learned."""
ERRORS = 3.0
"""Standard errors by which the whole loss must rise, by rank, and its last half may fall."""
LEARNED = 0.1
"""Of the level at which it began, by which a loss must have fallen for much to be lost: a smoothed
one wanders."""
LOST = 0.9
"""Of what was learned; the loss is then within a tenth of where it began."""
FOR_GOOD = 0.25
"""Of the run, at its end, for which it must have been high."""
MOSTLY = 0.8
"""Of the points of that end, which must have given back half of what was learned: a spike just
before it has not."""
KEPT_UP = 0.25
"""Of its highest rise, which a loss that ends lower than that has turned down from."""
THROWN = 3.0
"""Times its first value, to which the first updates must have thrown a loss that then rests above
it."""
CLIMBED = (0.25, 0.5)
"""Of what was learned, which a loss that climbs to its end has given back for good, and at its
end."""
SURE = 6.0
"""Standard errors of that climb, by rank: harder data are a step and no climb."""
EXPLODED = 10.0
"""Times the largest loss ever before, which all of the last ones are: no tail and no data do
that."""
LAST = 3
"""Points of them at least, and a quarter of the log at most, beyond which stretches tell."""
QUIET = 0.1
"""Noise of a loss at rest over its level, up to which its first value alone says where it began."""
ABOVE = "ends half its level above where it began, and has not turned down"
BACK = "back where it began for a quarter of the run, all that was learned lost"
EXPLODES = "its last three points and more at ten times all before"
CLIMBS = "half of what was learned lost on a climb of a quarter of the run, to its end"
THREW = "thrown to three times its first value by the first updates, and never below it again"


def judge(evidence: Evidence) -> list[Finding]:
    _, losses, path = training_loss(evidence)
    at = int(evidence.steps[-1])
    for find in (_above, _thrown, _explodes, _back, _climbs):
        if ending := find(path, losses):
            observed, limit, source, onset = ending
            symptoms = (
                (SYMPTOM, ABOVE_START) if find in (_above, _thrown, _explodes) else (SYMPTOM,)
            )
            return [
                Finding(symptom, "", at, observed, limit, "above", source, onset)
                for symptom in symptoms
            ]
    return []


class Ending(NamedTuple):
    """How high a loss ends, in the unit of its limit."""

    observed: float
    limit: float
    source: str
    onset: int


def _last(path: Course) -> int:
    """The first of the stretches that are the run's end."""
    return len(path.level) - max(1, round(FOR_GOOD * len(path.level)))


def _above(path: Course, losses: Column) -> Ending | None:
    """Whether it ends above where it began, by how many times as much as counts."""
    began, lowest = beginning(path, losses), float(path.level.min())
    counts = max(RISE * abs(began), began - lowest, SIGMAS * path.sigma[0])
    rises = path.level - began
    if not (rises[_last(path) :] > counts).all() or rises[-1] < KEPT_UP * rises.max():
        return None
    if falling(losses) > -ERRORS or _turned_down(losses):
        return None
    return Ending(
        float(rises[-1] / counts) if counts else np.inf, 1.0, ABOVE, _onset(path, rises > counts)
    )


def _turned_down(losses: Column) -> bool:
    """Whether the last half of a loss falls."""
    return falling(losses[len(losses) // 2 :]) > ERRORS


def _back(path: Course, losses: Column) -> Ending | None:
    """Whether what had been learned is lost: the share of it that is given back, by the best of the
    last stretches."""
    shares, end = _given_back(path, losses), _last(path)
    if shares is None or end <= path.level.argmin() or shares[end:].min() <= LOST:
        return None
    half = (float(path.level.min()) + beginning(path, losses)) / 2
    if np.mean(losses[-round(FOR_GOOD * len(losses)) :] > half) < MOSTLY:
        return None
    return Ending(float(np.median(shares[end:])), LOST, BACK, _onset(path, shares > LOST))


def _climbs(path: Course, losses: Column) -> Ending | None:
    """Whether it is being lost at the end: the share that is given back by then."""
    shares, end, low = _given_back(path, losses), _last(path), int(path.level.argmin())
    long, last = CLIMBED
    if shares is None or end <= low or shares[end:].min() <= long or shares[-1] <= last:
        return None
    since = losses[round((low + 1) / len(shares) * len(losses)) :]
    if falling(since) > -SURE / memory(losses) ** 0.5 or _turned_down(since):
        return None
    return Ending(float(shares[-1]), last, CLIMBS, int(path.begin[low + 1]))


def _given_back(path: Course, losses: Column) -> Column | None:
    """Share of what had been learned that each stretch gives back, [B]; None where nothing much had
    been."""
    began, low = beginning(path, losses), int(path.level.argmin())
    learned = began - float(path.level[low])
    error = wander(path, losses)
    errors = ERRORS * float(np.hypot(max(error[0], error[-1]), error[low]))
    if learned <= max(LEARNED * abs(began), SIGMAS * max(path.sigma[0], path.sigma[low]), errors):
        return None
    shares: Column = (path.level - path.level[low]) / learned
    return shares


def _thrown(path: Course, losses: Column) -> Ending | None:
    """Whether the first updates threw it far above its first value, where it stays."""
    first, half = float(losses[0]), len(path.level) // 2
    if (
        first <= 0
        or path.level[half:].min() <= first
        or np.median(path.sigma[half:]) > QUIET * path.level[-1]
    ):
        return None
    early = losses[1 : 1 + POINTS]
    if memory(losses) > 1 or np.median(early) <= THROWN * first or _turned_down(losses):
        return None
    return Ending(float(np.median(early) / first), THROWN, THREW, int(path.begin[0]))


def _explodes(path: Course, losses: Column) -> Ending | None:
    """Whether its last points are beyond all before, in so few that no stretch shows it."""
    largest = np.maximum.accumulate(np.abs(losses))[:-1]
    least = np.minimum.accumulate(losses[::-1])[::-1][1:]
    first, last = len(losses) - 1 - len(losses) // 4, len(losses) - LAST
    times = np.divide(least, largest, out=np.zeros(len(least)), where=largest > 0)[first:last]
    if not times.size or times.max() <= EXPLODED:
        return None
    began = first + 1 + int(np.argmax(times > EXPLODED))
    step = path.begin[0] + round((path.end[-1] - path.begin[0]) * began / (len(losses) - 1))
    return Ending(float(times.max()), EXPLODED, EXPLODES, int(step))


def _onset(path: Course, high: np.ndarray) -> int:
    """The first step of the stretches that are high to the end."""
    low = np.flatnonzero(~high)
    return int(path.begin[low[-1] + 1 if len(low) else 0])


LIMITS = {
    SYMPTOM: "; or ".join((ABOVE, THREW, EXPLODES, BACK, CLIMBS)),
    ABOVE_START: "; or ".join((ABOVE, THREW, EXPLODES)),
}
DETECTOR = Detector("divergence", judge, LIMITS, at_end=True)
