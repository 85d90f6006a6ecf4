"""Finds attention heads whose weights do not sum to 1 over the keys of a query.

Attention then does not compute a mean of the values. Typical faults are a softmax over another axis
than that of the keys, and a mask that is applied after the softmax instead of before it."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey, worsening
from probes.diagnosis.evidence import Evidence

MAX_SUM_ERROR = 1e-2
"""A sum of 1000 weights that are rounded to float16 may miss 1 by half of this. In float32, healthy
runs measured 2e-7; the least of the faults tried measured 0.99."""
NOT_A_MEAN = Symptom(
    name="attention-not-a-mean",
    quantity="distance from 1 of a query's summed attention weights",
    unit="ratio",
    view=ViewKey.ATTENTION_ENTROPY,
    worse="above",
    limit=MAX_SUM_ERROR,
    criterion="the sum of the attention weights of a query differs from 1 by more than 0.01",
    source="a softmax over the keys of a query sums to 1 (Vaswani et al. 2017)",
    sentence={
        "en": (
            "In the head {site} the sum of a query's attention weights differs from 1 by "
            "{observed}."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    findings = []
    for head in evidence.measured_sites("attention_sum_error"):
        steps, errors = evidence.series("attention_sum_error", head)
        findings += [
            NOT_A_MEAN.found(steps[i], float(errors[i]), site=head)
            for i in worsening(errors, MAX_SUM_ERROR, "above")
        ]
    return findings


DETECTOR = Detector("attention-sum", judge, (NOT_A_MEAN,))
