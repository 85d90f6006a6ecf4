"""Finds a model in which rows of a batch influence one another.

The tokens of some rows change; the logits of the other rows must not move. A row on its own must
have the logits that it has in a batch, where it may be padded. Typical faults are a normalisation
or a softmax over the wrong axis, keys and values of another row, and padding that is not masked."""

from __future__ import annotations

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey, worsening
from probes.diagnosis.evidence import CannotJudgeError, Evidence

MAX_ROW_INFLUENCE = 1e-5
"""100 times the resolution of a float32 logit. It is below the limit of `future-influence`, because
mixed rows let later tokens have an influence as well and are then the better explanation."""
MAX_COMPANY_INFLUENCE = 1e-3
"""The arrays of a row alone have other shapes, so sums are added in another order. 54 healthy runs
(choosing seeds and sampled configs) measured at most 3e-6. A mask that only subtracts 10 from a
score measured 2e-3, rows that share a normalisation 1."""
ROW_INFLUENCE = Symptom(
    name="row-influence",
    quantity="change of logits in unchanged rows, relative to those in changed rows",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_ROW_INFLUENCE,
    criterion=(
        "a logit moves by more than 1e-5 of the largest change when only other rows of the batch "
        "change"
    ),
    source=(
        "rows of a batch are independent; healthy runs measured exactly 0, the least of the faults "
        "tried 0.14"
    ),
    sentence={
        "en": (
            "A changed row moves the logits of other rows of the batch, by {observed} of the "
            "largest change."
        )
    },
)
COMPANY_INFLUENCE = Symptom(
    name="company-influence",
    quantity="difference of a row's logits alone and in a batch, over their standard deviation",
    unit="ratio",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_COMPANY_INFLUENCE,
    criterion="logits of a row alone and in a batch differ by more than 1e-3 of their deviation",
    source=(
        "padding and other rows have no influence; healthy runs measured 3e-6, from the order of "
        "float32 sums, and the faults tried 2e-3 to 4"
    ),
    sentence={
        "en": (
            "The logits of a row differ by {observed} of their standard deviation between the row "
            "alone and the row in a batch."
        )
    },
)
SIGNALS = (
    ("row_influence", ROW_INFLUENCE, MAX_ROW_INFLUENCE),
    ("company_influence", COMPANY_INFLUENCE, MAX_COMPANY_INFLUENCE),
)


def judge(evidence: Evidence) -> list[Finding]:
    if not any(evidence.sites(signal) for signal, _, _ in SIGNALS):
        raise CannotJudgeError("neither row_influence nor company_influence was recorded")
    findings = []
    for signal, symptom, limit in SIGNALS:
        if evidence.sites(signal):
            steps, values = evidence.series(signal)
            findings += [
                symptom.found(steps[i], float(values[i])) for i in worsening(values, limit, "above")
            ]
    return findings


DETECTOR = Detector("rows-mixed", judge, (ROW_INFLUENCE, COMPANY_INFLUENCE))
