"""The detectors in order of precedence, and the symptoms they find. Each file holds one fault: its
symptoms, its limits and the function that looks for them."""

from collections.abc import Iterable, Mapping

from probes.diagnosis.base import Detector, Finding, Language, Symptom
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


def symptoms_by_name(detectors: Iterable[Detector]) -> Mapping[str, Symptom]:
    """All symptoms that the detectors can find, by name. Raises ValueError when two detectors or
    two symptoms share a name."""
    detector_names: set[str] = set()
    symptoms: dict[str, Symptom] = {}
    for detector in detectors:
        if detector.name in detector_names:
            raise ValueError(f"two detectors are called {detector.name}")
        detector_names.add(detector.name)
        for symptom in detector.symptoms:
            if symptoms.setdefault(symptom.name, symptom) is not symptom:
                raise ValueError(f"two symptoms are called {symptom.name}")
    return symptoms


DETECTORS: tuple[Detector, ...] = (
    nonfinite.DETECTOR,
    loss_zero.DETECTOR,
    initial_loss.DETECTOR,
    initial_activation.DETECTOR,
    initial_gradient.DETECTOR,
    first_update.DETECTOR,
    schedule.DETECTOR,
    schedule.DETECTOR_WITHOUT_SCHEDULE,
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
    overfitting.DETECTOR_FOR_FEW_EVALUATIONS,
)
SYMPTOMS: Mapping[str, Symptom] = symptoms_by_name(DETECTORS)


def sentence_of(finding: Finding, language: Language = "en") -> str:
    """The sentence that describes a finding; "" when its symptom is not one of SYMPTOMS."""
    symptom = SYMPTOMS.get(finding.symptom)
    return symptom.sentence_for(finding, language) if symptom else ""
