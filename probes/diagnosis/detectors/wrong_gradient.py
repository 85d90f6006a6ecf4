"""Finds a gradient that is not the derivative of the loss. `probes.proofs.gradient` measures it.

A run with a wrong gradient often still learns, only worse, so no curve shows the fault. There are
three symptoms:

    gradient-wrong     the backward pass computes a wrong gradient. The site is the first tensor, in
                       the order of the backward pass, whose gradient is wrong
    gradient-stale     the gradient holds those of earlier passes, which were not set to zero
    gradient-replaced  the backward pass is right, but the step used another gradient"""

from __future__ import annotations

from collections.abc import Mapping

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import Evidence

USED, FRESH, REPEATED = "used", "fresh", "repeated"
"""Sites of `gradient_error` that are not tensors (`probes.proofs.gradient`)."""

MAX_ERROR = 2e-3
"""Largest error of a right gradient, as a share of its norm, beyond what rounding explains."""
SOURCE = (
    "central differences: at most 3e-4 of the gradient beyond rounding in 29 runs with a right "
    "gradient, on 14 configs; at least 8e-2 at some step for each of 11 faults of a backward pass"
)
WRONG = Symptom(
    name="gradient-wrong",
    quantity="error of the gradient that the backward pass computes, as a share of it",
    unit="ratio",
    view=ViewKey.GRADIENT_NORM,
    worse="above",
    limit=MAX_ERROR,
    criterion=(
        "change of the loss along a direction differs from the one that the gradient predicts by "
        "more than 0.2 % of the gradient, also for a fresh backward pass"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "The gradient is not the derivative of the loss: a share of {observed} of it is wrong. "
            "In the order of the backward pass, {site} is the first tensor with a wrong gradient."
        )
    },
)
STALE = Symptom(
    name="gradient-stale",
    quantity="error of the gradient that the step used, as a share of it",
    unit="ratio",
    view=ViewKey.GRADIENT_NORM,
    worse="above",
    limit=MAX_ERROR,
    criterion=(
        "the first step used the right gradient and a later one did not, although a fresh backward "
        "pass is right; or a second backward pass gives another gradient than the first"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "The gradient of step {step} still holds gradients of earlier passes: a share of "
            "{observed} of it is wrong."
        )
    },
)
REPLACED = Symptom(
    name="gradient-replaced",
    quantity="error of the gradient that the step used, as a share of it",
    unit="ratio",
    view=ViewKey.GRADIENT_NORM,
    worse="above",
    limit=MAX_ERROR,
    criterion="the first step used a wrong gradient, although a fresh backward pass is right",
    source=SOURCE,
    sentence={
        "en": (
            "The step used another gradient than the backward pass computes for its batch: a share "
            "of {observed} of it is wrong."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    moments = evidence.cached(measured)
    steps = sorted(moments)
    findings = []
    first_is_right = moments[steps[0]].get(USED, 1.0) <= MAX_ERROR
    for step in steps:
        errors = moments[step]
        error = errors.get(USED, 0.0)
        if not error > MAX_ERROR or FRESH not in errors:
            continue
        if errors.get(REPEATED, 0.0) > MAX_ERROR:
            findings.append(STALE.found(step, error))
        elif errors[FRESH] > MAX_ERROR:
            findings.append(WRONG.found(step, error, site=_first_wrong(errors)))
        else:
            symptom = STALE if first_is_right and step > 0 else REPLACED
            findings.append(symptom.found(step, error))
    return findings


def measured(evidence: Evidence) -> dict[int, dict[str, float]]:
    """Step -> site -> error of the gradient there. Raises CannotJudgeError if `gradient_error` was
    not recorded."""
    moments: dict[int, dict[str, float]] = {}
    for site in evidence.measured_sites("gradient_error"):
        for step, error in zip(*evidence.series("gradient_error", site), strict=True):
            moments.setdefault(int(step), {})[site] = float(error)
    return moments


def _first_wrong(errors: Mapping[str, float]) -> str:
    """The first tensor, in the order of the backward pass, whose gradient is wrong. If no tensor
    exceeds the limit, the one with the largest error; "" if none was measured."""
    tensors = {site: error for site, error in errors.items() if site not in (USED, FRESH, REPEATED)}
    wrong = [site for site, error in tensors.items() if error > MAX_ERROR]
    return wrong[0] if wrong else max(tensors, key=lambda site: tensors[site], default="")


DETECTOR = Detector("wrong-gradient", judge, (WRONG, STALE, REPLACED))
