"""Finds a first gradient whose norm lies outside the usual band. If the loss is a mean over tokens,
the norm before clipping is of the order of 1."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import Evidence

MAX_NORM = 10.0
MIN_NORM = 0.1
"""The usual band of the norm is one decade to either side of 1."""
SOURCE = "first gradient norm of a mean loss; band [0.1, 10], healthy starts measured at 2.7-4.5"
LARGE = Symptom(
    name="first-gradient-large",
    quantity="gradient norm at step 0",
    unit="L2 norm",
    view=ViewKey.GRADIENT_NORM,
    worse="above",
    limit=MAX_NORM,
    criterion=f"gradient norm at step 0 above {MAX_NORM:g}",
    source=SOURCE,
    sentence={
        "en": "The first gradient has a norm of {observed}. A norm of up to {limit} is usual."
    },
)
SMALL = Symptom(
    name="first-gradient-small",
    quantity="gradient norm at step 0",
    unit="L2 norm",
    view=ViewKey.GRADIENT_NORM,
    worse="below",
    limit=MIN_NORM,
    criterion=f"gradient norm at step 0 below {MIN_NORM:g}",
    source=SOURCE,
    sentence={
        "en": "The first gradient has a norm of {observed}. A norm of {limit} or more is usual."
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    # The band holds for the mean cross-entropy of a model that is trained from scratch. Only a
    # record that states a vocabulary is known to hold such a loss.
    evidence.number("vocab_size")
    norm = evidence.at_start("grad_norm")
    if norm > MAX_NORM:
        return [LARGE.found(0, norm)]
    if norm < MIN_NORM:
        return [SMALL.found(0, norm)]
    return []


DETECTOR = Detector("first-gradient", judge, (LARGE, SMALL))
