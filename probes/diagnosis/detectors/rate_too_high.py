"""Finds a loss that rises as the learning rate rises. The log itself then holds a lower rate at
which the loss still fell.

Only a rate that rises above all earlier rates counts, as in a warmup. A rate that returns to an
earlier value, as at a warm restart (Loshchilov and Hutter 2017) or after a resumption, raises the
loss as well, but that is intended."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import Curve, Segments
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps

MIN_SHARE_GIVEN_BACK_WITH_RATE = 0.25
"""The loss must give back more than this share of what was learned as the rate rises."""
MIN_SHARE_STILL_HIGH = 0.5
"""If the log ends at a learning rate above the one at the lowest loss, the loss may still fall. It
must then end above its lowest level by more than this share of what was learned."""
MIN_RATE_RISE = 1.5
"""From the lowest loss to the highest loss after it, the rate must rise to more than this many
times its value at the lowest loss."""
MIN_FALL_AND_RISE_SIGMAS = 2.0
"""The fall of the loss and the rise after it must each exceed this many standard deviations of a
single point."""
MIN_RELATIVE_FALL_BEFORE = 0.1
"""The fall of the loss before its rise must exceed this share of its start level."""
MIN_FALL_AND_RISE_ERRORS = 4.0
"""The fall of the loss and the rise after it must each exceed this many standard errors of their
two levels."""
RISES_WITH_LR = Symptom(
    name="loss-rises-with-lr",
    quantity="share of what was learned that the loss gives back as the learning rate rises",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MIN_SHARE_GIVEN_BACK_WITH_RATE,
    criterion=(
        "a quarter of what was learned is given back while the learning rate rises to 1.5 times "
        "the rate at the lowest loss, and the loss ends above its level before the rise"
    ),
    source="after an intended warm restart the loss ends lower, and noise gives back less",
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
    """The learning rate at the points of the loss. Raises CannotJudgeError when no rate is finite
    or the rate does not rise."""
    if not len(rate):
        raise CannotJudgeError("no rate is finite")
    rates = np.interp(steps, rate.steps, rate.values)
    if rates.max() <= MIN_RATE_RISE * rates[0]:
        raise CannotJudgeError("the rate never rises: no lower rate to compare with")
    return rates


def _last_rise(loss: Curve, rates: Column, highest: Column) -> Rise | None:
    """The last rise that starts where the loss is at its lowest level so far and the learning rate
    at its highest so far; None when there is no such rise.

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
    """Whether the loss ends above its level before the rise. If the rate is still higher than it
    was there, the loss must end far above that level."""
    end, low = segments.level[-1], segments.level[rise.low]
    if rates[-1] > rates[rise.low]:
        return bool(end - low > MIN_SHARE_STILL_HIGH * rise.learned)
    return bool(end > low)


DETECTOR = Detector("rate-too-high", judge, (RISES_WITH_LR,), at_end=True)
