"""A loss that stands still on a rung of the ladder: the rung says what the model is blind to.

    uniform   ln V: it has not even learned how often each symbol occurs; nothing is learned at all
    unigram   it knows the frequencies and does not see its input
    bigram    it sees the last symbol and nothing before it

The rungs below ln V are conditional entropies of the split itself (`docs/record.md`, fact
`ladder`): a model of that blindness which learns all it can stands exactly there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.detectors.initial_loss import ABOVE_LN_V
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps

RUNGS = ("uniform", "unigram", "bigram", "ngram")
"""From knowing nothing to knowing more; on the last one a loss may well come to rest."""
SHARE_OF_RUN = 0.5
"""Of the declared run, for which the loss must have stood still: many a model rests on a rung for a
while."""
POINTS = 10
"""Measurements of the loss in that time, at least."""
STILL = 0.02
"""Change from the first half of that time to the second, relative to the level: less is standing
still."""
NEAR = 0.05
"""Distance from a rung, relative to it; neighbouring rungs lie a factor of 1.3 and more apart on
the choosing seeds."""
SOURCE = "a loss still within 2 % for half of the run, within 5 % of what a model so blind scores at best"


class Rest(NamedTuple):
    """For each measurement: the level of the stretch that ends there, and whether the loss stood
    still in it."""

    level: Column
    still: npt.NDArray[np.bool_]


def judge(evidence: Evidence) -> list[Finding]:
    signal = "train_loss" if evidence.sites("train_loss") else "loss"
    steps, losses = evidence.series(signal)
    finite = np.isfinite(losses)
    steps, losses = steps[finite], losses[finite]
    bands = _bands(evidence)
    rest = _rest(steps, losses, SHARE_OF_RUN * evidence.number("total_steps"))
    firsts = []
    for symptom, low, high, seeing_more in bands:
        there = np.flatnonzero(rest.still & (rest.level >= low) & (rest.level <= high))
        if there.size:
            at = there[0]
            firsts.append(
                Finding(
                    symptom,
                    signal,
                    int(steps[at]),
                    float(rest.level[at]),
                    seeing_more,
                    "above",
                    SOURCE,
                )
            )
    return firsts


def _bands(evidence: Evidence) -> list[tuple[str, float, float, float]]:
    """(symptom, lowest and highest level, the next rung) for every rung that is known. Knowing
    nothing is a band: what it costs depends on how confident the start was (`initial_loss`)."""
    heights = [evidence.rung("train", name) for name in RUNGS]
    if heights[0] is None:
        heights[0] = evidence.uniform()
    bands = []
    for name, height, below in zip(RUNGS, heights, heights[1:], strict=False):
        if height is not None:
            high = height + ABOVE_LN_V if name == "uniform" else height * (1 + NEAR)
            low = height * (1 - NEAR)
            bands.append((f"stalled-at-{name}", low, high, low if below is None else below))
    return bands


def _rest(steps: Steps, losses: Column, patience: float) -> Rest:
    """Looking back from each measurement over as many steps as `patience`."""
    ends = np.arange(1, len(steps) + 1)
    begins = np.searchsorted(steps, steps - patience)
    enough = (ends - begins >= POINTS) & (steps - steps[:1] >= patience)
    if not enough.any():
        raise CannotJudgeError(
            f"{len(steps)} points of loss over {int(np.ptp(steps)) if len(steps) else 0} steps; {POINTS} within "
            f"{patience:g} steps, half of the run, are needed"
        )
    middles = (begins + ends) // 2
    total = np.concatenate([[0.0], np.cumsum(losses)])
    with np.errstate(
        invalid="ignore", divide="ignore"
    ):  # where there is not enough, nothing is asked
        before = (total[middles] - total[begins]) / (middles - begins)
        after = (total[ends] - total[middles]) / (ends - middles)
        level = (total[ends] - total[begins]) / (ends - begins)
        return Rest(level, enough & (np.abs(after - before) <= STILL * level))


LIMITS = {
    f"stalled-at-{name}": f"loss at rest where a model scores that knows {known}; {SOURCE}"
    for name, known in zip(
        RUNGS, ("nothing", "how often each symbol occurs", "the symbol before"), strict=False
    )
}
DETECTOR = Detector("stalled", judge, LIMITS)
