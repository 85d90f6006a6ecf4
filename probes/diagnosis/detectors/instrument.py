"""Finds values that no model can have: the record is wrong, not the model.

No cause of `probes.diagnosis.causes` is based on such a finding. `Evidence.series` leaves the
values out, so that no other detector judges the model by them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom
from probes.diagnosis.evidence import POSSIBLE, Evidence

MEASURED_IN_EVALUATION = ("spectral_norm", "dead_fraction", "attention_entropy")
"""Signals that are computed from weights or activations of an evaluation. If they are not finite,
the losses of the same evaluation are not either."""
MAX_BELOW_BOUND = 1e-2
"""The power iteration ends after a few rounds, so its result may be below a lower bound of the
largest singular value by this share."""
IMPOSSIBLE = Symptom(
    name="impossible-value",
    quantity="distance from the possible values",
    unit="unit of the signal",
    view=None,
    worse="above",
    limit=0.0,
    criterion=(
        "an entropy or a share of neurons outside [0, 1], a norm or a count below 0, a spectral "
        f"norm below {1 - MAX_BELOW_BOUND:g} times the factor by which the matrix stretches a "
        "vector, or NaN or an infinite value although the losses of the same evaluation are finite"
    ),
    source="definition of the signal",
    sentence={
        "en": (
            "At step {step} {site} is outside its possible values by {observed}: the record is "
            "wrong, not the model."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    findings = []
    for signal in POSSIBLE:
        for site in evidence.sites(signal):
            steps, distances = evidence.impossible(signal, site)
            if len(steps):
                findings.append(
                    IMPOSSIBLE.found(int(steps[0]), float(distances[0]), site=f"{signal}.{site}")
                )
    findings += [
        IMPOSSIBLE.found(step, np.inf, site=site)
        for site, step in evidence.cached(wrong_measurements).items()
    ]
    return findings + _below_bound(evidence)


def wrong_measurements(evidence: Evidence) -> Mapping[str, int]:
    """Site of `nonfinite_count` -> the first step at which a signal of an evaluation is not finite
    there, although the losses of the same evaluation, and so of the same weights, are finite."""
    losses = [
        evidence.unchecked_series(name)
        for name in ("train_loss", "val_loss")
        if evidence.sites(name)
    ]
    wrong = {}
    for site in evidence.sites("nonfinite_count"):
        if site.partition(".")[0] not in MEASURED_IN_EVALUATION:
            continue
        steps, counts = evidence.series("nonfinite_count", site)
        for step in steps[counts > 0][:1].tolist():
            if losses and all(np.isfinite(values[at == step]).any() for at, values in losses):
                wrong[site] = step
    return wrong


def _below_bound(evidence: Evidence) -> list[Finding]:
    """Spectral norms below a factor by which their matrix stretches a vector."""
    findings = []
    for matrix in evidence.sites("stretch"):
        if matrix not in evidence.sites("spectral_norm"):
            continue
        (at, bounds), (steps, norms) = (
            evidence.series(name, matrix) for name in ("stretch", "spectral_norm")
        )
        both, proven, measured = np.intersect1d(at, steps, return_indices=True)
        short = bounds[proven] * (1 - MAX_BELOW_BOUND) - norms[measured]
        findings += [
            IMPOSSIBLE.found(int(both[i]), float(short[i]), site=f"spectral_norm.{matrix}")
            for i in np.flatnonzero(short > 0)[:1]
        ]
    return findings


DETECTOR = Detector("instrument", judge, (IMPOSSIBLE,))
