"""Finds a layer whose output is too large at step 0. Its scale should be of the order of 1 at any
depth.

A residual stream starts at the scale of the embedding. The input of each sublayer is normalised by
a LayerNorm and its weights are at Xavier scale, so it adds a variance of about 1. After L blocks
the scale is of the order of sqrt(2 L). A scale of 10 would take fifty blocks."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import Evidence

MAX_MEAN_ACTIVATION = 10.0
"""Largest mean |activation| of a layer. Healthy starts were measured at 0.1 to 1.1."""
LARGE = Symptom(
    name="initial-activation-large",
    quantity="mean |activation| of a layer at step 0",
    unit="ratio",
    view=ViewKey.ACTIVATION,
    worse="above",
    limit=MAX_MEAN_ACTIVATION,
    criterion=f"mean |activation| of a layer at step 0 above {MAX_MEAN_ACTIVATION:g}",
    source=(
        "mean |activation| of unit-scale sublayers grows as sqrt(2 blocks); healthy starts "
        "measured at 0.1-1.1"
    ),
    sentence={
        "en": (
            "At step 0 the output of {site} has a mean size of {observed}. Even a deep network "
            "stays below {limit}."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    sites = evidence.sites("activation") or ("",)
    largest, site = max((evidence.at_start("activation", site), site) for site in sites)
    return [LARGE.found(0, largest, site=site)] if largest > MAX_MEAN_ACTIVATION else []


DETECTOR = Detector("initial-activation", judge, (LARGE,))
