"""A loss that rises as the learning rate rises: the log itself holds the lower rate at which it
still fell.

Only a rate that rises above all earlier ones counts, as in a warmup. A rate that comes back to
where it was, as at a warm restart (Loshchilov and Hutter 2017) or after a resumption, lifts the
loss as well, and is meant to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import Curve, Segments
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps

MIN_SHARE_GIVEN_BACK_WITH_RATE = 0.25
"""Share of what was learned that the loss must give back as the rate rises."""
MIN_SHARE_STILL_HIGH = 0.5
"""The same at the end of a log whose rate is still above that of the lowest loss, since the loss
may yet come down."""
MIN_RATE_RISE = 1.5
"""Rate at the highest loss over the rate at the lowest loss before it."""
MIN_FALL_AND_RISE_SIGMAS = 2.0
"""Standard deviations of a single point by which the loss must have fallen before, and risen."""
MIN_RELATIVE_FALL_BEFORE = 0.1
"""Share of its start level by which the loss must have fallen before."""
MIN_FALL_AND_RISE_ERRORS = 4.0
"""Standard errors of the two levels by which the loss must have fallen before, and risen."""
RISES_WITH_LR = Symptom(
    name="loss-rises-with-lr",
    quantity="share of what was learned that the loss gives back as the learning rate rises",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MIN_SHARE_GIVEN_BACK_WITH_RATE,
    criterion=(
        "a quarter of what was learned given back while the learning rate rises to 1.5 times the "
        "rate at the lowest loss, and an end that is no better than that loss"
    ),
    source="a warm restart that is meant ends lower than before, and noise gives back less",
    sentence={
        "en": (
            "From step {onset} on the loss rises with the learning rate and gives back a share of "
            "{observed} of what was learned."
        )
    },
)


class Rise(NamedTuple):
    """A rise of the loss, from the segment `low` to the segment `high`.

    learned      how far the loss had fallen by `low`
    given_back   how far it rose from there
    """

    low: int
    high: int
    learned: float
    given_back: float


def judge(evidence: Evidence) -> list[Finding]:
    loss = evidence.training_loss()
    segments = loss.segments
    rates = _rates_at(loss.steps, evidence.curve("lr"))
    ends = np.searchsorted(loss.steps, segments.last_step)
    rise = _last_rise(loss, rates[ends], np.maximum.accumulate(rates)[ends])
    if rise is None or not _ends_no_better(segments, rates[ends], rise):
        return []
    share, onset = rise.given_back / rise.learned, int(segments.first_step[rise.low + 1])
    return [RISES_WITH_LR.found(evidence.last_step, share, onset=onset)]


def _rates_at(steps: Steps, rate: Curve) -> Column:
    """The learning rate at the points of the loss. Raises CannotJudgeError when it does not
    rise."""
    if not len(rate):
        raise CannotJudgeError("no rate is finite")
    rates = np.interp(steps, rate.steps, rate.values)
    if rates.max() <= MIN_RATE_RISE * rates[0]:
        raise CannotJudgeError("the rate never rises: no lower rate to compare with")
    return rates


def _last_rise(loss: Curve, rates: Column, highest: Column) -> Rise | None:
    """The last rise from a lowest level so far, at which the rate was as high as ever before.

    rates     learning rate at the end of each segment, [B]
    highest   highest learning rate up to there, [B]
    """
    segments, error = loss.segments, loss.level_error
    level, noise = segments.level, segments.noise
    found = None
    for low in range(len(level) - 1):
        if level[low] > level[: low + 1].min() or rates[low] < highest[low]:
            continue
        high = low + 1 + int(level[low + 1 :].argmax())
        learned, given_back = loss.start_level - float(level[low]), float(level[high] - level[low])
        least = MIN_FALL_AND_RISE_SIGMAS * max(noise[0], noise[low])
        fell = learned > max(
            MIN_RELATIVE_FALL_BEFORE * abs(loss.start_level),
            least,
            MIN_FALL_AND_RISE_ERRORS * float(np.hypot(error[0], error[low])),
        )
        rose = given_back > max(
            MIN_SHARE_GIVEN_BACK_WITH_RATE * learned,
            least,
            MIN_FALL_AND_RISE_ERRORS * float(np.hypot(error[low], error[high])),
        )
        if fell and rose and rates[low + 1 : high + 1].max() > MIN_RATE_RISE * rates[low]:
            found = Rise(low, high, learned, given_back)
    return found


def _ends_no_better(segments: Segments, rates: Column, rise: Rise) -> bool:
    """Whether the loss ends above its level before the rise; while the rate is still higher than
    there, whether it ends far above."""
    end, low = segments.level[-1], segments.level[rise.low]
    if rates[-1] > rates[rise.low]:
        return bool(end - low > MIN_SHARE_STILL_HIGH * rise.learned)
    return bool(end > low)


DETECTOR = Detector("rate-too-high", judge, (RISES_WITH_LR,), at_end=True)
