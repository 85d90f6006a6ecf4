"""NaN or infinity anywhere: named at the first step and, within it, at the first site in the order of computation."""

from __future__ import annotations

import numpy as np

from probes.findings import CannotJudgeError, Detector, Evidence, Finding
from probes.signals import BY_NAME

SYMPTOM = "non-finite"
LIMIT = 0.0
SOURCE = "one such value is one too many: IEEE 754 arithmetic never makes it finite again"


def judge(evidence: Evidence) -> list[Finding]:
    first: tuple[int, str, float] | None = None
    for site in evidence.sites("nonfinite_count"):
        steps, counts = evidence.series("nonfinite_count", site)
        bad = np.flatnonzero(counts > 0)
        if bad.size and (first is None or steps[bad[0]] < first[0]):
            first = (int(steps[bad[0]]), site, float(counts[bad[0]]))
    if first is None and not any(evidence.sites(name) for name in BY_NAME if name != "batch_ids"):
        raise CannotJudgeError("no signal was recorded")
    return [Finding(SYMPTOM, first[1], first[0], first[2], LIMIT, "above", SOURCE)] if first else []


DETECTOR = Detector(SYMPTOM, judge, {SYMPTOM: f"{LIMIT:g} NaN or infinite value at any site; {SOURCE}"})
