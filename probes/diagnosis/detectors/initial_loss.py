"""Loss at step 0 against what a model that knows nothing scores: ln V, plus what the spread of its
logits costs.

Independent logits of variance s2 cost s2 / 2 nats on top of ln V (the mean of ln sum exp over
Gaussian logits). Tied logits at Xavier initialisation have s2 = 2 d_model / (V + d_model), at most
2, so an honest start lies within 1 of ln V; the band adds 0.2 for the draw above and 0.5 for lucky
labels below. No recorded or configured scale widens it."""

from __future__ import annotations

from math import isfinite

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import CannotJudgeError, Evidence

HIGH = "initial-loss-high"
LOW = "initial-loss-low"
ABOVE_LN_V = 1.2
BELOW_LN_V = 0.5
SOURCE = "a model that knows nothing scores ln V; band [ln V - 0.5, ln V + 1.2]"


def judge(evidence: Evidence) -> list[Finding]:
    uniform, loss = evidence.uniform(), evidence.at_start("loss")
    if not isfinite(loss):
        raise CannotJudgeError("loss at step 0 is infinite, which says nothing of its scale")
    if loss > uniform + ABOVE_LN_V:
        return [Finding(HIGH, "", 0, loss, uniform + ABOVE_LN_V, "above", SOURCE)]
    if loss < uniform - BELOW_LN_V:
        return [Finding(LOW, "", 0, loss, uniform - BELOW_LN_V, "below", SOURCE)]
    return []


LIMITS = {
    HIGH: f"loss at step 0 above ln V + {ABOVE_LN_V}; {SOURCE}",
    LOW: f"loss at step 0 below ln V - {BELOW_LN_V}; {SOURCE}",
}
DETECTOR = Detector("initial-loss", judge, LIMITS)
