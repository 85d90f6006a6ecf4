"""The detectors, in order of precedence: one file per symptom, each a pure function from evidence
to findings."""

from probes.diagnosis.base import Detector
from probes.diagnosis.detectors import (
    at_ln_k,
    dead_neurons,
    divergence,
    exploding_gradients,
    first_update,
    floor,
    initial_activation,
    initial_gradient,
    initial_loss,
    loss_spike,
    loss_zero,
    nonfinite,
    overfitting,
    rate_too_high,
    schedule,
    stalled,
    stuck_heads,
    vanishing_gradients,
)

DETECTORS: tuple[Detector, ...] = (
    nonfinite.DETECTOR,
    loss_zero.DETECTOR,
    initial_loss.DETECTOR,
    initial_activation.DETECTOR,
    initial_gradient.DETECTOR,
    first_update.DETECTOR,
    schedule.DETECTOR,
    schedule.OF_LOG,
    floor.DETECTOR,
    stalled.DETECTOR,
    at_ln_k.DETECTOR,
    loss_spike.DETECTOR,
    divergence.DETECTOR,
    vanishing_gradients.DETECTOR,
    exploding_gradients.DETECTOR,
    rate_too_high.DETECTOR,
    dead_neurons.DETECTOR,
    stuck_heads.DETECTOR,
    overfitting.DETECTOR,
    overfitting.OF_FEW,
)
