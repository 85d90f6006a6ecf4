"""NaN or infinity: named at the first step that proves it and, within it, at the first site in
order of computation.

A gradient alone that is not finite proves nothing. Half precision finds its loss scale by letting
gradients overflow: at first as often as the scale has to be halved, then once whenever it is
raised, and no update is made. So a gradient counts together with a value elsewhere that is not
finite, or with a loss that is 0 from there on, which is how some trainers write NaN; or where no
gradient is finite any more and the loss stands still. Its site is then the first of the unbroken
run of such gradients. That holds for gradients by parameter as well, which a recorder may have seen
scaled."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.curves import FEWEST, POINTS, falling, finite
from probes.diagnosis.detectors.loss_zero import ZEROS, first_zeros
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column, Steps
from probes.record.signals import BY_NAME

SYMPTOM = "non-finite"
COUNT = "nonfinite_count"
GRADIENTS = ("grad_norm", "grad_norm_by_layer", "grad_activation_ratio")
LIMIT = 0.0
SOURCE = "one such value is one too many: IEEE 754 arithmetic never makes it finite again"
STEPS = 35
"""In a row that a loss scale may need: 2^32, the largest that trainers begin with, is 1 after 32
halvings; some wait for an overflow or two before the first."""
IN_A_ROW = FEWEST * POINTS
"""Points for which the loss must stand still: fewer tell no trend. Logged as means, one overflow
spoils many norms."""
SHARE = 0.1
"""Of the gradients so far, which those in a row must be as well."""
FALLS = 1.0
"""Standard errors by which a loss that falls meanwhile is learning, so that updates are made."""
STANDING = "no gradient is finite for longer than a loss scale of half precision needs, and the loss stands still"


class Gradients(NamedTuple):
    """The steps at which any gradient was not finite and those at which all were, increasing: [n],
    [m]."""

    bad: Steps
    good: Steps

    def run(self, step: int) -> Steps:
        """Up to a step, those not finite since the last that were."""
        before = int(np.searchsorted(self.good, step, side="right"))
        begin = np.searchsorted(self.bad, self.good[before - 1], side="right") if before else 0
        return self.bad[begin : np.searchsorted(self.bad, step, side="right")]


Counts = Mapping[str, tuple[Steps, Column]]
"""Site -> the steps at which its values were counted, and how many were not finite: [n], [n]."""


def judge(evidence: Evidence) -> list[Finding]:
    if not any(evidence.sites(name) for name in BY_NAME if name != "batch_ids"):
        raise CannotJudgeError("no signal was recorded")
    counts = {site: evidence.series(COUNT, site) for site in evidence.sites(COUNT)}
    gradients = _gradients(
        evidence, {site: series for site, series in counts.items() if _is_gradient(site)}
    )
    others = [series for site, series in counts.items() if not _is_gradient(site)]
    elsewhere = [int(steps[bad > 0][0]) for steps, bad in others if (bad > 0).any()]
    proofs = [*elsewhere, *_zeroed(evidence, gradients), *_standing(evidence, gradients)]
    if not proofs:
        return []
    step = min(proofs)
    began = min([step, *gradients.run(step)[:1].tolist()])
    site, count = _first_at(began, counts)
    return [
        Finding(
            SYMPTOM, site, step, count, LIMIT, "above", SOURCE, None if began == step else began
        )
    ]


def _is_gradient(site: str) -> bool:
    return site.partition(".")[0] in GRADIENTS or site.endswith(".grad")


def _gradients(evidence: Evidence, counts: Counts) -> Gradients:
    bad = [steps[count > 0] for steps, count in counts.values()]
    seen = [steps[count == 0] for steps, count in counts.values()]
    if evidence.sites("grad_norm"):
        steps, norms = evidence.observed("grad_norm")
        seen.append(steps[np.isfinite(norms)])
    none = np.empty(0, dtype=np.int64)
    unfinished = np.unique(np.concatenate([none, *bad]))
    return Gradients(unfinished, np.setdiff1d(np.concatenate([none, *seen]), unfinished))


def _first_at(step: int, counts: Counts) -> tuple[str, float]:
    """The first site at which values were not finite at a step, and how many."""
    for site, (steps, count) in counts.items():
        at = int(np.searchsorted(steps, step))
        if at < len(steps) and steps[at] == step and count[at] > 0:
            return site, float(count[at])
    raise AssertionError(f"nothing was counted at step {step}")


def _zeroed(evidence: Evidence, gradients: Gradients) -> list[int]:
    """The step, if any, at which a loss had been 0 for long and the gradient was not finite."""
    with suppress(CannotJudgeError):
        # The loss of a policy is 0 at first as well, while half precision finds its scale.
        few = first_zeros(evidence, ZEROS)
        long = few is not None and not few.before.size and few.known - few.onset > STEPS
        if few and long and (gradients.run(few.known) >= few.onset).sum() >= ZEROS:
            return [few.known]
        if zeros := first_zeros(evidence):
            if (gradients.run(zeros.known) >= zeros.onset).any():
                return [zeros.known]
            later = gradients.bad[(gradients.bad > zeros.known) & (gradients.bad <= zeros.end)]
            return [int(step) for step in later[:1]]
    return []


def _standing(evidence: Evidence, gradients: Gradients) -> list[int]:
    """The first step, if any, at which no gradient had been finite for long, and the loss did not
    fall meanwhile.

    Looked at whenever a run has become twice as long, so that what comes later takes nothing back.
    """
    if not evidence.sites(evidence.of_loss):
        return []
    steps, losses = finite(*evidence.observed(evidence.of_loss))
    finite_before = np.searchsorted(gradients.good, gradients.bad)
    begins = np.r_[0, 1 + np.flatnonzero(np.diff(finite_before)), len(gradients.bad)]
    for begin, end in pairwise(begins.tolist()):
        points = IN_A_ROW
        while begin + points <= end:
            first, last = gradients.bad[[begin, begin + points - 1]]
            meanwhile = losses[
                np.searchsorted(steps, first) : np.searchsorted(steps, last, side="right")
            ]
            long = last - first > STEPS and points >= SHARE * (
                finite_before[begin] + begin + points
            )
            if long and len(meanwhile) >= IN_A_ROW and falling(meanwhile) <= FALLS:
                return [int(last)]
            points *= 2
    return []


DETECTOR = Detector(
    SYMPTOM,
    judge,
    {
        SYMPTOM: f"{LIMIT:g} NaN or infinite value at any site; {SOURCE}; of gradients alone, {STANDING}"
    },
)
