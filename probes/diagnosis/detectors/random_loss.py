"""Finds a loss that differs between two passes of the same batch with the same weights.

The proof `probes.proofs.repeatability` measures the difference. In training, noise such as dropout
is a choice: a record that states the fact `dropout` above 0 is not judged there. In an evaluation
noise is always a fault, because it changes what is measured."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import Evidence, finite_number

MAX_DIFFERENCE = 1e-5
"""Largest relative difference. On a CPU two equal passes give equal bits. On a GPU sums may be
added in another order, which changes a mean over thousands of single-precision losses by some 1e-7
of its size. Dropout of a few units changes it by 1e-3 or more."""
RANDOM = Symptom(
    name="loss-not-repeatable",
    quantity="relative difference of two losses of the same batch with the same weights",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_DIFFERENCE,
    criterion="two passes of the same batch with the same weights give losses that differ",
    source="equal inputs and weights give equal losses, up to the order in which sums are added",
    sentence={
        "en": (
            "At step {step} the same batch, with the same weights, gave two losses that differ "
            "by {observed} of their size ({site})."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    dropout = finite_number(evidence.facts.get("dropout"))
    findings = []
    for site in evidence.measured_sites("loss_repeat_error"):
        if site == "training" and dropout:
            continue
        steps, errors = evidence.series("loss_repeat_error", site)
        if (differs := np.flatnonzero(errors > MAX_DIFFERENCE)).size:
            first = differs[0]
            findings.append(RANDOM.found(steps[first], float(errors[first]), site=site))
    return findings


DETECTOR = Detector("random-loss", judge, (RANDOM,))
