"""Finds layers in which most feed-forward neurons are silent on every token of an evaluation. Such
neurons pass no signal and receive no gradient."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MAX_DEAD_FRACTION = 0.5
"""Beyond this share, half of the layer's width is lost. Healthy runs were measured at 0."""
DEAD = Symptom(
    name="dead-neurons",
    quantity="share of a layer's neurons that are silent on every token",
    unit="ratio",
    view=ViewKey.DEAD_NEURONS,
    worse="above",
    limit=MAX_DEAD_FRACTION,
    criterion="more than half of a layer's neurons silent on every token of an evaluation",
    source="beyond this, half of the layer's width is lost; healthy runs measured at 0",
    sentence={"en": "In {site}, a share of {observed} of all neurons is silent on every token."},
)


def judge(evidence: Evidence) -> list[Finding]:
    sites = evidence.sites("dead_fraction")
    if not sites:
        raise CannotJudgeError("dead_fraction was not recorded")
    findings = []
    for site in sites:
        steps, fractions = evidence.series("dead_fraction", site)
        if (above := np.flatnonzero(fractions > MAX_DEAD_FRACTION)).size:
            first = above[0]
            findings.append(DEAD.found(steps[first], float(fractions[first]), site=site))
    return findings


DETECTOR = Detector("dead-neurons", judge, (DEAD,))
