"""Finds attention heads that look at a single key although the model has not learned to do so.

A head may learn to look at a single key. But if a head does so while the loss is still no better
than that of the best bigram model, it has not learned this. Its softmax is saturated, and a
saturated softmax passes no gradient."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MIN_ENTROPY = 0.01
"""Smallest attention entropy, relative to ln(visible keys). At this entropy, one key of twenty
holds 99.5 % of the weight."""
STUCK = Symptom(
    name="head-stuck",
    quantity="attention entropy of a head over ln(visible keys)",
    unit="ratio",
    view=ViewKey.ATTENTION_ENTROPY,
    worse="below",
    limit=MIN_ENTROPY,
    criterion=(
        "attention entropy below 1 % of that of even attention, while the train loss is no better "
        "than that of the best bigram model"
    ),
    source=(
        "one key of twenty holds 99.5 % of the weight then; healthy heads measured at 0.04 and more"
    ),
    sentence={"en": "The head {site} looks at a single key, although little has been learned."},
)


def judge(evidence: Evidence) -> list[Finding]:
    bigram = evidence.rung("train", "bigram")
    if bigram is None:
        raise CannotJudgeError("the record states no bigram rung for train")
    heads = evidence.measured_sites("attention_entropy")
    evaluated, losses = evidence.series("train_loss")
    steps_of_little_learned = evaluated[~(losses < bigram)]
    findings = []
    for head in heads:
        steps, entropies = evidence.series("attention_entropy", head)
        stuck = (entropies < MIN_ENTROPY) & np.isin(steps, steps_of_little_learned)
        if stuck.any():
            first = int(stuck.argmax())
            findings.append(STUCK.found(steps[first], float(entropies[first]), site=head))
    return findings


DETECTOR = Detector("stuck-heads", judge, (STUCK,))
