"""A loss that rises as the learning rate does: the log itself holds the lower rate at which it
still fell.

A rate that rises for the first time, as in a warmup, is asked for. One that only comes back to
where it was, as at a warm restart (Loshchilov and Hutter 2017) or after a resumption, lifts the
loss as well, and is meant to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.curves import Course, beginning, finite, training_loss, wander
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps

SYMPTOM = "loss-rises-with-lr"
GIVEN_BACK = 0.25
"""Of what was learned, which a loss that came back with the rate must have given back on the
way."""
STILL_HIGH = 0.5
"""As much while the rate is still above the one at which the loss was lowest, and may yet come
down."""
FAR_ABOVE = 1.5
"""Rate at which the loss is highest over that at which it was lowest before."""
SIGMAS = 2.0
"""Standard deviations of a single point, by which the loss must have fallen before, and risen."""
LEARNED = 0.1
"""Of the level at which it began, by which it must have fallen before."""
ERRORS = 4.0
"""Standard errors of the two levels, by which it must have fallen and risen."""
SOURCE = (
    "a quarter of what was learned, given back as the rate rose, and no better an end than before"
)


class Rise(NamedTuple):
    """From the stretch in which the loss was lowest to the one in which it was highest after it.

    learned    how far it had fallen
    given      how far it rose
    """

    low: int
    high: int
    learned: float
    given: float


def judge(evidence: Evidence) -> list[Finding]:
    steps, losses, path = training_loss(evidence)
    rates = _rates(steps, *finite(*evidence.series("lr")))
    ends = np.searchsorted(steps, path.end)
    rise = _rise(path, losses, rates[ends], np.maximum.accumulate(rates)[ends])
    if rise is None or not _no_better(path, rates[ends], rise):
        return []
    share = rise.given / rise.learned
    onset = int(path.begin[rise.low + 1])
    return [
        Finding(SYMPTOM, "", int(evidence.steps[-1]), share, GIVEN_BACK, "above", SOURCE, onset)
    ]


def _rates(at: Steps, steps: Steps, rates: Column) -> Column:
    """The learning rate at the points of the loss. Raises CannotJudgeError when it does not
    rise."""
    if not len(rates):
        raise CannotJudgeError("no rate is finite")
    rates = np.interp(at, steps, rates)
    if rates.max() <= FAR_ABOVE * rates[0]:
        raise CannotJudgeError("the rate never rises: no lower rate to compare with")
    return rates


def _rise(path: Course, losses: Column, rates: Column, highest: Column) -> Rise | None:
    """The rise after the lowest level that was reached before the rate went where it had not been
    before.

    rates      at the end of each stretch, [B]
    highest    the highest up to there, [B]
    """
    began, error = beginning(path, losses), wander(path, losses)
    found = None
    for low in range(len(path.level) - 1):
        if path.level[low] > path.level[: low + 1].min() or rates[low] < highest[low]:
            continue
        high = low + 1 + int(path.level[low + 1 :].argmax())
        learned, given = began - float(path.level[low]), float(path.level[high] - path.level[low])
        noise = SIGMAS * max(path.sigma[0], path.sigma[low])
        fell = learned > max(
            LEARNED * abs(began), noise, ERRORS * float(np.hypot(error[0], error[low]))
        )
        rose = given > max(
            GIVEN_BACK * learned, noise, ERRORS * float(np.hypot(error[low], error[high]))
        )
        if fell and rose and rates[low + 1 : high + 1].max() > FAR_ABOVE * rates[low]:
            found = Rise(low, high, learned, given)
    return found


def _no_better(path: Course, rates: Column, rise: Rise) -> bool:
    """Whether the end is no better than the lowest level before the rise, or has half of it to
    go."""
    end, low = path.level[-1], path.level[rise.low]
    if rates[-1] > rates[rise.low]:
        return bool(end - low > STILL_HIGH * rise.learned)
    return bool(end > low)


DETECTOR = Detector("rate-too-high", judge, {SYMPTOM: SOURCE}, at_end=True)
