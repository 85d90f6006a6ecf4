"""How much the first update changes what a layer computes, against what it computed before: at most
about as much.

Adam's first update has the same size in every entry, lr, whatever the gradient's. It moves each
output of a matrix with fan-in n by at most the sum of n such entries, while the output itself is a
sum of n weights of random sign. The ratio of the two is (update norm / weight norm) * sqrt(n): at 1
the first batch may undo the whole initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

from probes.diagnosis.base import Detector, Finding
from probes.diagnosis.evidence import CannotJudgeError, Evidence

LARGE = "first-update-large"
AT_PEAK = "lr-starts-at-peak"
LIMIT = 2.0
"""At 1 a missing warmup costs nothing that can be measured, at 2 it costs 8 % of the final train
loss and more on every choosing seed (docs/why.md, sweep of lr_max: 5e-3 and 1e-2)."""
SOURCE = "relative change of a layer's output by one update, update/weight ratio times the root of the fan-in"
PEAK_SOURCE = "a warmup raises the learning rate from the first step to the second"


def judge(evidence: Evidence) -> list[Finding]:
    change, site = max(_changes(evidence))
    if not change > LIMIT:
        return []
    return [Finding(LARGE, site, 0, change, LIMIT, "above", SOURCE), *_without_warmup(evidence)]


def _changes(evidence: Evidence) -> list[tuple[float, str]]:
    """Relative change of each matrix's output by the first update."""
    fan_in = evidence.fact("fan_in")
    if not isinstance(fan_in, Mapping):
        raise CannotJudgeError(f"the record states fan_in as {fan_in!r:.60}, which is no object")
    known = [site for site in evidence.sites("update_weight_ratio") if _counts(fan_in.get(site))]
    if not known:
        raise CannotJudgeError(
            "update_weight_ratio was recorded for no matrix whose fan_in is stated"
        )
    return [
        (evidence.at_start("update_weight_ratio", site) * sqrt(fan_in[site]), site)
        for site in known
    ]


def _counts(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _without_warmup(evidence: Evidence) -> list[Finding]:
    """The schedule's own part in it: evidence beside harm, and by itself none."""
    if not evidence.sites("lr"):
        return []
    steps, rates = evidence.series("lr")
    if len(rates) < 2 or steps[0] != 0 or not 0 < rates[1] <= rates[0]:
        return []
    return [
        Finding(AT_PEAK, "", int(steps[1]), float(rates[0]), float(rates[1]), "above", PEAK_SOURCE)
    ]


LIMITS = {
    LARGE: f"output changed by a factor above {LIMIT:g} in the first step; {SOURCE}",
    AT_PEAK: f"the second learning rate no higher than the first, beside {LARGE}; {PEAK_SOURCE}",
}
DETECTOR = Detector("first-update", judge, LIMITS)
