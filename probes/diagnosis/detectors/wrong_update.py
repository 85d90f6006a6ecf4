"""Finds updates that do not follow the rule of the declared optimizer (`probes.proofs.update`
measures them), and weights that were changed by something other than the update."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence, finite_number

LARGEST = "largest"
"""The site of `unexplained_change` that is not a tensor."""

MAX_ERROR_OF_SCALE = 0.05
"""The scale of the first update is 1 to within 1e-3 in a healthy run. Adam's eps and a decay that
is not decoupled change it by less than 5 %."""
MAX_UNEXPLAINED = 1e-5
"""About a hundred roundings of float32. The sum of weights and update is exact in healthy runs."""
UNTRAINED = Symptom(
    name="parameter-untrained",
    quantity="update of a tensor, divided by the learning rate",
    unit="1",
    view=ViewKey.UPDATE_WEIGHT_RATIO,
    worse="below",
    limit=float(np.finfo(np.float64).tiny),
    criterion=(
        "a tensor has a gradient, and its update is exactly 0 at two steps in a row with proofs, "
        "while other tensors move"
    ),
    source="definition: an optimizer changes each of its tensors that has a gradient",
    sentence={
        "en": (
            "{site} has a gradient, and no update moved it from step {onset} to step {step}, while "
            "other tensors moved."
        )
    },
)
OVERWRITTEN = Symptom(
    name="weights-overwritten",
    quantity="change of a tensor that the update does not explain, as a share of the tensor",
    unit="ratio",
    view=ViewKey.UPDATE_WEIGHT_RATIO,
    worse="above",
    limit=MAX_UNEXPLAINED,
    criterion=(
        "the change of a tensor since the last step differs from the step's update by more than "
        "rounding"
    ),
    source="an optimizer alone writes the weights; a sum in float32 is exact to 6e-8",
    sentence={
        "en": (
            "At step {step} something other than the update changed {site}, by {observed} of its "
            "norm."
        )
    },
)
NO_CORRECTION = Symptom(
    name="first-update-uncorrected",
    quantity="error of the first update, divided by the learning rate",
    unit="1",
    view=ViewKey.RATE,
    worse="above",
    limit=MAX_ERROR_OF_SCALE,
    criterion=(
        "the first update of an Adam optimizer has the size of one in which the bias of one moment "
        "or of both is not corrected"
    ),
    source="Kingma and Ba 2015, section 3: the correction divides by 1 - beta^t",
    sentence={
        "en": (
            "The first update has the size that Adam gives without bias correction. It differs "
            "from the learning rate by {observed} times the rate."
        )
    },
)
OTHER_SCALE = Symptom(
    name="first-update-off-rate",
    quantity="error of the first update, divided by the learning rate",
    unit="1",
    view=ViewKey.RATE,
    worse="above",
    limit=MAX_ERROR_OF_SCALE,
    criterion=(
        "first update of an Adam optimizer is not the learning rate times the sign of the gradient"
    ),
    source="Kingma and Ba 2015, section 2.1",
    sentence={
        "en": (
            "The first update is not minus the learning rate times the sign of the gradient: it is "
            "off by {observed} times the rate."
        )
    },
)


def judge_untrained(evidence: Evidence) -> list[Finding]:
    """A tensor whose update was exactly 0 at two proven steps in a row."""
    sites = evidence.measured_sites("update_per_rate")
    series = {site: evidence.series("update_per_rate", site) for site in sites}
    moving = {
        int(step)
        for steps, values in series.values()
        for step, value in zip(steps, values, strict=True)
        if value > 0
    }
    findings = []
    for site, (steps, values) in series.items():
        still = np.array([step in moving for step in steps.tolist()]) & (values == 0)
        twice = np.flatnonzero(still[1:] & still[:-1])
        if twice.size:
            first = int(twice[0])
            findings.append(
                UNTRAINED.found(steps[first + 1], 0.0, site=site, onset=int(steps[first]))
            )
    return findings


def judge_overwritten(evidence: Evidence) -> list[Finding]:
    """For each tensor, the first step at which something other than the update changed it."""
    sites = evidence.measured_sites("unexplained_change")
    findings = []
    for site in sites:
        if site == LARGEST:
            continue
        steps, values = evidence.series("unexplained_change", site)
        beyond = np.flatnonzero(values > MAX_UNEXPLAINED)
        if beyond.size:
            first = beyond[0]
            findings.append(OVERWRITTEN.found(steps[first], float(values[first]), site=site))
    return sorted(findings, key=lambda finding: finding.step)


def judge_scale(evidence: Evidence) -> list[Finding]:
    """The median scale over tensors, because some may have a learning rate of their own."""
    optimizer = evidence.fact("optimizer")
    name = optimizer.get("name") if isinstance(optimizer, dict) else optimizer
    if name not in ("adam", "adamw"):
        raise CannotJudgeError(f"no rule is known for the first update of {name!r:.60}")
    sites = evidence.measured_sites("first_update_scale")
    scale = float(np.median([evidence.at_start("first_update_scale", site) for site in sites]))
    error = abs(scale - 1)
    if not error > MAX_ERROR_OF_SCALE:
        return []
    uncorrected = _uncorrected(optimizer if isinstance(optimizer, dict) else {})
    fits = any(abs(scale / other - 1) <= MAX_ERROR_OF_SCALE for other in uncorrected)
    return [(NO_CORRECTION if fits else OTHER_SCALE).found(0, error)]


def _uncorrected(optimizer: dict[str, object]) -> list[float]:
    """Scales of a first update whose first moment, second moment, or both lack the correction."""
    beta1, beta2 = (finite_number(optimizer.get(name)) for name in ("beta1", "beta2"))
    if beta1 is None or beta2 is None or not (0 < beta1 < 1 and 0 < beta2 < 1):
        return []
    first, second = 1 - beta1, float(np.sqrt(1 - beta2))
    return [first / second, first, 1 / second]


UNTRAINED_DETECTOR = Detector("untrained-parameter", judge_untrained, (UNTRAINED,))
OVERWRITTEN_DETECTOR = Detector("weights-overwritten", judge_overwritten, (OVERWRITTEN,))
SCALE_DETECTOR = Detector("first-update-scale", judge_scale, (NO_CORRECTION, OTHER_SCALE))
