"""Finds a loss that stops falling at the loss of a simple predictor. These losses are the rungs of
a ladder. Each rung shows what a model that scores this loss knows:

    uniform   ln V: the model has not even learned how often each symbol occurs
    unigram   it knows the frequencies and does not see its input
    bigram    it sees the previous symbol and nothing before it

The rungs below ln V are conditional entropies of the split itself (`docs/record.md`, fact
`ladder`). A model that sees no more than such a predictor, and learns all it can, comes to rest
exactly on the rung of that predictor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.detectors.initial_loss import MAX_ABOVE_LN_V
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column

MIN_SHARE_AT_REST = 0.5
"""The loss must rest for this share of the declared run. Many sound models rest on a rung for a
while."""
MIN_POINTS_AT_REST = 10
"""The loss must be measured at least this many times within that share of the run."""
MAX_DRIFT = 0.02
"""A loss rests if its mean changes by at most this share of its level from the first half of the
time at rest to the second half."""
MAX_DISTANCE_FROM_RUNG = 0.05
"""Largest distance from a rung, relative to the rung. On the seeds used to choose limits,
neighbouring rungs differ by a factor of 1.3 or more."""


def _resting_at(rung: str, known: str) -> Symptom:
    return Symptom(
        name=f"stalled-at-{rung}",
        quantity="training loss at rest, compared with the next rung of the ladder",
        unit="nats per token",
        view=ViewKey.LOSS,
        worse="above",
        criterion=(
            "training loss within 2 % of one level for half of the run, and that level within 5 %"
            f" of the score of the best model that knows {known}"
        ),
        source=(
            "score of the best model that also uses the next kind of information (the next rung "
            "of the ladder)"
        ),
        sentence={
            "en": "The loss rests at {observed}, the score of the best model that knows "
            + known
            + "."
        },
    )


AT_UNIFORM = _resting_at("uniform", "nothing")
AT_UNIGRAM = _resting_at("unigram", "how often each symbol occurs")
AT_BIGRAM = _resting_at("bigram", "the previous symbol")
SYMPTOM_AT = {"uniform": AT_UNIFORM, "unigram": AT_UNIGRAM, "bigram": AT_BIGRAM}
"""Rung -> symptom, from the highest loss to the lowest. The next rung, `ngram`, has no symptom: a
good model may come to rest on it."""


def judge(evidence: Evidence) -> list[Finding]:
    signal = evidence.evaluated_loss_signal
    loss = evidence.curve(signal)
    rungs = {name: evidence.rung("train", name) for name in (*SYMPTOM_AT, "ngram")}
    if rungs["uniform"] is None:
        rungs["uniform"] = evidence.uniform_loss()
    levels, resting = _resting_levels(
        loss.steps, loss.values, MIN_SHARE_AT_REST * evidence.number("total_steps")
    )
    findings = []
    next_rungs = list(rungs.values())[1:]
    for (name, symptom), next_rung in zip(SYMPTOM_AT.items(), next_rungs, strict=True):
        rung = rungs[name]
        if rung is None:
            continue
        low = rung * (1 - MAX_DISTANCE_FROM_RUNG)
        # A loss counts as resting at ln V up to the highest value at which a sound run may start.
        high = (
            rung + MAX_ABOVE_LN_V if symptom is AT_UNIFORM else rung * (1 + MAX_DISTANCE_FROM_RUNG)
        )
        there = resting & (levels >= low) & (levels <= high)
        if there.any():
            first = int(there.argmax())
            limit = low if next_rung is None else next_rung
            findings.append(
                symptom.found(loss.steps[first], float(levels[first]), site=signal, limit=limit)
            )
    return findings


def _resting_levels(
    steps: npt.NDArray[np.int64], losses: Column, span: float
) -> tuple[Column, npt.NDArray[np.bool_]]:
    """For each measurement, the mean loss of the last `span` steps and whether the loss rested over
    them: [n], [n]. Raises CannotJudgeError when there are too few measurements."""
    ends = np.arange(1, len(steps) + 1)
    begins = np.searchsorted(steps, steps - span)
    enough = (ends - begins >= MIN_POINTS_AT_REST) & (steps - steps[:1] >= span)
    if not enough.any():
        covered = int(np.ptp(steps)) if len(steps) else 0
        raise CannotJudgeError(
            f"{len(steps)} points of loss over {covered} steps; {MIN_POINTS_AT_REST} within "
            f"{span:g} steps, half of the run, are needed"
        )
    middles = (begins + ends) // 2
    total = np.concatenate([[0.0], np.cumsum(losses)])
    # Where there are too few measurements the quotients may be 0 / 0; `enough` masks them.
    with np.errstate(invalid="ignore", divide="ignore"):
        earlier = (total[middles] - total[begins]) / (middles - begins)
        later = (total[ends] - total[middles]) / (ends - middles)
        level = (total[ends] - total[begins]) / (ends - begins)
        return level, enough & (np.abs(later - earlier) <= MAX_DRIFT * level)


DETECTOR = Detector("stalled", judge, tuple(SYMPTOM_AT.values()))
