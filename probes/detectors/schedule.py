"""A learning rate that never moves although the run declares a schedule: it never stepped, or its base is 0."""

from __future__ import annotations

import numpy as np

from probes.findings import CannotJudgeError, Detector, Evidence, Finding

CONSTANT = "lr-constant"
ZERO = "lr-zero"
PATIENCE_STEPS = 20
"""Points of lr to see before judging: as many as make a loss a core signal."""
SHARE_OF_RUN = 0.1
"""Share of the declared run to see before judging; a schedule may hold its first value for a while."""
SOURCE = "a declared schedule moves within 20 points and a tenth of the run"


def judge(evidence: Evidence) -> list[Finding]:
    declared = evidence.fact("schedule")
    steps, lrs = evidence.series("lr")
    needed = max(PATIENCE_STEPS, int(np.ceil(SHARE_OF_RUN * evidence.facts.get("total_steps", 0))))
    if len(lrs) < needed:
        raise CannotJudgeError(f"{len(lrs)} points of lr; {needed} are needed")
    if np.ptp(lrs[:needed]) != 0:
        return []
    step, value = int(steps[needed - 1]), float(lrs[0])
    if value == 0:
        return [Finding(ZERO, "", step, 0.0, np.finfo(float).tiny, "below", SOURCE)]
    if declared == "constant":
        return []
    return [Finding(CONSTANT, "", step, float(needed), float(needed - 1), "above", SOURCE)]


DETECTOR = Detector("schedule", judge)
