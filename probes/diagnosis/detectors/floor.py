"""Full-split loss below that split's entropy floor: no model that sees only the past can score so
well.

The floor is the mean conditional entropy of the next token given the whole prefix, a bound by
Gibbs' inequality and no estimate (`docs/record.md`, fact `ladder`). A batch is a sample and may
honestly dip below; a full split may not."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, worsening
from probes.diagnosis.evidence import CannotJudgeError, Evidence

SYMPTOM = "loss-below-floor"
SPLITS = ("train", "val")
FLOAT32_SLACK = 1e-5
"""Nats by which a mean of float32 losses may miss an exact bound."""
SOURCE = "entropy floor of the split, which no causal model can beat (Gibbs' inequality); slack 1e-5 for float32"


def judge(evidence: Evidence) -> list[Finding]:
    judged, findings = 0, []
    for split in SPLITS:
        floor, signal = evidence.rung(split, "floor"), f"{split}_loss"
        if floor is None or not evidence.sites(signal):
            continue
        judged += 1
        steps, losses = evidence.series(signal)
        limit = floor - FLOAT32_SLACK
        findings += [
            Finding(SYMPTOM, signal, int(steps[i]), float(losses[i]), limit, "below", SOURCE)
            for i in worsening(losses, limit, "below")
        ]
    if not judged:
        raise CannotJudgeError("no floor is stated for a split whose full loss was recorded")
    return findings


DETECTOR = Detector("floor", judge, {SYMPTOM: f"full-split loss below the split's floor; {SOURCE}"})
