"""Finds a first update that changes the output of a layer too much. The relative change is at most
about 1 in a run that starts well.

Adam's first update has the same size, lr, in every entry, whatever the gradient is. It moves each
output of a matrix with fan-in n by at most the sum of n such entries. The output itself is a sum of
n weights of random sign. The ratio of the two is (update norm / weight norm) * sqrt(n). At a ratio
of 1, the first batch may undo the whole initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import CannotJudgeError, Evidence, finite_number

MAX_RELATIVE_CHANGE = 2.0
"""Largest relative change of an output. At 1, a missing warmup has no measurable cost. At 2, it
raises the final train loss by 8 % or more on every seed used to choose limits (docs/why.md, sweep
of lr_max: 5e-3 and 1e-2)."""
LARGE = Symptom(
    name="first-update-large",
    quantity="relative change of a layer's output by the first update",
    unit="ratio",
    view=ViewKey.UPDATE_WEIGHT_RATIO,
    worse="above",
    limit=MAX_RELATIVE_CHANGE,
    criterion=(
        "first update changes a layer's output by more than twice its size, measured as "
        "update/weight ratio times the root of the fan-in"
    ),
    source=(
        "a change of 1 may undo the initialisation; a change of 2 raises the final loss on every "
        "seed used to choose limits"
    ),
    sentence={
        "en": (
            "The first update changes the output of {site} by {observed} times its size. A "
            "change of up to {limit} times does little harm."
        )
    },
)
AT_PEAK = Symptom(
    name="lr-starts-at-peak",
    quantity="first learning rate, compared with the second",
    unit="learning rate",
    view=ViewKey.RATE,
    worse="above",
    criterion=f"second learning rate no higher than the first, in a run with {LARGE.name}",
    source="a warmup raises the learning rate from the first step to the second",
    sentence={"en": "The learning rate starts at its peak, {observed}: there is no warmup."},
)


def judge(evidence: Evidence) -> list[Finding]:
    fan_in = evidence.fact("fan_in")
    if not isinstance(fan_in, Mapping):
        raise CannotJudgeError(
            f"the record states fan_in as {fan_in!r:.60}, which is not an object"
        )
    counts = {
        site: count
        for site in evidence.sites("update_weight_ratio")
        if isinstance(fan_in.get(site), int)
        and (count := finite_number(fan_in[site]))
        and count > 0
    }
    if not counts:
        raise CannotJudgeError(
            "update_weight_ratio was not recorded for any matrix whose fan_in is stated"
        )
    change, site = max(
        (evidence.at_start("update_weight_ratio", site) * sqrt(count), site)
        for site, count in counts.items()
    )
    if not change > MAX_RELATIVE_CHANGE:
        return []
    findings = [LARGE.found(0, change, site=site)]
    # A rate that starts at its peak supports this finding. It is no fault by itself.
    if evidence.sites("lr"):
        steps, rates = evidence.series("lr")
        if len(rates) > 1 and steps[0] == 0 and 0 < rates[1] <= rates[0]:
            findings.append(AT_PEAK.found(steps[1], float(rates[0]), limit=float(rates[1])))
    return findings


DETECTOR = Detector("first-update", judge, (LARGE, AT_PEAK))
