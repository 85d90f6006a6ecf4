"""Finds a loss that rises as the learning rate rises. The log itself then holds a lower rate at
which the loss still fell.

Only a rate that rises above all earlier rates counts, as in a warmup. A rate that returns to an
earlier value, as at a warm restart (Loshchilov and Hutter 2017) or after a resumption, raises the
loss as well, but that is intended."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MIN_SHARE_GIVEN_BACK_WITH_RATE = 0.25
"""While the rate rises, the loss must give back more than this share of what was learned before."""
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


def judge(evidence: Evidence) -> list[Finding]:
    loss, rate = evidence.training_loss(), evidence.curve("lr")
    if not len(rate):
        raise CannotJudgeError("no rate is finite")
    rates = np.interp(loss.steps, rate.steps, rate.values)
    if rates.max() <= MIN_RATE_RISE * rates[0]:
        raise CannotJudgeError("the rate never rises: no lower rate to compare with")
    level, noise, error = loss.segments.level, loss.segments.noise, loss.level_error
    ends = np.searchsorted(loss.steps, loss.segments.last_step)
    rates, highest = rates[ends], np.maximum.accumulate(rates)[ends]  # per segment, [B]
    # Take the last rise that starts at a segment with the lowest level and the highest rate so far.
    rise = None
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
            rise = low, learned, given_back
    if rise is None:
        return []
    low, learned, given_back = rise
    # A loss that ends no higher than before it rose has recovered. If the learning rate ends higher
    # than it was before the loss rose, the loss may still fall once the rate falls. In this
    # case, a loss that ends only a little higher than before it rose is no finding either.
    is_rate_higher = rates[-1] > rates[low]
    if level[-1] - level[low] <= (MIN_SHARE_STILL_HIGH * learned if is_rate_higher else 0.0):
        return []
    onset = int(loss.segments.first_step[low + 1])
    return [RISES_WITH_LR.found(evidence.last_step, given_back / learned, onset=onset)]


DETECTOR = Detector("rate-too-high", judge, (RISES_WITH_LR,), at_end=True)
