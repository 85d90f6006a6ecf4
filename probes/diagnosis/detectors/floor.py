"""Finds a loss over a whole split that is below the entropy floor of that split. No model that sees
only the past can score so well.

The floor is the mean conditional entropy of the next token given the whole prefix. By Gibbs'
inequality it is a bound, not an estimate (`docs/record.md`, fact `ladder`). The loss of a single
batch may be below it without any fault, since a batch is only a sample."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey, worsening
from probes.diagnosis.detectors import reported_loss
from probes.diagnosis.evidence import CannotJudgeError, Evidence

SPLITS = ("train", "val")
FLOAT32_SLACK = 1e-5
"""A mean of float32 losses may miss an exact bound by this many nats."""
BELOW_FLOOR = Symptom(
    name="loss-below-floor",
    quantity="loss over a whole split",
    unit="nats per token",
    view=ViewKey.LOSS,
    worse="below",
    criterion="loss over a whole split below the entropy floor of that split",
    source=(
        "entropy floor of the split, which no causal model can beat (Gibbs' inequality); slack "
        "1e-5 for float32"
    ),
    sentence={
        "en": (
            "{site} is {observed}, below {limit}. No model that sees only the past can score so "
            "well."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    if "evaluated" in evidence.sites("loss_ratio"):
        ratio = evidence.at_start("loss_ratio", "evaluated")
        if abs(ratio - 1) > reported_loss.MAX_ERROR:
            raise CannotJudgeError(f"evaluations report {ratio:.3g} times the mean cross-entropy")
    judged, findings = 0, []
    for split in SPLITS:
        floor, signal = evidence.rung(split, "floor"), f"{split}_loss"
        if floor is None or not evidence.sites(signal):
            continue
        judged += 1
        steps, losses = evidence.series(signal)
        limit = floor - FLOAT32_SLACK
        findings += [
            BELOW_FLOOR.found(steps[i], float(losses[i]), site=signal, limit=limit)
            for i in worsening(losses, limit, "below")
        ]
    if not judged:
        raise CannotJudgeError("no floor is stated for a split whose full loss was recorded")
    return findings


DETECTOR = Detector("floor", judge, (BELOW_FLOOR,))
