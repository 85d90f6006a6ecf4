"""The detectors, in order of precedence: one file per symptom, each a pure function from evidence to findings."""

from probes.detectors import (
    at_ln_k,
    dead_neurons,
    divergence,
    first_update,
    floor,
    initial_activation,
    initial_gradient,
    initial_loss,
    loss_spike,
    nonfinite,
    overfitting,
    schedule,
    stalled,
    stuck_heads,
)
from probes.findings import Detector

DETECTORS: tuple[Detector, ...] = (
    nonfinite.DETECTOR,
    initial_loss.DETECTOR,
    initial_activation.DETECTOR,
    initial_gradient.DETECTOR,
    first_update.DETECTOR,
    schedule.DETECTOR,
    floor.DETECTOR,
    stalled.DETECTOR,
    at_ln_k.DETECTOR,
    loss_spike.DETECTOR,
    divergence.DETECTOR,
    dead_neurons.DETECTOR,
    stuck_heads.DETECTOR,
    overfitting.DETECTOR,
)
