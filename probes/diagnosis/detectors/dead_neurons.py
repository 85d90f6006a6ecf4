"""Neurons of an FFN that are silent on every token of an evaluation: they pass no signal and get no
gradient."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import CannotJudgeError, Evidence

SYMPTOM = "dead-neurons"
LIMIT = 0.5
SOURCE = "half of a layer's neurons silent on every token: half of its width is lost; healthy runs measured at 0"


def judge(evidence: Evidence) -> list[Finding]:
    findings = []
    for site in evidence.sites("dead_fraction"):
        steps, fractions = evidence.series("dead_fraction", site)
        if (over := np.flatnonzero(fractions > LIMIT)).size:
            at = over[0]
            findings.append(
                Finding(SYMPTOM, site, int(steps[at]), float(fractions[at]), LIMIT, "above", SOURCE)
            )
    if not evidence.sites("dead_fraction"):
        raise CannotJudgeError("dead_fraction was not recorded")
    return findings


DETECTOR = Detector(
    "dead-neurons", judge, {SYMPTOM: f"share of silent neurons above {LIMIT:g}; {SOURCE}"}
)
