"""Scale of every layer's output at step 0: of the order of 1, however deep.

A residual stream starts at the embedding's scale and each sublayer, fed by a LayerNorm and weighted
at Xavier scale, adds a variance of 1 or so. After L blocks the scale is of the order of sqrt(2 L):
10 would take fifty blocks."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import Evidence

SYMPTOM = "initial-activation-large"
LIMIT = 10.0
SOURCE = "mean |activation| of unit-scale sublayers grows as sqrt(2 blocks); healthy starts measured at 0.1-1.1"


def judge(evidence: Evidence) -> list[Finding]:
    sites = evidence.sites("activation") or ("",)
    largest, site = max((evidence.at_start("activation", site), site) for site in sites)
    return [Finding(SYMPTOM, site, 0, largest, LIMIT, "above", SOURCE)] if largest > LIMIT else []


DETECTOR = Detector(
    "initial-activation",
    judge,
    {SYMPTOM: f"mean |activation| of a layer at step 0 above {LIMIT:g}; {SOURCE}"},
)
