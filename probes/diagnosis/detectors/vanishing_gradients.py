"""Gradients that no longer arrive: none at all while there is a loss, or next to none in the first
layers.

A norm near 0 is not enough, since on a full batch a converged regression gets there, at whatever
loss its noise leaves. It has to be exactly 0, and two who write that are to be told from it: who
rounds a small norm, and who did not measure. Of the layers it is enough that the norm falls from
each to the one before, by a thousand in all, and the loss never fell."""

from __future__ import annotations

from math import sqrt

import numpy as np

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.curves import FEWEST, POINTS, fell, training_loss
from probes.diagnosis.detectors.at_ln_k import resolution
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column

SYMPTOM = "gradient-vanished"
SUCCESSIVE = 5
"""Points that have to be 0, up to the last one; a batch in which no target counts is one."""
ERRORS = 3.0
"""Standard errors: by so much a loss must not lie below its last points before, as one does that
goes on falling; and where norms are rounded it must lie above them, since what gets to 0 by
converging does not rise."""
DUST = 1e-6
"""Of its level, within which a loss is constant: the sum over a batch, in single precision, has an
error of its own."""
BY_LAYER = 1e-3
"""First layer over the one with the most, as few as three layers apart. Eight layers of sigmoids
have 1e-5 or so; of MiniGPT's, sound or broken, the first has a third or more, and most often it is
the one with the most."""
LAYERS = 3
NONE = "exactly 0 for five points and more, up to the last and never before, while the loss is not 0 and does not fall"
HARDLY = "a thousandth of the layer with the most, falling from each to the one before, while the loss never fell"


def judge(evidence: Evidence) -> list[Finding]:
    at, losses, _ = training_loss(evidence)
    if not fell(losses) and (early := _early(evidence)):
        return early
    steps, norms = evidence.series("grad_norm")
    zero = norms == 0
    if zero.all():
        raise CannotJudgeError("grad_norm is 0 throughout, as who does not measure it writes")
    zeros = int(np.argmin(zero[::-1]))
    measured = norms[: len(norms) - zeros]
    known = measured[np.isfinite(measured)]
    if zeros < SUCCESSIVE or not len(known) or (known == 0).any():
        return []
    onset = int(steps[-zeros])
    if _learns(losses[at < onset], losses[at >= onset], rounded=resolution(known[-100:]) > 0):
        return []
    return [
        Finding(SYMPTOM, "", int(evidence.steps[-1]), 0.0, float(known.min()), "below", NONE, onset)
    ]


def _learns(before: Column, since: Column, rounded: bool) -> bool:
    """Whether a loss may be that of a run in which gradients arrive, by what it was before the norm
    was 0."""
    few = FEWEST * POINTS
    if len(since) < SUCCESSIVE or not since.all():
        return True
    latest, recent = np.r_[before, since][-max(len(since), few) :], before[-few:]
    if np.ptp(latest) > DUST * abs(float(np.median(latest))) and fell(latest):
        return True
    if len(recent) < SUCCESSIVE:
        return rounded
    rise = float(np.median(since) - np.median(recent))
    error = float(np.hypot(recent.std() / sqrt(len(recent)), since.std() / sqrt(len(since))))
    return rise < -ERRORS * error or (rounded and rise <= ERRORS * error)


def _early(evidence: Evidence) -> list[Finding]:
    """The first layer, where what arrives there has become next to nothing on its way from the last
    ones."""
    layers = evidence.sites("grad_norm_by_layer")
    norms = np.array(
        [np.median(evidence.series("grad_norm_by_layer", layer)[1]) for layer in layers]
    )
    if not np.isfinite(norms).all() or len(norms) < LAYERS:
        return []
    most = int(norms.argmax())
    falls = most + 1 >= LAYERS and bool((np.diff(norms[: most + 1]) > 0).all())
    if not falls or not 0 < norms[0] < BY_LAYER * norms[most]:
        return []
    limit = BY_LAYER * float(norms[most])
    return [
        Finding(
            SYMPTOM, layers[0], int(evidence.steps[-1]), float(norms[0]), limit, "below", HARDLY
        )
    ]


LIMITS = {SYMPTOM: f"gradient norm {NONE}; or that of the first layer {HARDLY}"}
DETECTOR = Detector("vanishing-gradients", judge, LIMITS, at_end=True)
