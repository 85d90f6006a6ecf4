"""Loss at step 0 against what a model that knows nothing scores: ln V, plus what the spread of its logits costs.

Independent logits of variance s2 cost s2 / 2 nats on top of ln V (the mean of ln sum exp over Gaussian logits). Tied
logits at Xavier initialisation have s2 = 2 d_model / (V + d_model), at most 2, so an honest start lies within 1 of
ln V; the band adds 0.2 for the draw above and 0.5 for lucky labels below. No recorded or configured scale widens it.
"""

from __future__ import annotations

from math import log

from probes.findings import CannotJudgeError, Detector, Evidence, Finding

HIGH = "initial-loss-high"
LOW = "initial-loss-low"
ABOVE_LN_V = 1.2
BELOW_LN_V = 0.5
SOURCE = "a model that knows nothing scores ln V; band [ln V - 0.5, ln V + 1.2]"


def judge(evidence: Evidence) -> list[Finding]:
    uniform = log(evidence.fact("vocab_size"))
    steps, losses = evidence.series("loss")
    if steps[0] != 0:
        raise CannotJudgeError(f"the record begins at step {steps[0]}, not 0")
    loss = float(losses[0])
    if loss > uniform + ABOVE_LN_V:
        return [Finding(HIGH, "", 0, loss, uniform + ABOVE_LN_V, "above", SOURCE)]
    if loss < uniform - BELOW_LN_V:
        return [Finding(LOW, "", 0, loss, uniform - BELOW_LN_V, "below", SOURCE)]
    return []


DETECTOR = Detector("initial-loss", judge)
