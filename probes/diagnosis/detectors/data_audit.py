"""Finds batches that do not match the data set, its split or its random order.

The recorder compares the data that the model receives with the rows of `batch_ids` at every step
(`probes.recording.data_audit`). Every share above 0 is a fault, except the shares of the order of
an epoch, which vary by chance."""

from __future__ import annotations

import numpy as np

from probes.diagnosis.base import Detector, Finding, Symptom, ViewKey
from probes.diagnosis.evidence import Evidence

SIGNAL = "data_mismatch"
FED_SITES, ORDER_SITES = ("tokens", "targets", "rows"), ("sorted", "same-order")
MAX_ORDER = 0.5
"""Random order gives at most 0.11 in 22 epochs of healthy runs; rows that are sorted, or drawn in
the order of the last epoch, give 0.99 or more."""
STEPS_OF_REPEATS = 8
"""Steps, from the first repeated row on, over which the share of repeated rows is averaged."""
MAX_REPEATED = 0.5
"""Rows drawn with replacement repeat in at most 1 - 1/e = 0.63 of the cases at the end of an epoch,
and in fewer at its start. A larger share at the start shows that few rows are drawn at all."""
NO_MISMATCH = 0.0
SOURCE = "definition: a model is fed the rows that its data set draws"
FED = Symptom(
    name="fed-other-data",
    quantity="share that differs from the data set",
    unit="share",
    view=ViewKey.LOSS,
    worse="above",
    limit=NO_MISMATCH,
    criterion=(
        "in a training step the model is fed tokens or targets that are not those of the rows in "
        "batch_ids, or another number of rows than the batch size"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "From step {step} on, the {site} that the model receives do not match the data set: a "
            "share of {observed} differs."
        )
    },
)
EVALUATED = Symptom(
    name="evaluated-other-rows",
    quantity="evaluated rows that are not those of the splits, per validation row",
    unit="share",
    view=ViewKey.LOSS,
    worse="above",
    limit=NO_MISMATCH,
    criterion=(
        "an evaluation does not pass each row of the validation split once, or passes rows that "
        "are in no split"
    ),
    source=SOURCE,
    sentence={
        "en": (
            "The evaluation at step {step} has other rows than the validation split: {observed} "
            "wrong rows per row of the split."
        )
    },
)
VALIDATED_ON_TRAINED = Symptom(
    name="training-rows-validated",
    quantity="training rows that are evaluated twice, per missing validation row",
    unit="share",
    view=ViewKey.LOSS,
    worse="above",
    limit=NO_MISMATCH,
    criterion="an evaluation leaves out validation rows and passes training rows twice",
    source="definition: validation rows are not trained on",
    sentence={
        "en": (
            "The evaluation at step {step} passes training rows in place of validation rows: "
            "{observed} for each missing row."
        )
    },
)
HELD_OUT = Symptom(
    name="held-out-rows-trained",
    quantity="share of the batch's rows outside the training split",
    unit="share",
    view=ViewKey.LOSS,
    worse="above",
    limit=NO_MISMATCH,
    criterion="a batch holds rows that are not in the training split",
    source="definition: validation rows are not trained on",
    sentence={
        "en": (
            "The batch of step {step} holds rows that are not in the training split: a share of "
            "{observed}."
        )
    },
)
FEW_ROWS = Symptom(
    name="few-distinct-rows",
    quantity="share of rows that the same epoch drew before",
    unit="share",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_REPEATED,
    criterion=(
        f"over {STEPS_OF_REPEATS} steps, more than {MAX_REPEATED:g} of all rows were drawn before "
        "in the same epoch"
    ),
    source="draws with replacement repeat at most 1 - 1/e of the rows of an epoch",
    sentence={
        "en": (
            "From step {onset} on, the batches repeat a few rows: a share of {observed} of the "
            "rows was drawn before in the same epoch."
        )
    },
)
ORDER = Symptom(
    name="rows-not-shuffled",
    quantity="correlation of the order of an epoch, or overlap with the batches of the last one",
    unit="share",
    view=ViewKey.LOSS,
    worse="above",
    limit=MAX_ORDER,
    criterion=(
        f"in an epoch, the correlation of the place of a row with its number or length is above "
        f"{MAX_ORDER:g}, or more than {MAX_ORDER:g} of the rows are in the same batch as in the "
        "epoch before"
    ),
    source="a random order; the standard deviation of the correlation is 1 / sqrt(rows)",
    sentence={
        "en": (
            "The rows of the epoch that ends at step {step} are not in a new random order: {site} "
            "is {observed}; a random order gives about 0."
        )
    },
)
REPEATED = Symptom(
    name="row-drawn-twice",
    quantity="share of rows that the same epoch drew before",
    unit="share",
    view=ViewKey.LOSS,
    worse="above",
    limit=NO_MISMATCH,
    criterion="a row was drawn twice in an epoch, which draws without replacement",
    source="definition: an epoch draws each row at most once",
    sentence={
        "en": (
            "From step {onset} on, rows are drawn again in the same epoch: a share of {observed} "
            "of all rows."
        )
    },
)


def judge(evidence: Evidence) -> list[Finding]:
    evidence.measured_sites(SIGNAL)
    findings: list[Finding] = []
    for symptom, sites in (
        (HELD_OUT, ("held-out",)),
        (FED, FED_SITES),
        (EVALUATED, ("evaluation",)),
        (VALIDATED_ON_TRAINED, ("validated",)),
        (ORDER, ORDER_SITES),
    ):
        for site in sites:
            findings += _first_above(evidence, symptom, site)
    return findings + _repeats(evidence)


def _first_above(evidence: Evidence, symptom: Symptom, site: str) -> list[Finding]:
    if site not in evidence.sites(SIGNAL):
        return []
    steps, shares = evidence.series(SIGNAL, site)
    limit = symptom.limit or NO_MISMATCH
    named = site if symptom in (FED, ORDER) else ""
    return [
        symptom.found(int(steps[i]), float(shares[i]), site=named)
        for i in np.flatnonzero(shares > limit)[:1]
    ]


def _repeats(evidence: Evidence) -> list[Finding]:
    if "repeated" not in evidence.sites(SIGNAL):
        return []
    steps, shares = evidence.series(SIGNAL, "repeated")
    first = next(iter(np.flatnonzero(shares > 0)), len(steps))
    window = slice(first, first + STEPS_OF_REPEATS)
    if len(steps[window]) < STEPS_OF_REPEATS:
        return []
    share = float(shares[window].mean())
    symptom = FEW_ROWS if share > MAX_REPEATED else REPEATED
    return [symptom.found(int(steps[window][-1]), share, onset=int(steps[first]))]


DETECTOR = Detector(
    "data-audit",
    judge,
    (HELD_OUT, FED, EVALUATED, VALIDATED_ON_TRAINED, FEW_ROWS, ORDER, REPEATED),
)
