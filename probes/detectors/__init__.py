"""The detectors, in order of precedence: one file per symptom, each a pure function from evidence to findings."""

from probes.detectors import initial_gradient, initial_loss, nonfinite, schedule
from probes.findings import Detector

DETECTORS: tuple[Detector, ...] = (
    nonfinite.DETECTOR,
    initial_loss.DETECTOR,
    initial_gradient.DETECTOR,
    schedule.DETECTOR,
)
