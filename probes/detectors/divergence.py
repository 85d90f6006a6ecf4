"""A loss that ends high: above where it began, or back there although much had been learned.

Both ask how the run ended. A bump after a warmup or a resumption comes back, and a task that gets harder by a step
lifts the loss by a part of its level: neither is meant, so the end must be high for long and by much. All levels are
medians of stretches (`probes.course`), so that no single point and no tail of the noise decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from probes.course import FEWEST, POINTS, Column, Course, beginning, course, falling, finite
from probes.findings import CannotJudgeError, Detector, Evidence, Finding

SYMPTOM = "loss-ends-high"
RISE = 0.5
"""Of the level at which it began, by which a loss must end above it; harder data and a re-warmed rate lift it less."""
SIGMAS = 2.0
"""Standard deviations of a single point: by so much at least it must rise, or have been learned."""
ERRORS = 4.0
"""Standard errors of the two levels, for a rise over few points."""
LEARNED = 0.1
"""Of the level at which it began, by which a loss must have fallen for much to be lost: a smoothed one wanders."""
LOST = 0.9
"""Of what was learned; the loss is then within a tenth of where it began."""
FOR_GOOD = 0.25
"""Of the run, at its end, for which it must have been high."""
KEPT_UP = 0.25
"""Of its highest rise, which a loss that ends lower than that has turned down from."""
THROWN = 3.0
"""Times its first value, to which the first updates must have thrown a loss that then rests above it."""
QUIET = 0.1
"""Noise of a loss at rest over its level, up to which its first value alone says where it began."""
ABOVE = "ends half its level above where it began, and has not turned down"
BACK = "back where it began for a quarter of the run, all that was learned lost"
THREW = "thrown to three times its first value by the first updates, and never below it again"


def judge(evidence: Evidence) -> list[Finding]:
    signal = "loss" if evidence.sites("loss") else "train_loss"
    steps, losses = finite(*evidence.series(signal))
    path = course(steps, losses)
    if path is None:
        raise CannotJudgeError(f"{len(losses)} finite points of {signal}; {FEWEST * POINTS} are needed")
    for ending in (_above(path, losses), _back(path, losses), _thrown(path, losses)):
        if ending:
            observed, limit, source, onset = ending
            at = int(evidence.steps[-1])
            return [Finding(SYMPTOM, "", at, observed, limit, "above", source, onset)]
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
    if rises[-1] < ERRORS * float(np.hypot(path.error[0], path.error[-1])) or _turned_down(losses):
        return None
    return Ending(float(rises[-1] / counts) if counts else np.inf, 1.0, ABOVE, _onset(path, rises > counts))


def _turned_down(losses: Column) -> bool:
    """Whether the last half of a loss falls."""
    return falling(losses[len(losses) // 2 :]) > ERRORS


def _back(path: Course, losses: Column) -> Ending | None:
    """Whether what had been learned is lost: the share of it that is given back, by the best of the last stretches."""
    began, low = beginning(path, losses), int(path.level.argmin())
    learned = began - float(path.level[low])
    if learned <= max(LEARNED * abs(began), SIGMAS * max(path.sigma[0], path.sigma[low])):
        return None
    shares = (path.level - path.level[low]) / learned
    if _last(path) <= low or shares[_last(path) :].min() <= LOST:
        return None
    return Ending(float(np.median(shares[_last(path) :])), LOST, BACK, _onset(path, shares > LOST))


def _thrown(path: Course, losses: Column) -> Ending | None:
    """Whether the first updates threw it far above its first value, where it stays."""
    first, half = float(losses[0]), len(path.level) // 2
    if first <= 0 or path.level[half:].min() <= first or np.median(path.sigma[half:]) > QUIET * path.level[-1]:
        return None
    early = losses[1 : 1 + POINTS]
    if np.median(early) <= THROWN * first or _turned_down(losses):
        return None
    return Ending(float(np.median(early) / first), THROWN, THREW, int(path.begin[0]))


def _onset(path: Course, high: np.ndarray) -> int:
    """The first step of the stretches that are high to the end."""
    low = np.flatnonzero(~high)
    return int(path.begin[low[-1] + 1 if len(low) else 0])


DETECTOR = Detector("divergence", judge, {SYMPTOM: f"{ABOVE}; or {BACK}; or {THREW}"}, at_end=True)
