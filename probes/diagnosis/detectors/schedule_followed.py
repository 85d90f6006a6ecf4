"""Finds learning rates that are not those of the declared schedule, a linear warmup and a cosine
(Goyal et al. 2017; Loshchilov and Hutter 2017).

The length of the warmup is taken from its first rate above 0, which is lr_max / warmup_steps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MAX_ERROR = 0.05
"""Largest relative error of a rate, compared with the declared rates of the step and of its two
neighbours. Declared and measured rates of a run are computed by the same formula, so they agree to
rounding."""
OFF = Symptom(
    name="lr-off-schedule",
    quantity="relative error of the learning rate",
    unit="ratio",
    view=ViewKey.RATE,
    worse="above",
    limit=MAX_ERROR,
    criterion=(
        "the learning rate differs by more than 5 % from the declared linear warmup and cosine, at "
        "this step and at its neighbours, in a record that states lr_max, lr_min_ratio and "
        "total_steps"
    ),
    source="definition; trainers count steps from 0 or from 1, so a neighbour's rate is right too",
    sentence={
        "en": (
            "At step {step} the learning rate differs from the declared schedule by {observed} of "
            "the declared rate."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    declared = evidence.fact("schedule")
    if declared != "warmup-cosine":
        raise CannotJudgeError(f"the curve of the schedule {declared!r:.40} is not known")
    lr_max, ratio = evidence.number("lr_max"), evidence.number("lr_min_ratio")
    total = evidence.number("total_steps")
    steps, rates = evidence.series("lr")
    if steps[0] != 0 or not (lr_max > 0 and total > 0):
        raise CannotJudgeError(
            "the rate of step 0 and a positive lr_max and total_steps are needed"
        )
    first = float(rates[0]) or float(rates[min(1, len(rates) - 1)])  # some warmups begin at 0
    warmup = lr_max / first if first > 0 else np.inf
    if not 1 - MAX_ERROR <= warmup <= total:  # no warmup is longer than the run
        return [OFF.found(0, abs(warmup - 1) if warmup < 1 else 1 - 1 / warmup)]
    # Trainers count steps and warmups from 0 or from 1, so the rate of a neighbour is right too.
    near = np.stack(
        [
            curve(steps + shift, lr_max, ratio, round(warmup) - shorter, total)
            for shift in (-1, 0, 1)
            for shorter in (0, 1)
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # the declared rate may end at 0
        errors = np.maximum(1 - rates / near.min(axis=0), rates / near.max(axis=0) - 1)
    beyond = np.flatnonzero(errors > MAX_ERROR)
    return [OFF.found(steps[i], float(errors[i])) for i in beyond[:1]]


def curve(
    steps: npt.NDArray[np.integer], lr_max: float, ratio: float, warmup: int, total: float
) -> npt.NDArray[np.float64]:
    """The declared rate of each step [n]: lr_max (step + 1) / warmup, then a cosine that ends at
    lr_max * ratio at the last step."""
    progress = np.clip((steps - warmup) / max(1.0, total - 1 - warmup), 0, 1)
    cosine = lr_max * (ratio + (1 - ratio) * (1 + np.cos(np.pi * progress)) / 2)
    return np.where(steps < warmup, lr_max * (steps + 1) / max(1, warmup), cosine)


DETECTOR = Detector("schedule-followed", judge, (OFF,))
