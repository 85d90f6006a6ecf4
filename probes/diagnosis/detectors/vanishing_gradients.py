"""Finds gradients that no longer arrive: the norm is exactly 0 although the loss is not, or the
first layers get next to nothing.

A norm near 0 is not enough. A regression trained on the full batch also has such a norm once it has
converged, however large its remaining loss is. The norm must be exactly 0, and two harmless kinds
of log must be excluded: those that round a small norm to 0, and those that write 0 for a norm they
did not measure. If norms by layer were recorded and the loss never fell, either of two criteria is
enough: all of them are exactly 0 throughout, or they decrease layer by layer towards the input, by
a factor of a thousand in total."""

from __future__ import annotations

from math import sqrt

import numpy as np

from probes.common.arrays import median
from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.curves import MIN_POINTS, fell, rounding_step
from probes.diagnosis.evidence import CannotJudgeError, Evidence
from probes.record import Column

MIN_ZERO_NORMS = 5
"""At least this many of the last norms must be 0. A batch in which no target contributes to the
loss gives a single 0."""
MIN_LOSS_CHANGE_ERRORS = 3.0
"""The loss after the norm became 0 is compared with the loss just before. If it is lower by more
than this many standard errors, the loss is still falling, and there is no finding. A log that
rounds its norms may show 0 for the small norm of a loss that has converged. In such a log, the loss
must be higher by more than this many standard errors, because a loss that has converged does not
rise."""
MAX_CONSTANT_VARIATION = 1e-6
"""A loss whose relative variation is at most this counts as constant. A sum over a batch in single
precision has an error of that size."""
MAX_FIRST_LAYER_SHARE = 1e-3
"""Norm of the first layer over the largest norm of a layer. It is about 1e-5 in eight layers of
sigmoids. In MiniGPT, healthy or broken, it is a third or more, and the first layer most often has
the largest norm."""
SMALLEST_NORM = float(np.finfo(np.float64).tiny)
MIN_LAYERS = 3
"""Norms of at least this many layers must decrease towards the input."""
VANISHED = Symptom(
    name="gradient-vanished",
    quantity="gradient norm, of the whole model or of its first layer",
    unit="L2 norm",
    view=ViewKey.GRADIENT_NORM,
    worse="below",
    criterion=(
        "gradient norm exactly 0 for the last five points or more and never before, while the loss"
        " is not 0 and does not fall; or, while the loss is not 0 and never fell, norms of layers "
        "that are all exactly 0 throughout, or that decrease layer by layer towards the input, by "
        "a factor of a thousand in total"
    ),
    source=(
        "the smallest norm before the zeros; a norm that converges to 0 is hardly ever exactly 0"
    ),
    sentence={
        "en": "From step {onset} on the gradient norm is {observed}: next to nothing is learned."
    },
)
SOURCE_OF_FIRST_LAYER = (
    "a thousandth of the layer with the largest norm; sound models measured at a third or more"
)
SOURCE_OF_ALL_LAYERS = (
    "a loss that is not 0 has a gradient unless no parameter can change it; a trainer that writes "
    "norms by layer has measured them"
)


def judge(evidence: Evidence) -> list[Finding]:
    loss = evidence.training_loss()
    layers = () if loss.fell else evidence.sites("grad_norm_by_layer")
    of_layers = [evidence.series("grad_norm_by_layer", one) for one in layers]
    by_layer = np.array([median(norms) for _, norms in of_layers])
    if (
        of_layers
        and not any(norms.any() for _, norms in of_layers)
        and min(len(norms) for _, norms in of_layers) >= MIN_ZERO_NORMS
        and loss.values.all()
    ):
        return [
            VANISHED.found(
                evidence.last_step,
                0.0,
                limit=SMALLEST_NORM,
                source=SOURCE_OF_ALL_LAYERS,
                onset=min(int(steps[0]) for steps, _ in of_layers),
            )
        ]
    if len(layers) >= MIN_LAYERS and np.isfinite(by_layer).all():
        largest = int(by_layer.argmax())
        falls_towards_input = (
            largest + 1 >= MIN_LAYERS and (np.diff(by_layer[: largest + 1]) > 0).all()
        )
        first, limit = float(by_layer[0]), MAX_FIRST_LAYER_SHARE * float(by_layer[largest])
        if falls_towards_input and 0 < first < limit:
            return [
                VANISHED.found(
                    evidence.last_step,
                    first,
                    site=layers[0],
                    limit=limit,
                    source=SOURCE_OF_FIRST_LAYER,
                )
            ]
    steps, norms = evidence.series("grad_norm")
    is_zero = norms == 0
    if is_zero.all():
        raise CannotJudgeError(
            "grad_norm is 0 throughout; some trainers write 0 when they do not measure it"
        )
    zeros = int(np.argmin(is_zero[::-1]))
    before = norms[: len(norms) - zeros]
    before = before[np.isfinite(before)]
    if zeros < MIN_ZERO_NORMS or not len(before) or (before == 0).any():
        return []
    onset = int(steps[-zeros])
    is_rounded = rounding_step(before[-100:]) > 0
    if _may_be_learning(
        loss.values[loss.steps < onset], loss.values[loss.steps >= onset], is_rounded
    ):
        return []
    return [VANISHED.found(evidence.last_step, 0.0, limit=float(before.min()), onset=onset)]


def _may_be_learning(before: Column, since: Column, norms_are_rounded: bool) -> bool:
    """Whether gradients may still arrive although their norm is logged as 0.

    before, since   the losses before the norm became 0, and from then on: [n], [m]
    """
    # A loss of 0 has no gradient, and too few losses show nothing.
    if len(since) < MIN_ZERO_NORMS or not since.all():
        return True
    latest = np.r_[before, since][-max(len(since), MIN_POINTS) :]
    if np.ptp(latest) > MAX_CONSTANT_VARIATION * abs(float(median(latest))) and fell(latest):
        return True
    recent = before[-MIN_POINTS:]
    if len(recent) < MIN_ZERO_NORMS:
        return norms_are_rounded
    rise = float(median(since) - median(recent))
    error = float(np.hypot(recent.std() / sqrt(len(recent)), since.std() / sqrt(len(since))))
    least = MIN_LOSS_CHANGE_ERRORS * error
    # The loss falls, or a rounded 0 may stand for the small norm of a loss that has converged.
    return rise < -least or (norms_are_rounded and rise <= least)


DETECTOR = Detector("vanishing-gradients", judge, (VANISHED,), at_end=True)
