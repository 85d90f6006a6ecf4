"""Attention heads stuck on one key although nothing has been learned that would need it.

A head may well learn to look at a single key. One that does so while the model still scores no
better than the symbol before tells has not learned it: its softmax is saturated, and a saturated
softmax passes no gradient."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import CannotJudgeError, Evidence

SYMPTOM = "head-stuck"
LIMIT = 0.01
"""Of ln(visible keys). One key of twenty holds 99.5 % of the weight; healthy heads were measured at
0.04 and more."""
SOURCE = "attention entropy under 1 % of even attention's, at a loss no better than the bigram's"


def judge(evidence: Evidence) -> list[Finding]:
    bigram = evidence.rung("train", "bigram")
    if bigram is None:
        raise CannotJudgeError("the record states no bigram rung for train")
    heads = evidence.sites("attention_entropy")
    if not heads:
        raise CannotJudgeError("attention_entropy was not recorded")
    evaluated, losses = evidence.series("train_loss")
    blind = evaluated[~(losses < bigram)]
    findings = []
    for head in heads:
        steps, entropies = evidence.series("attention_entropy", head)
        if (stuck := np.flatnonzero((entropies < LIMIT) & np.isin(steps, blind))).size:
            at = stuck[0]
            findings.append(
                Finding(SYMPTOM, head, int(steps[at]), float(entropies[at]), LIMIT, "below", SOURCE)
            )
    return findings


DETECTOR = Detector("stuck-heads", judge, {SYMPTOM: f"attention entropy below {LIMIT:g}; {SOURCE}"})
