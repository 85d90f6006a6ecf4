"""The detectors in order of precedence, and the symptoms they find. Each file of this folder holds
one fault: its symptoms, its limits and the function that looks for them."""

from collections.abc import Iterable, Mapping
from importlib import import_module

from probes.diagnosis.base import Detector, Finding, Language, Symptom

MODULES = (
    "instrument",
    "nonfinite",
    "random_loss",
    "data_audit",
    "reported_loss",
    "wrong_gradient",
    "wrong_update",
    "loss_zero",
    "initial_loss",
    "initial_activation",
    "initial_gradient",
    "first_update",
    "schedule",
    "rows",
    "future",
    "blind",
    "attention_sum",
    "schedule_followed",
    "floor",
    "stalled",
    "at_ln_k",
    "at_chance",
    "frozen",
    "zero_updates",
    "loss_spike",
    "divergence",
    "vanishing_gradients",
    "exploding_gradients",
    "rate_too_high",
    "dead_neurons",
    "stuck_heads",
    "overfitting",
    "train_eval",
)
"""The files of this folder in order of precedence: findings are listed in this order. A new
detector needs one line here."""


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


DETECTORS: tuple[Detector, ...] = tuple(
    value
    for name in MODULES
    for value in vars(import_module(f"{__name__}.{name}")).values()
    if isinstance(value, Detector)
)
"""All detectors: those of each file in MODULES, in the order in which the file defines them."""
SYMPTOMS: Mapping[str, Symptom] = symptoms_by_name(DETECTORS)


def sentence_of(finding: Finding, language: Language = "en") -> str:
    """The sentence that describes a finding; "" when its symptom is not one of SYMPTOMS."""
    symptom = SYMPTOMS.get(finding.symptom)
    return symptom.sentence_for(finding, language) if symptom else ""
