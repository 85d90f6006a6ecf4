"""A learning rate that never moves although the run declares a schedule: it never stepped, or its base is 0."""

from __future__ import annotations

import numpy as np

from probes.findings import CannotJudgeError, Detector, Evidence, Finding
from probes.record import Steps

CONSTANT = "lr-constant"
ZERO = "lr-zero"
PATIENCE_POINTS = 20
"""Points of lr to see before judging: as many as make a loss a core signal."""
SHARE_OF_RUN = 0.1
"""Share of the declared run to see before judging; a schedule may hold its first value for a while."""
SMALLEST = float(np.finfo(np.float64).tiny)
SOURCE = "a declared schedule moves within 20 points and a tenth of the run"


def judge(evidence: Evidence) -> list[Finding]:
    steps, lrs = evidence.series("lr")
    points = _points_needed(evidence, steps)
    if (lrs[:points] != lrs[0]).any():
        return []
    step = int(steps[points - 1])
    if lrs[0] == 0:
        return [Finding(ZERO, "", step, 0.0, SMALLEST, "below", SOURCE)]
    if evidence.fact("schedule") == "constant":
        return []
    return [Finding(CONSTANT, "", step, float(points), float(points - 1), "above", SOURCE)]


def _points_needed(evidence: Evidence, steps: Steps) -> int:
    """Points until both are seen: enough of them, and enough of the declared run, however often lr was logged."""
    total = evidence.number("total_steps") if "total_steps" in evidence.facts else 0.0
    seen = steps - steps[0] + 1 >= SHARE_OF_RUN * total
    seen[: PATIENCE_POINTS - 1] = False
    if not seen.any():
        raise CannotJudgeError(
            f"{len(steps)} points of lr over {steps[-1] - steps[0] + 1} steps; "
            f"{PATIENCE_POINTS} and a tenth of the {total:g} declared are needed"
        )
    return int(np.argmax(seen)) + 1


LIMITS = {
    CONSTANT: f"as many equal learning rates as are looked at; {SOURCE}",
    ZERO: f"every learning rate looked at is 0; {SOURCE}",
}
DETECTOR = Detector("schedule", judge, LIMITS)
