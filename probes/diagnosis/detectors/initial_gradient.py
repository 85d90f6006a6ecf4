"""Gradient norm of the first step, before clipping, of a loss that is a mean over tokens: of the
order of 1."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import Evidence

LARGE = "first-gradient-large"
SMALL = "first-gradient-small"
UPPER = 10.0
LOWER = 0.1
SOURCE = "first gradient norm of a mean loss; band [0.1, 10], healthy starts measured at 2.7-4.5"


def judge(evidence: Evidence) -> list[Finding]:
    evidence.number(
        "vocab_size"
    )  # the band is one of mean cross-entropy from scratch; without V it is not known to be
    norm = evidence.at_start("grad_norm")
    if norm > UPPER:
        return [Finding(LARGE, "", 0, norm, UPPER, "above", SOURCE)]
    if norm < LOWER:
        return [Finding(SMALL, "", 0, norm, LOWER, "below", SOURCE)]
    return []


LIMITS = {
    LARGE: f"gradient norm at step 0 above {UPPER:g}; {SOURCE}",
    SMALL: f"gradient norm at step 0 below {LOWER:g}; {SOURCE}",
}
DETECTOR = Detector("first-gradient", judge, LIMITS)
