"""Finds a reported loss that is not the mean cross-entropy of the predicted tokens.

The proof `probes.proofs.loss` computes this mean from the logits and the rows of the data set. Two
mistakes have a symptom of their own: a sum instead of a mean, and targets that are the input
itself or are shifted twice."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import Evidence

SIGNAL = "loss_ratio"
STEP, SUMS = "step", ("step.sum", "step.row-sum")
OTHER_TARGETS = ("step.unshifted", "step.shifted-twice")
OTHER_LOSSES = ("repeated", "evaluated", "val_loss")
"""Further losses that must equal the mean cross-entropy of their rows. `repeated` is the loss of
the same batch, computed again. It shows nothing new if the loss of the step is wrong."""
MAX_ERROR = 1e-3
"""Largest relative difference of two means of the same losses in float32."""
MAX_ERROR_OF_MISTAKE = 1e-5
"""Largest relative difference from the loss that a mistake gives. It is smaller than MAX_ERROR,
because at the first step the losses of other targets lie within 1e-2 of each other. Healthy losses
differ from their mean by at most 1e-7."""
SOURCE = (
    "definition of the mean; the reported losses of healthy runs differ from it by at most 1e-7, "
    "those with a label smoothing of 0.01 by 4e-2"
)
NOT_MEAN = Symptom(
    name="loss-not-mean",
    quantity="relative difference from the mean cross-entropy",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_ERROR,
    criterion=(
        f"the relative difference of a reported loss from the mean cross-entropy, computed from "
        f"the logits and the data set, is above {MAX_ERROR:g}"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "The loss `{site}` is not the mean cross-entropy of the predicted tokens: the relative "
            "difference is {observed}. Rounding explains at most {limit}."
        )
    },
)
SUMMED = Symptom(
    name="loss-is-sum",
    quantity="relative difference from the mean cross-entropy",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_ERROR,
    criterion=(
        "the loss of a step equals the sum of the losses of the predicted tokens, or the mean over "
        f"rows of such sums, up to a relative error of {MAX_ERROR_OF_MISTAKE:g}"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "The loss of step {step} is a sum over tokens: it exceeds the mean cross-entropy by "
            "{observed} times this mean."
        )
    },
)
OTHER = Symptom(
    name="targets-not-next",
    quantity="relative difference from the mean cross-entropy",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_ERROR,
    criterion=(
        "the loss of a step equals the mean cross-entropy of wrong targets, up to a relative error "
        f"of {MAX_ERROR_OF_MISTAKE:g}. These are the input tokens themselves, or the tokens after "
        "the next ones"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "The loss of step {step} belongs to other targets ({site}): its relative difference "
            "from the loss of the next tokens is {observed}."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    sites = evidence.measured_sites(SIGNAL)
    findings: list[Finding] = []
    for site in (STEP, *OTHER_LOSSES):
        if site not in sites or (site == "repeated" and findings):
            continue
        steps, ratios = evidence.series(SIGNAL, site)
        errors = np.abs(ratios - 1)
        for i in np.flatnonzero(errors > MAX_ERROR)[:1]:
            symptom, named = NOT_MEAN, site
            if site == STEP:
                symptom, named = _mistake(evidence, int(steps[i]))
            findings.append(symptom.found(int(steps[i]), float(errors[i]), site=named))
    return findings


def _mistake(evidence: Evidence, step: int) -> tuple[Symptom, str]:
    """The symptom of the mistake that gives the loss of this step, and its site of SIGNAL."""
    for symptom, sites in ((SUMMED, SUMS), (OTHER, OTHER_TARGETS)):
        for site in set(sites) & set(evidence.sites(SIGNAL)):
            steps, ratios = evidence.series(SIGNAL, site)
            if np.any(np.abs(ratios[steps == step] - 1) <= MAX_ERROR_OF_MISTAKE):
                return symptom, site
    return NOT_MEAN, STEP


DETECTOR = Detector("reported-loss", judge, (NOT_MEAN, SUMMED, OTHER))
